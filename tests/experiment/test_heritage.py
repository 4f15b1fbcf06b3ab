"""What trainings of a search begin with, and that their keys say so."""

from pathlib import Path

import pytest

from ecoNAS import ExperimentConfig, load_run, prepare, run_search
from ecoNAS.analysis.run import Run
from ecoNAS.errors import ConfigError
from ecoNAS.run_folder import RunFolder

SMOKE = Path(__file__).parents[2] / "experiments" / "smoke.yaml"


def search(folder: Path, **changes: object) -> Run:
    values = {"search.trials": 6, "training.epochs": 2, "report.every_s": 1e9, **changes}
    run_search(prepare(ExperimentConfig.from_yaml(SMOKE, values)), RunFolder(folder), resume=False)
    return load_run(folder)


def test_networks_inherit_from_the_nearest_that_was_trained_before(tmp_path: Path) -> None:
    run = search(tmp_path / "run", start="inherit")
    trainings = [trial.evaluation.training for trial in run.trials if trial.evaluation]
    first, *others = [training for training in trainings if training is not None]

    assert first.key.start == "scratch"
    assert first.inherited == 0.0
    digests = {trial.evaluation.candidate.architecture.digest[:16] for trial in run.trials if trial.evaluation}
    assert all(training.key.start.removeprefix("inherit:") in digests for training in others)
    assert all(0 < training.inherited <= 1 for training in others)


def test_weights_of_a_run_are_taken_up_by_name(tmp_path: Path) -> None:
    before = search(tmp_path / "before")
    weights = [trial.evaluation.training.weights_file for trial in before.trials if trial.evaluation.training]
    run = search(tmp_path / "run", start={"weights": str(tmp_path / "before" / weights[0])})
    trainings = [trial.evaluation.training for trial in run.trials if trial.evaluation]

    assert {training.key.start for training in trainings} == {trainings[0].key.start}
    assert trainings[0].key.start.startswith("weights:")
    assert trainings[0].inherited == 1.0  # the same network comes first
    assert trainings[0].accuracy.value > before.trials[0].scores["accuracy"].value - 0.05


def test_every_seed_of_a_network_begins_with_the_same_weights(tmp_path: Path) -> None:
    before = search(tmp_path / "before", **{"search.trials": 2})
    assert before.trials[0].evaluation is not None
    assert before.trials[0].evaluation.training is not None
    start = {"weights": str(tmp_path / "before" / str(before.trials[0].evaluation.training.weights_file))}
    doubtful = {"objectives": ["accuracy", "params"], "search.replicates": "auto", "search.trials": 16}
    run = search(tmp_path / "run", start=start, **doubtful)
    again = [one for trial in run.trials if trial.evaluation for one in trial.evaluation.replicates]

    assert again
    assert {training.key.start.partition(":")[0] for training in again} == {"weights"}


def test_seeds_cannot_be_compared_where_each_inherits_anew() -> None:
    values = {"start": "inherit", "search.replicates": "auto"}
    with pytest.raises(ConfigError, match=r"start.*inherit begins each training with other weights, .*choose one"):
        prepare(ExperimentConfig.from_yaml(SMOKE, values))


def test_weights_that_are_not_there_are_named_with_the_line(tmp_path: Path) -> None:
    values = {"start": {"weights": str(tmp_path / "gone.safetensors")}}
    with pytest.raises(ConfigError, match=r"smoke.yaml.*start.weights.*gone.safetensors: no such file of weights"):
        prepare(ExperimentConfig.from_yaml(SMOKE, values))
