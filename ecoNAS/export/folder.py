"""An exported folder: everything that is needed to run a network elsewhere, and the proof that it is the same network.

The folder comes into being beside its place, is verified there, and is moved only then: an export that was not verified
leaves nothing behind.
"""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from ecoNAS.costs.counts import count_network
from ecoNAS.errors import ExportError
from ecoNAS.export.card import render_card
from ecoNAS.export.definition import render_definition
from ecoNAS.export.formats import DataCard, metrics_of
from ecoNAS.export.verify import Verification, verify_export
from ecoNAS.models.network import build_network
from ecoNAS.records import Evaluation, Score

Weights = Mapping[str, torch.Tensor]


def export_architecture(
    evaluation: Evaluation,
    weights: Weights | Path,
    data: DataCard,
    out: Path,
    test_accuracy: Score | None = None,
) -> Verification:
    """Write a candidate as a folder that stands alone, and prove in a clean process that it computes the same.

    The folder holds model.py, weights.safetensors, architecture.json, metrics.json, README.md and verification.json.

    Args:
        evaluation: The candidate, its problem and what is known about it.
        weights: Its state dict, or a safetensors file of it.
        data: What its images are.
        out: Must not exist, or be empty.
        test_accuracy: Read once from the test split, if it was.

    Raises:
        ExportError: if `out` holds anything, the weights do not fit, or the export does not compute the same;
            nothing is left behind.
    """
    architecture, problem = evaluation.candidate.architecture, evaluation.problem
    data.check(problem)
    _check_free(out)
    network = _searched_network(evaluation, _read_weights(weights) if isinstance(weights, Path) else weights)
    metrics = metrics_of(evaluation, data, test_accuracy)
    with _staging(out) as folder:
        _write(folder / "model.py", render_definition(architecture, problem, evaluation.costs))
        _write(folder / "architecture.json", architecture.to_json())
        _write(folder / "metrics.json", metrics.model_dump_json(indent=2) + "\n")
        (folder / "weights.safetensors").write_bytes(save(network.state_dict(), {"architecture": architecture.digest}))
        verification = verify_export(folder, network, problem, evaluation.costs)
        _write(folder / "README.md", render_card(metrics, architecture.describe(), verification))
        verification = verification.model_copy(update={"files": _hashes(folder)})
        _write(folder / "verification.json", verification.model_dump_json(indent=2) + "\n")
    return verification


def _check_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExportError(f"{out} exists and is not an empty folder; give another one, or empty it")


def _read_weights(path: Path) -> Weights:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ExportError(f"weights {path} cannot be read: {error}; were they kept (`keep_weights`)?") from None


def _searched_network(evaluation: Evaluation, weights: Weights) -> nn.Module:
    """Return the candidate's network with its weights, or raise ExportError where the two do not belong together."""
    with torch.random.fork_rng(devices=[]):
        network = build_network(evaluation.candidate.architecture, evaluation.problem)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ExportError(f"the weights are not those of this architecture: {reason[:300]}") from None
    if count_network(network, evaluation.problem) != evaluation.costs:
        raise ExportError("the costs in the evaluation are not those of its architecture; evaluate it again")
    return network


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """Yield a folder beside `out` whose files move into `out` when the block ends, and vanish when it fails."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
            folder = Path(name)
            yield folder
            out.mkdir(exist_ok=True)
            # The proof comes last: a folder without it was cut short.
            for path in sorted(folder.iterdir(), key=lambda path: path.name == "verification.json"):
                path.replace(out / path.name)
    except OSError as error:
        raise ExportError(f"{out} cannot be written: {error}") from None


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file, as hex digits, by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
