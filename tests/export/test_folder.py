"""Exports and their proof. Each verification starts a process that imports torch and timm, which takes seconds."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from networks import one_of_every_kind, randomise_statistics, small_hybrid
from safetensors.torch import load_file, save_file

from ecoNAS.architecture import Candidate, Problem, ReadyArchitecture, load_architecture
from ecoNAS.costs.counts import CostTable
from ecoNAS.errors import ExportError
from ecoNAS.export import folder
from ecoNAS.export.folder import export_architecture
from ecoNAS.export.formats import DataCard
from ecoNAS.models.network import build_network
from ecoNAS.records import Evaluation, Score

PROBLEM = Problem(input_channels=3, resolution=16, num_classes=4)
DATA = DataCard(name="shapes", class_names=("dot", "line", "ring", "star"), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1))

Weights = dict[str, torch.Tensor]


@pytest.fixture
def evaluation(make_evaluation: Callable[..., Evaluation]) -> Evaluation:
    candidate = Candidate(architecture=small_hybrid())
    costs = CostTable(PROBLEM).costs(candidate.architecture)
    return make_evaluation(candidate=candidate, problem=PROBLEM, costs=costs)


@pytest.fixture
def weights() -> Weights:
    """Random weights, with statistics of batch norm that are not those of a fresh network."""
    torch.manual_seed(0)
    state = build_network(small_hybrid(), PROBLEM).state_dict()
    for name, value in state.items():
        if name.endswith("running_mean"):
            value.normal_()
        if name.endswith("running_var"):
            value.uniform_(0.2, 3.0)
    return state


def test_an_export_is_whole_and_verified(evaluation: Evaluation, weights: Weights, tmp_path: Path) -> None:
    file, out = tmp_path / "w.safetensors", tmp_path / "exports" / "knee"
    save_file(weights, file)
    random_state = torch.random.get_rng_state()
    test_accuracy = Score(value=0.875, standard_error=0.0123, num_samples=720, split="test", kind="measured")
    verification = export_architecture(evaluation, file, DATA, out, test_accuracy)

    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert verification.verified
    assert verification.max_abs_difference <= verification.tolerance
    assert len(set(verification.batch_sizes)) == 2
    assert (verification.params, verification.macs) == (evaluation.costs.params, evaluation.costs.macs)
    names = {"model.py", "weights.safetensors", "architecture.json", "metrics.json", "README.md"}
    assert {path.name for path in out.iterdir()} == names | {"verification.json"}
    assert [path.name for path in out.parent.iterdir()] == ["knee"]
    assert verification.files == {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in names}
    assert json.loads((out / "verification.json").read_text()) == verification.model_dump(mode="json")
    assert load_architecture(out / "architecture.json") == evaluation.candidate.architecture
    saved = load_file(out / "weights.safetensors")
    assert all(torch.equal(saved[name], weights[name]) for name in weights)
    check_what_is_told(out)


def test_every_kind_of_block_is_rebuilt_where_there_is_no_econas(
    make_evaluation: Callable[..., Evaluation], tmp_path: Path
) -> None:
    architecture = one_of_every_kind()
    torch.manual_seed(0)
    network = build_network(architecture, PROBLEM)
    randomise_statistics(network)
    costs = CostTable(PROBLEM).costs(architecture)
    evaluation = make_evaluation(candidate=Candidate(architecture=architecture), problem=PROBLEM, costs=costs)

    assert export_architecture(evaluation, network.state_dict(), DATA, tmp_path / "out").verified


def test_a_ready_model_is_one_call_of_timm_that_downloads_nothing(
    make_evaluation: Callable[..., Evaluation], tmp_path: Path
) -> None:
    architecture, problem = ReadyArchitecture(timm="test_vit"), PROBLEM.model_copy(update={"resolution": 32})
    torch.manual_seed(0)
    network = build_network(architecture, problem)
    costs = CostTable(problem).costs(architecture)
    evaluation = make_evaluation(candidate=Candidate(architecture=architecture), problem=problem, costs=costs)
    verification = export_architecture(evaluation, network.state_dict(), DATA, tmp_path / "out")
    definition = (tmp_path / "out" / "model.py").read_text()

    assert verification.verified
    assert load_architecture(tmp_path / "out" / "architecture.json") == architecture
    assert "create_model('test_vit', pretrained=False, in_chans=3, num_classes=4, img_size=32)" in definition
    assert "class Network" not in definition


def check_what_is_told(out: Path) -> None:
    """Normalisation and joules with their kind, for programs and for people."""
    metrics, card = json.loads((out / "metrics.json").read_text()), (out / "README.md").read_text(encoding="utf-8")

    assert metrics["data"] == DATA.model_dump(mode="json")
    assert metrics["profile"]["energy"]["kind"] == "estimated"
    assert metrics["scores"]["test_accuracy"]["standard_error"] == 0.0123
    assert "torch.tensor([[[0.5]], [[0.4]], [[0.3]]])) / torch.tensor([[[0.2]], [[0.2]], [[0.1]]])" in card
    assert "| validation accuracy | 0.9000 ± 0.0300 (standard error), 100 images |" in card
    assert "| test accuracy | 0.8750 ± 0.0123 (standard error), 720 images |" in card
    assert "| energy per image | 2 mJ, **estimated** (interval 667 µJ to 6 mJ) |" in card
    assert "Nothing was measured: these joules are computed from counts." in card
    assert "dot, line, ring, star" in card


def test_a_definition_that_computes_something_else_leaves_nothing(
    evaluation: Evaluation, weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render = folder.render_definition
    monkeypatch.setattr(
        folder, "render_definition", lambda *given: re.sub("nn.SiLU", "nn.ReLU", render(*given), count=1)
    )

    with pytest.raises(ExportError, match="computes something else: logits differ by"):
        export_architecture(evaluation, weights, DATA, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_definition_that_needs_econas_leaves_nothing(
    evaluation: Evaluation, weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render = folder.render_definition
    monkeypatch.setattr(folder, "render_definition", lambda *given: render(*given) + "\nimport ecoNAS.errors\n")

    with pytest.raises(ExportError, match=r"does not run without ecoNAS: (ModuleNotFound|Import)Error"):
        export_architecture(evaluation, weights, DATA, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_anything_is_refused(evaluation: Evaluation, weights: Weights, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    with pytest.raises(ExportError, match="exists and is not an empty folder"):
        export_architecture(evaluation, weights, DATA, tmp_path)
    with pytest.raises(ExportError, match="exists and is not an empty folder"):
        export_architecture(evaluation, weights, DATA, tmp_path / "mine.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_weights_of_another_architecture_are_refused(evaluation: Evaluation, weights: Weights, tmp_path: Path) -> None:
    del weights["stem.conv.weight"]

    with pytest.raises(ExportError, match=r"not those of this architecture: .*stem.conv.weight"):
        export_architecture(evaluation, weights, DATA, tmp_path / "out")


@pytest.mark.parametrize("content", [None, b"no tensors"])
def test_weights_that_cannot_be_read_are_refused(evaluation: Evaluation, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "w.safetensors"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ExportError, match=r"weights .*w.safetensors cannot be read"):
        export_architecture(evaluation, file, DATA, tmp_path / "out")


def test_diverged_weights_are_refused(evaluation: Evaluation, weights: Weights, tmp_path: Path) -> None:
    weights["head.3.bias"].fill_(torch.nan)

    with pytest.raises(ExportError, match="outputs are not finite"):
        export_architecture(evaluation, weights, DATA, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_costs_of_another_architecture_are_refused(
    make_evaluation: Callable[..., Evaluation], weights: Weights, tmp_path: Path
) -> None:
    evaluation = make_evaluation(candidate=Candidate(architecture=small_hybrid()), problem=PROBLEM)

    with pytest.raises(ExportError, match="costs in the evaluation are not those of its architecture"):
        export_architecture(evaluation, weights, DATA, tmp_path / "out")


def test_a_data_card_that_does_not_fit_is_refused(evaluation: Evaluation, weights: Weights, tmp_path: Path) -> None:
    card = DATA.model_copy(update={"class_names": ("dot", "line")})

    with pytest.raises(ExportError, match="shapes gives 2 class names, the network has 4"):
        export_architecture(evaluation, weights, card, tmp_path / "out")
