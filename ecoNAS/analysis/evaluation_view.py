"""An evaluation for the terminal: scores with intervals, costs, training, constraints, and the network drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ecoNAS.analysis.drawing import draw
from ecoNAS.analysis.quantities import (
    describe_deployment,
    describe_recipe,
    format_duration,
    format_interval,
    format_quantity,
    format_score,
    title,
)
from ecoNAS.evaluation.objectives import OBJECTIVES, Objectives
from ecoNAS.measurement import Measurement
from ecoNAS.records import EnergyProfile, Evaluation, Score, Training

_BARS = "▁▂▃▄▅▆▇█"
_NAME_WIDTH = 28  # of "energy_per_image (estimated)", so that the values of all sections stand in one column


def evaluation_view(evaluation: Evaluation, objectives: Objectives) -> list[RenderableType]:
    """Return everything that a record holds, in parts that read well at 80 columns."""
    scores = {name: row.read(evaluation, objectives.lifetime_images) for name, row in OBJECTIVES.items()}
    held = {name: score for name, score in scores.items() if score is not None}
    rows = {name: _score_row(name, score, objectives.lifetime_images) for name, score in held.items()}
    named = [rows[name] for name in objectives.names if name in rows]
    parts = section("objectives, with 95 % intervals", named)
    parts += section("also known", [row for name, row in rows.items() if name not in objectives.names])
    for profile in evaluation.profiles:
        if profile.measurement is not None:
            what = title(OBJECTIVES[profile.quantity], profile.energy.kind if profile.energy else None)
            parts += section(f"how {what} was measured", _measurement_rows(profile, profile.measurement))
    if evaluation.training:
        parts += section("training", _training_rows(evaluation.training))
    parts += constraints_section(evaluation.violations)
    drawing = draw(evaluation.candidate.architecture, evaluation.problem)
    parts += [Text(), Text("architecture", style="bold"), Text(drawing, no_wrap=True)]
    how = describe_deployment(evaluation.candidate.deployment, evaluation.problem.resolution)
    trained = describe_recipe(evaluation.candidate.recipe)
    return [*parts, Text(f"runs as: {how}" + (f"\ntrained with: {trained}" if trained else ""), style="dim")]


def constraints_section(violations: Mapping[str, float]) -> list[RenderableType]:
    """Return which constraints are kept and which are broken, and by how much."""
    return section("constraints", [(name, _kept(name, value)) for name, value in violations.items()])


def section(name: str, rows: Sequence[tuple[str, ...]]) -> list[RenderableType]:
    """Return rows below a heading, after an empty line; nothing for no rows."""
    if not rows:
        return []
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(min_width=_NAME_WIDTH)
    for row in rows:
        grid.add_row(*(Text(cell) for cell in ("", *row)))
    return [Text(), Text(name, style="bold"), grid]


def sparkline(values: Sequence[float]) -> str:
    """Return one bar a value, from the least to the greatest."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1))] for value in values)


def _score_row(name: str, score: Score, lifetime_images: float) -> tuple[str, str, str]:
    objective = OBJECTIVES[name]
    images = f"{lifetime_images:g} images" if name == "lifetime_energy" else ""
    facts = [format_interval(score, objective.unit), _origin(score), images]
    value = format_score(score, objective.unit)
    return title(objective, score.kind), value, ", ".join(fact for fact in facts if fact)


def _origin(score: Score) -> str:
    if score.split is not None:
        return f"{score.split} n={score.num_samples}" if score.num_samples else score.split
    return "exact" if score.kind == "exact" else ""


def _measurement_rows(profile: EnergyProfile, found: Measurement) -> list[tuple[str, str]]:
    meter, low, high = found.meter, *(format_quantity(bound, "J") for bound in found.absolute_j)
    kept = sum(not window.replaced for window in found.windows)
    idle = f", {fmean(found.idle_w):.3g} W idle" if found.idle_w else ""
    rows = [
        (
            "by",
            f"{meter.name} ({meter.scope}) of {meter.device_name or meter.device}, every {found.period_s * 1e3:.3g} ms",
        ),
        (
            "windows",
            f"{kept} in {found.num_blocks} block{'s' if found.num_blocks > 1 else ''}, {found.duration_s:.1f} s in all",
        ),
        ("power", f"{found.mean_power_w:.3g} W on average, {found.peak_power_w:.3g} W at most{idle}"),
        ("with the meter's own error", f"{low} to {high}"),
    ]
    if found.net_j is not None:
        rows.append(("above idle", format_quantity(found.net_j, "J")))
    if profile.peak_memory_bytes is not None:
        rows.append(("peak memory", format_quantity(profile.peak_memory_bytes, "B")))
    rows.append(("alone on the device", found.exclusivity))
    rows.append(("status", "; ".join([profile.status, *profile.reasons])))
    return rows


def _training_rows(training: Training) -> list[tuple[str, str]]:
    curve = [epoch.validation_accuracy for epoch in training.curve if epoch.validation_accuracy is not None]
    rows = []
    if curve:
        rows.append(("accuracy by epoch", f"{curve[0]:.3f} {sparkline(curve)} {curve[-1]:.3f}"))
        losses = [epoch.train_loss for epoch in training.curve]
        rows.append(("training loss by epoch", f"{losses[0]:.3f} {sparkline(losses)} {losses[-1]:.3f}"))
    rows.append(("took", f"{format_duration(training.duration_s)} on {training.device}, {len(training.curve)} epochs"))
    rows.append(("images", f"{training.num_train_images} to train on, {training.images_seen} seen"))
    rows.append(("start, seed", f"{training.key.start}, {training.key.seed}"))
    rows.append(("weights", f"kept in {Path(training.weights_file).parent}/" if training.weights_file else "not kept"))
    return rows


def _kept(name: str, violation: float) -> str:
    if not set(name) & set("<>="):  # `trainable`, `valid`: a claim, not a bound with a distance
        return "no" if violation > 0 else "yes"
    return f"broken by {violation:.1%}" if violation > 0 else f"kept, {-violation:.1%} to spare"
