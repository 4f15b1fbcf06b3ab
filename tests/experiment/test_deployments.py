"""Deployment as part of a search: each is measured as it says, weights are shared, and the impossible is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ecoNAS import ExperimentConfig, load_run, prepare, run_search
from ecoNAS.analysis.provenance import provenance
from ecoNAS.analysis.quantities import differences
from ecoNAS.analysis.run import Run
from ecoNAS.analysis.tables import front_table
from ecoNAS.costs.counts import CostTable
from ecoNAS.data.datasets import load_data
from ecoNAS.errors import ConfigError
from ecoNAS.events import TrialEnded
from ecoNAS.experiment import deployable
from ecoNAS.experiment.setup import Setup
from ecoNAS.export.formats import DataCard
from ecoNAS.records import Evaluation
from ecoNAS.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
SPACE: dict[str, Any] = {
    "name": "deployed",
    "resolution": {"min": 4, "max": 32},
    "stem": {"width": 4},
    "stages": [{"width": [4, 8], "depth": 1, "stride": 2, "block": {"convnext": {"kernel_size": 3, "expansion": 1}}}],
}


def setup_of(folder: Path, deployment: dict[str, Any], **changes: Any) -> Setup:
    folder.mkdir(exist_ok=True)
    (folder / "space.yaml").write_text(yaml.safe_dump({**SPACE, "deployment": deployment}))
    values = {
        "search_space": str(folder / "space.yaml"),
        "training.epochs": 1,
        "search.trials": 6,
        "report.every_s": 1e9,
        **changes,
    }
    return prepare(ExperimentConfig.from_yaml(ROOT / "experiments" / "smoke.yaml", values))


def search(folder: Path, deployment: dict[str, Any], **changes: Any) -> Run:
    run_search(setup_of(folder, deployment, **changes), RunFolder(folder / "run"), resume=False)
    return load_run(folder / "run")


def evaluations(run: Run) -> list[Evaluation]:
    return [trial.evaluation for trial in run.trials if trial.evaluation is not None]


def num_trainings(run: Run) -> int:
    """Return how often time was spent on a training, by the events."""
    ends = [event for event in run.events if isinstance(event, TrialEnded)]
    return sum(phase.name == "training" for event in ends for phase in event.phases)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two architectures, eight deployments of each; joules are estimated, latency is measured."""
    choices = {"threads": [1, 2], "batch": [1, 8], "layout": ["contiguous", "channels_last"]}
    objectives = ["accuracy", "latency", "energy_per_image"]
    folder = tmp_path_factory.mktemp("deployed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deployable, "available_cpus", lambda: 2)
        return search(folder, choices, objectives=objectives)


def test_each_deployment_is_measured_as_it_says(run: Run) -> None:
    found = evaluations(run)
    assert len(found) == 6
    assert len({item.candidate.deployment for item in found}) > 2
    for item in found:
        assert item.profile is not None
        assert item.profile.key.deployment == item.candidate.deployment
        assert item.profile.latency is not None
        assert item.profile.latency.batch == item.candidate.deployment.batch
    assert len({item.profile.key.digest for item in found if item.profile}) == 6


def test_an_architecture_is_trained_once_however_often_it_is_deployed(run: Run) -> None:
    found = evaluations(run)
    assert len({item.candidate.architecture.digest for item in found}) == 2
    assert num_trainings(run) == 2
    assert len({item.training.model_dump_json() for item in found if item.training}) == 2
    assert all(item.training and (run.folder / str(item.training.weights_file)).exists() for item in found)


def test_where_the_numbers_come_from_says_that_networks_run_differently(run: Run) -> None:
    num = len({item.candidate.deployment for item in evaluations(run)})
    assert dict(provenance(run))["networks run as"].startswith(f"{num} deployments")


def test_the_front_says_what_sets_deployments_apart(run: Run) -> None:
    cells = [str(cell) for cell in front_table(run).columns[-1].cells]
    members = [item.evaluation.candidate for item in run.front_trials() if item.evaluation]
    assert [cell.partition("\n")[2] for cell in cells] == differences(members)


def test_a_resumed_run_takes_what_an_earlier_session_trained(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployable, "available_cpus", lambda: 2)
    config = run.config.model_copy(update={"search": run.config.search.model_copy(update={"trials": 8})})
    run_search(prepare(config), RunFolder(run.folder), resume=True)
    again = load_run(run.folder)
    assert len(evaluations(again)) == 8
    assert num_trainings(again) == 2


@pytest.mark.slow
def test_two_ray_workers_train_an_architecture_once(tmp_path: Path) -> None:
    workers = {"kind": "ray", "count": 2}
    run = search(tmp_path / "ray", {"batch": [1, 2, 4, 8]}, workers=workers, objectives=["accuracy", "macs"])
    assert len(evaluations(run)) == 6
    assert num_trainings(run) == len({item.candidate.architecture.digest for item in evaluations(run)}) == 2


def test_a_network_is_trained_at_the_resolution_at_which_it_will_run(tmp_path: Path) -> None:
    run = search(tmp_path, {"resolution": [4, 8], "batch": [1, 8]}, objectives=["accuracy", "latency", "macs"])
    found = evaluations(run)
    for item in found:
        size = item.candidate.deployment.resolution
        assert size is not None
        assert item.problem.resolution == size
        assert item.training is not None
        assert item.training.key.resolution == size
        assert item.costs == CostTable(item.problem).costs(item.candidate.architecture)
    assert {item.problem.resolution for item in found} == {4, 8}
    trained = {(item.candidate.architecture.digest, item.problem.resolution) for item in found}
    assert num_trainings(run) == len(trained)
    by_size = {item.problem.resolution: item.training.key.data for item in found if item.training}
    assert by_size[4] != by_size[8]  # the images that it saw were smaller
    card = DataCard.model_validate_json((run.folder / "data.json").read_bytes())
    for size in (4, 8):
        scale = load_data(run.config.data.model_copy(update={"resolution": size})).normalisation
        assert (card.at(size).mean, card.at(size).std) == (scale.mean, scale.std)  # what an export says
    assert card.at(4).std != card.at(8).std
    at = {(item.candidate.architecture.digest, item.problem.resolution): item.costs.macs for item in found}
    assert all(at[digest, 4] < macs for (digest, size), macs in at.items() if size == 8 and (digest, 4) in at)


def test_weights_that_a_front_member_shares_are_kept(tmp_path: Path) -> None:
    choices = {"batch": [1, 2, 4, 8, 16]}
    run = search(tmp_path, choices, keep_weights="front", objectives=["accuracy", "latency"])
    members = [trial.evaluation.training for trial in run.front_trials() if trial.evaluation]
    assert len({trial.digest for trial in run.trials}) > num_trainings(run)
    assert all(one is not None and (run.folder / str(one.weights_file)).exists() for one in members)


def test_bf16_has_latency_and_no_joules_where_none_can_be_estimated(tmp_path: Path) -> None:
    run = search(tmp_path, {"dtype": ["bf16", "fp32"]}, objectives=["accuracy", "latency"], **{"search.trials": 4})
    found = {item.candidate.deployment.dtype: item.profile for item in evaluations(run)}
    assert found["fp32"] is not None
    assert found["fp32"].energy is not None
    half = found["bf16"]
    assert half is not None
    assert half.energy is None
    assert half.latency is not None
    assert half.reasons == ("joules in bf16 cannot be estimated on 'class:cpu'",)


@pytest.mark.parametrize(
    ("deployment", "changes", "message"),
    [
        ({"dtype": ["fp32", "fp16"]}, {}, r"space 'deployed': deployment\.dtype: fp16 is made for GPUs.*a CPU"),
        ({}, {"deployment.dtype": "fp16"}, r"smoke\.yaml.*deployment\.dtype: fp16 is made for GPUs"),
        ({"threads": [1, 100]}, {}, r"deployment\.threads: 100 threads are more than the \d+ CPUs"),
        ({}, {"deployment.threads": 100}, r"deployment\.threads: 100 threads are more than"),
        ({"resolution": [8, 16]}, {}, r"deployment\.resolution: 16 pixels are more than the 8 that the data has"),
        ({"resolution": [2, 8]}, {}, r"deployment\.resolution: 2 pixels are not within the 4 to 32"),
        ({}, {"deployment.resolution": 4}, r"run at the resolution in which they are trained.*set data\.resolution"),
        ({"dtype": ["fp32", "bf16"]}, {}, r"no published figures to estimate dtype 'bf16'"),
        ({"dtype": ["fp32", "bf16"]}, {"objectives": ["accuracy", "macs"], "constraints": ["energy_per_image <= 1 J"]},
         r"no published figures to estimate dtype 'bf16'"),
        ({"runtime": ["eager", "onnxruntime"], "dtype": ["fp32", "bf16"]}, {"objectives": ["accuracy", "latency"]},
         r"ONNX Runtime has no bf16"),
        ({"runtime": ["eager", "onnxruntime"], "layout": ["contiguous", "channels_last"]}, {},
         r"deployment\.layout: ONNX Runtime lays out its own memory"),
        ({"runtime": ["eager", "jit"]}, {}, r"runtime 'jit' must be"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_in_one_line(
    tmp_path: Path, deployment: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        setup_of(tmp_path, deployment, **{"workers.device": "cpu", **changes})
    assert "\n" not in str(caught.value)


def test_compiling_without_a_compiler_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ConfigError, match=r"'compiled' needs a C\+\+ compiler \(g\+\+ or clang\+\+\)"):
        setup_of(tmp_path, {"runtime": ["eager", "compiled"]}, **{"workers.device": "cpu"})


def test_an_architecture_can_come_first_where_the_base_is_not_among_the_choices(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, {"batch": [2, 4]})  # the experiment's own is 32
    network = next(iter(setup.space.listing(10) or [])).architecture
    assert setup.space.deployed(network).deployment.batch == 2
    assert setup.space.parameters(setup.space.deployed(network))["deployment.batch"] == 2
