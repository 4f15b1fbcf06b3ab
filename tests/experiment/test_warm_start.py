"""What a search takes over from earlier runs, what it learns from them, and what it is told to try first."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from ecoNAS import ExperimentConfig, load_run, prepare, run_search
from ecoNAS.analysis.run import Run
from ecoNAS.errors import ConfigError
from ecoNAS.events import TrialEnded
from ecoNAS.experiment.warm_start import WarmStart, queued
from ecoNAS.run_folder import RunFolder
from ecoNAS.space.search_space import SearchSpace

SMOKE = Path(__file__).parents[2] / "experiments" / "smoke.yaml"


def search(folder: Path, trials: int, **changes: object) -> Run:
    values = {"search.trials": trials, "training.epochs": 1, "report.every_s": 1e9, **changes}
    run_search(prepare(ExperimentConfig.from_yaml(SMOKE, values)), RunFolder(folder), resume=False)
    return load_run(folder)


def trained_here(run: Run) -> set[str]:
    """Return the digests of what took time to train."""
    ends = [event for event in run.events if isinstance(event, TrialEnded)]
    return {event.digest for event in ends if any(phase.name == "training" for phase in event.phases)}


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return search(tmp_path_factory.mktemp("earlier") / "run", 5)


def test_a_training_with_an_equal_key_is_taken_over_with_its_weights(earlier: Run, tmp_path: Path) -> None:
    run = search(tmp_path / "run", 8, **{"search.warm_start": [str(earlier.folder)]})
    shared = {trial.digest for trial in earlier.trials}
    assert [trial.digest for trial in run.trials[:5]] == [trial.digest for trial in earlier.trials]
    assert trained_here(run) == {trial.digest for trial in run.trials} - shared
    for before, trial in zip(earlier.trials, run.trials[:5], strict=True):
        assert trial.evaluation is not None
        assert before.evaluation is not None
        assert trial.evaluation.trained_in == "run"
        assert trial.scores["accuracy"].value == before.scores["accuracy"].value
        theirs = earlier.model(before).state_dict()
        assert all(tensor.equal(theirs[name]) for name, tensor in run.model(trial).state_dict().items())
    trainings = [trial.evaluation.training for trial in run.trials[5:] if trial.evaluation]
    new_j = [training.energy.value_j for training in trainings if training and training.energy]
    assert run.ledger.search_energy_j == pytest.approx(sum(new_j))


def test_two_runs_of_one_name_are_told_apart(earlier: Run, tmp_path: Path) -> None:
    other = search(tmp_path / "other" / "run", 3, **{"training.lr": 0.003})
    run = search(tmp_path / "run", 3, **{"search.warm_start": [str(other.folder), str(earlier.folder)]})
    assert trained_here(run) == set()
    for before, trial in zip(earlier.trials, run.trials, strict=False):
        theirs = earlier.model(before).state_dict()
        assert all(tensor.equal(theirs[name]) for name, tensor in run.model(trial).state_dict().items())


def test_another_seed_or_recipe_is_trained_anew(earlier: Run, tmp_path: Path) -> None:
    for place, changes in enumerate(({"search.seed": 1}, {"training.lr": 0.005})):
        run = search(tmp_path / str(place), 3, **{"search.warm_start": [str(earlier.folder)], **changes})
        assert trained_here(run) == {trial.digest for trial in run.trials}


def test_the_sampler_takes_what_others_showed_and_goes_on(earlier: Run, tmp_path: Path) -> None:
    asked = {"search.sampler": "auto", "search.seed": 3, "search.warm_start": [str(earlier.folder)]}
    run = search(tmp_path / "run", 12, **asked)
    assert run.counts["evaluated"] == 12
    assert [trial.digest for trial in search(tmp_path / "again", 12, **asked).trials] == [
        trial.digest for trial in run.trials
    ]


def test_what_is_enqueued_comes_first(earlier: Run, tmp_path: Path) -> None:
    trial = earlier.trials[4]
    assert trial.evaluation is not None
    file = tmp_path / "architecture.json"
    file.write_text(trial.evaluation.candidate.architecture.model_dump_json())
    run = search(tmp_path / "run", 8, **{"search.seed": 9, "search.enqueue": [str(file), str(earlier.folder)]})
    members = [member.digest for member in sorted(earlier.front_trials(), key=lambda member: member.digest)]
    first = [trial.digest, *(digest for digest in members if digest != trial.digest)]
    assert {other.digest for other in run.trials[: len(first) + 1]} >= set(first)
    assert run.trials[0].digest == trial.digest


def test_a_training_without_the_scores_that_are_asked_for_is_repeated(earlier: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(earlier.folder, folder)
    for path in (folder / "evaluations").glob("*.json"):
        record = json.loads(path.read_text())
        record["training"]["scores"] = {}  # as versions without them left it
        path.write_text(json.dumps(record))
    asked = {"objectives": ["macro_f1", "macs"], "search.warm_start": [str(folder)]}
    run = search(tmp_path / "new", 3, **asked)

    assert trained_here(run) == {trial.digest for trial in run.trials}
    assert all("macro_f1" in trial.scores for trial in run.trials)


def test_what_was_decided_beside_an_architecture_is_learned_and_tried_again(tmp_path: Path) -> None:
    space = yaml.safe_load((SMOKE.parents[1] / "search_spaces" / "smoke.yaml").read_text())
    (tmp_path / "space.yaml").write_text(yaml.safe_dump({**space, "recipe": {"lr": [0.01, 0.03]}}))
    here = {"search_space": str(tmp_path / "space.yaml")}
    run = search(tmp_path / "run", 4, **here)
    changes = {**here, "search.enqueue": [str(run.folder)], "search.warm_start": [str(run.folder)]}
    setup = prepare(ExperimentConfig.from_yaml(SMOKE, {"training.epochs": 2, **changes}))
    members = {trial.digest for trial in run.front_trials()}
    elsewhere = WarmStart(setup, RunFolder(tmp_path / "new")).elsewhere()

    assert {setup.space.from_parameters(one).digest for one in queued(setup)} == members
    assert elsewhere is not None
    assert {candidate.digest for candidate, _ in elsewhere.found} == {trial.digest for trial in run.trials}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"search.warm_start": ["/nowhere"]}, r"search.warm_start.*/nowhere: no such run folder"),
        ({"search.enqueue": ["/nowhere.json"]}, r"search.enqueue.*nowhere.json"),
    ],
)
def test_a_run_that_is_not_there_is_refused_before_anything_begins(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        search(tmp_path / "run", 1, **changes)
    assert not (tmp_path / "run").exists()


def test_an_architecture_of_another_space_is_refused(tmp_path: Path) -> None:
    other = Path(__file__).parents[2] / "search_spaces" / "hybrid_tiny.yaml"
    candidate = SearchSpace.from_yaml(other).random(np.random.default_rng(0))
    file = tmp_path / "other.json"
    file.write_text(candidate.architecture.model_dump_json())
    with pytest.raises(ConfigError, match="not of the space"):
        search(tmp_path / "run", 1, **{"search.enqueue": [str(file)]})
