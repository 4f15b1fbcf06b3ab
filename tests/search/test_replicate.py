"""Who is trained again with another seed, and what is done with the scores."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ecoNAS import ExperimentConfig, load_run, prepare, run_search
from ecoNAS.architecture import Deployment
from ecoNAS.evaluation.objectives import OBJECTIVES, Objectives, mean_score
from ecoNAS.events import Event, ReplicationStarted, TrainingReplicated
from ecoNAS.records import Evaluation, Score
from ecoNAS.run_folder import RunFolder
from ecoNAS.search.replicate import Replication, doubtful, first_of_each_training

SMOKE = Path(__file__).parents[2] / "experiments" / "smoke.yaml"
ACCURACY_AND_MACS = Objectives((OBJECTIVES["accuracy"], OBJECTIVES["macs"]), 1e6)
Make = Callable[..., Evaluation]


def score(value: float, error: float = 0.01) -> Score:
    return Score(value=value, standard_error=error, num_samples=100, split="validation", kind="measured")


@pytest.fixture
def make(make_evaluation: Make) -> Make:
    """Return a function that makes an evaluation of (trial, MACs, accuracies of its trainings)."""

    def build(trial: int, macs: int, *accuracies: float) -> Evaluation:
        base = make_evaluation(trial=trial)
        assert base.training is not None
        trainings = [base.training.model_copy(update={"accuracy": score(value)}) for value in accuracies]
        candidate = base.candidate.model_copy(update={"deployment": Deployment(batch=trial + 1)})
        costs = base.costs.model_copy(update={"macs": macs})
        changes = {"candidate": candidate, "costs": costs, "training": trainings[0], "violations": {}}
        return base.model_copy(update={**changes, "replicates": tuple(trainings[1:])})

    return build


def chosen(*evaluations: Evaluation) -> list[int]:
    return [evaluation.trial for evaluation in doubtful(evaluations, ACCURACY_AND_MACS)]


def test_who_would_lose_its_place_with_less_luck_is_doubtful(make: Make) -> None:
    cheap, dear, beaten = make(0, 100, 0.80), make(1, 200, 0.81), make(2, 150, 0.79)
    assert chosen(cheap, dear, beaten) == [1]  # 0.81 - 0.0196 is below the cheaper one's 0.80
    assert chosen(make(0, 100, 0.80), make(1, 200, 0.90)) == []


def test_a_network_is_trained_three_times_at_most(make: Make) -> None:
    cheap = make(0, 100, 0.80)
    assert chosen(cheap, make(1, 200, 0.805, 0.812)) == [1]
    assert chosen(cheap, make(1, 200, 0.805, 0.812, 0.806)) == []


def test_a_mean_score_has_the_error_of_the_images_and_that_of_the_seeds() -> None:
    found = mean_score([score(0.80), score(0.84)])
    assert found.value == pytest.approx(0.82)
    # The standard deviation of two values is 0.02 * sqrt(2), of their mean 0.02; the images' 0.01 do not get less.
    assert found.standard_error == pytest.approx(math.hypot(0.01, 0.02))
    assert mean_score([score(0.8)]) == score(0.8)


def search(folder: Path, *, resume: bool = False, **changes: Any) -> None:
    values = {
        "search.trials": 16,
        "objectives": ["accuracy", "params"],
        "search.replicates": "auto",
        "training.epochs": 1,
        "report.every_s": 1e9,
        **changes,
    }
    run_search(prepare(ExperimentConfig.from_yaml(SMOKE, values)), RunFolder(folder), resume=resume)


def test_a_search_trains_its_doubtful_front_again_and_pays_for_it(tmp_path: Path) -> None:
    search(tmp_path / "run", constraints=["accuracy >= 0.01"])
    run = load_run(tmp_path / "run")
    again = [event for event in run.events if isinstance(event, TrainingReplicated)]
    assert again
    assert any(isinstance(event, ReplicationStarted) for event in run.events)
    evaluations = {trial.number: trial.evaluation for trial in run.trials}
    for event in again:
        evaluation = evaluations[event.trial]
        assert evaluation is not None
        assert len({training.key.seed for training in evaluation.trainings}) == len(evaluation.trainings) >= 2
        assert all(training.weights_file is None for training in evaluation.replicates)
        mean = sum(training.accuracy.value for training in evaluation.trainings) / len(evaluation.trainings)
        (shown,) = [trial.scores["accuracy"].value for trial in run.trials if trial.number == event.trial]
        assert shown == pytest.approx(mean)
        assert evaluation.violations["accuracy >= 0.01"] == pytest.approx((0.01 - mean) / 0.01)
    assert doubtful([e for e in evaluations.values() if e], run.objectives) == []
    trained_j = sum(t.energy.value_j for e in evaluations.values() if e for t in e.trainings if t.energy)
    rows = [row.energy_j for row in run.ledger.rows if row.phase == "training"]
    assert sum(value for value in rows if value is not None) == pytest.approx(trained_j)

    search(tmp_path / "run", resume=True, constraints=["accuracy >= 0.01"])
    after = [event for event in load_run(tmp_path / "run").events if isinstance(event, TrainingReplicated)]
    assert len(after) == len(again)


def test_networks_that_differ_in_deployment_alone_are_trained_again_once(make: Make, tmp_path: Path) -> None:
    """Both share their first training, and so its seed: a second one would be the same, too."""
    folder = RunFolder(tmp_path)
    folder.create()
    twins = make(1, 100, 0.80, 0.82), make(2, 90, 0.80)
    for one in twins:
        folder.write_evaluation(one)
    asked: list[tuple[int, ...]] = []

    def find(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
        asked.append(tuple(len(one.trainings) for one in sorted(evaluations, key=lambda one: one.trial)))
        return [one for one in evaluations if len(one.trainings) < 2]

    workers, told = cast("Any", None), list[Event]()  # nothing is trained
    task = SimpleNamespace(constraints=())
    assert Replication(folder, workers, lambda _: task, told.append, lambda: False).run(find) == 0
    assert asked == [(2, 1), (2, 2)]
    assert [training.accuracy.value for training in folder.evaluations()[twins[1].digest].trainings] == [0.80, 0.82]
    assert told == []  # no joule was spent
    assert first_of_each_training(twins) == [twins[0]]
