"""The model card, `README.md` of an export: what a network is, how to use it, how good it is, how that is known."""

from typing import Final

from ecoNAS.export.formats import Metrics
from ecoNAS.export.verify import Verification
from ecoNAS.joules import Joules
from ecoNAS.records import Score

_TEMPLATE: Final = """# {title}

An image classifier found by ecoNAS {econas}: `{summary}`.

## How to use it

`model.py` needs torch and timm only.

```python
import torch
from model import build_model

model = build_model("weights.safetensors")
pixels = ...  # float32 ({image}), scaled to 0..1
logits = model((pixels - torch.tensor({mean})) / torch.tensor({std}))
```

Classes, in the order of the logits: {classes}.

## What it was trained on

{trained_on}

## How well it reads

{scores}

## What it costs

| | |
|---|---|
| parameters | {params:,} |
| multiply-adds (MACs) per image | {macs:,} |
| FLOPs per image (2 x MACs) | {flops:,} |
| outputs of all layers for one image, fp32 | {memory:,} bytes |
| energy per image | {energy_per_image} |
| energy of the training | {training_energy} |

{energy_note}

## How it was verified

In a process of its own in which ecoNAS cannot be imported, `model.py` with `weights.safetensors` was given batches of
{batches} random images. Its logits differ from those of the searched network by at most {difference:.3g} (allowed:
{tolerance:.3g}). It has as many parameters, and as many MACs by a second counter. `verification.json` holds the
SHA-256 of every file.
"""


def render_card(metrics: Metrics, summary: str, verification: Verification) -> str:
    """Return the text of `README.md`.

    Args:
        metrics: What is known about the network.
        summary: The architecture in one line.
        verification: How the export was checked.
    """
    costs, data, profile = metrics.costs, metrics.data, metrics.profile
    return _TEMPLATE.format(
        title=f"{data.name} classifier, {costs.params:,} parameters",
        econas=metrics.econas,
        summary=summary,
        image=", ".join(["B", *map(str, metrics.problem.input_shape(batch=1)[1:])]),
        mean=_per_channel(data.mean),
        std=_per_channel(data.std),
        classes=", ".join(data.class_names),
        trained_on=_trained_on(metrics),
        scores=_scores(metrics.scores),
        params=costs.params,
        macs=costs.macs,
        flops=costs.flops,
        memory=costs.activation_memory_bytes,
        energy_per_image=_joules(profile.energy if profile else None),
        training_energy=_joules(metrics.training_energy),
        energy_note=_energy_note(metrics),
        batches=" and ".join(map(str, verification.batch_sizes)),
        difference=verification.max_abs_difference,
        tolerance=verification.tolerance,
    )


def _per_channel(values: tuple[float, ...]) -> str:
    """Return numbers as a list that broadcasts over (C, H, W)."""
    return "[" + ", ".join(f"[[{value:.6g}]]" for value in values) + "]"


def _trained_on(metrics: Metrics) -> str:
    key = metrics.training
    if key is None:
        return "Nothing: its weights are random."
    return (
        f"The training images of {metrics.data.name} at {key.resolution} pixels: {metrics.images_seen:,} seen, repeats "
        f"counted. Start: {key.start}; seed {key.seed}; recipe `{key.recipe[:12]}`."
    )


def _scores(scores: dict[str, Score]) -> str:
    if not scores:
        return "Not measured."
    rows = [f"| {name.replace('_', ' ')} | {_score(score)} |" for name, score in scores.items()]
    return "\n".join(["| score | value |", "|---|---|", *rows])


def _score(score: Score) -> str:
    error = f" ± {score.standard_error:.4f} (standard error)" if score.standard_error is not None else ""
    samples = f", {score.num_samples:,} images" if score.num_samples else ""
    return f"{score.value:.4f}{error}{samples}"


def _joules(energy: Joules | None) -> str:
    if energy is None:
        return "not known"
    interval = "interval" if energy.kind == "estimated" else "95 % interval"
    bounds = f"{_prefixed(energy.low_j)} to {_prefixed(energy.high_j)}"
    return f"{_prefixed(energy.value_j)}, **{energy.kind}** ({interval} {bounds})"


def _prefixed(energy_j: float) -> str:
    """Return joules with three digits and the prefix that keeps them short: 1.2e-4 J is `120 µJ`."""
    for factor, prefix in ((1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ")):
        if energy_j >= factor:
            return f"{energy_j / factor:.3g} {prefix}J"
    return f"{energy_j / 1e-9:.3g} nJ"


def _energy_note(metrics: Metrics) -> str:
    profile = metrics.profile
    if profile is None or profile.energy is None:
        return "Its energy per image was neither measured nor estimated."
    energy, how = profile.energy, profile.key.deployment
    note = f"Per image: {energy.method}, of {energy.scope}, on {energy.device}; batches of {how.batch} in {how.dtype}, "
    note += f"{how.threads} thread(s), runtime {how.runtime}."
    if energy.kind == "estimated":
        note += " Nothing was measured: these joules are computed from counts."
    if profile.status != "ok":
        note += f" Take care: {'; '.join([profile.status, *profile.reasons])}."
    return note
