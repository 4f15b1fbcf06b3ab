"""One candidate from task to record, with real data and real training of a tiny network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ecoNAS import ExperimentConfig, build_network, prepare
from ecoNAS.costs.constraints import parse_constraint
from ecoNAS.costs.counts import count_network
from ecoNAS.data.datasets import load_data
from ecoNAS.errors import DataError
from ecoNAS.evaluation.evaluate import evaluate
from ecoNAS.evaluation.task import EvaluationTask
from ecoNAS.experiment.setup import Setup
from ecoNAS.records import Evaluation, Outcome
from ecoNAS.training.failures import DivergedError, MemoryExhaustedError

SMOKE = Path(__file__).parents[2] / "experiments" / "smoke.yaml"


def setup_with(**changes: Any) -> Setup:
    return prepare(ExperimentConfig.from_yaml(SMOKE, {key.replace("__", "."): value for key, value in changes.items()}))


def task_of(setup: Setup, folder: Path | None = None) -> EvaluationTask:
    candidate = setup.space.random(np.random.default_rng(5))
    return setup.task(3, candidate, setup.space.costs(candidate), folder)


def test_an_evaluation_joins_costs_profile_and_training_of_its_candidate(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    setup = setup_with()
    task = task_of(setup, tmp_path)
    evaluation = evaluate(task)
    assert evaluation.outcome is Outcome.EVALUATED
    assert (evaluation.trial, evaluation.candidate, evaluation.costs) == (3, task.candidate, task.costs)
    assert evaluation.profile is not None
    assert evaluation.profile.energy.kind == "estimated"
    training = evaluation.training
    assert training is not None
    assert len(training.curve) == 2
    assert training.key == task.training_key
    assert training.energy is not None
    labels = load_data(setup.config.data).validation.labels
    right = np.mean(np.asarray(training.validation_predictions) == labels)
    assert training.accuracy.value == pytest.approx(right)
    assert training.accuracy.num_samples == len(labels)
    network = build_network(task.candidate.architecture, task.problem)
    network.load_state_dict(load_file(tmp_path / f"weights/{task.candidate.digest}.safetensors"))
    assert count_network(network, task.problem) == evaluation.costs
    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation


def test_the_same_task_gives_the_same_network_whatever_ran_before(tmp_path: Path) -> None:
    setup = setup_with()
    weights = []
    for name in ("a", "b"):
        (tmp_path / name / "weights").mkdir(parents=True)
        task = task_of(setup, tmp_path / name)
        first = evaluate(task)
        weights.append(load_file(tmp_path / name / f"weights/{task.candidate.digest}.safetensors"))
        torch.rand(17)  # as another candidate in the same process would
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert first.training is not None


def test_another_run_seed_is_another_training() -> None:
    one, other = (task_of(setup_with(search__seed=seed)).training_key for seed in (0, 1))
    assert one.digest != other.digest


def test_deployment_and_recipe_belong_to_different_keys() -> None:
    base = task_of(setup_with())
    deployed = task_of(setup_with(deployment__threads=2))
    longer = task_of(setup_with(training__epochs=3))
    assert deployed.training_key.digest == base.training_key.digest
    assert deployed.candidate.digest != base.candidate.digest
    assert longer.training_key.digest != base.training_key.digest
    assert longer.candidate.digest == base.candidate.digest


def test_latency_is_measured_only_where_somebody_asks_for_it() -> None:
    asked = evaluate(task_of(setup_with(objectives=["accuracy", "latency"], training__epochs=1)))
    assert asked.profile is not None
    assert asked.profile.latency is not None
    assert 0 < asked.profile.latency.median_s <= asked.profile.latency.p95_s
    silent = evaluate(task_of(setup_with(training__epochs=1)))
    assert silent.profile is not None
    assert silent.profile.latency is None


def test_a_measured_bound_that_is_broken_refuses_before_any_training() -> None:
    evaluation = evaluate(task_of(setup_with(constraints=["latency <= 1 us"])))
    assert evaluation.outcome is Outcome.REFUSED
    assert evaluation.training is None
    assert evaluation.violations["latency <= 1 us"] > 0
    assert "latency" in evaluation.reason


def test_a_bound_on_accuracy_is_judged_after_training_and_keeps_the_record() -> None:
    evaluation = evaluate(task_of(setup_with(constraints=["accuracy >= 0.9999"], training__epochs=1)))
    assert evaluation.outcome is Outcome.EVALUATED
    assert evaluation.violations["accuracy >= 0.9999"] > 0
    assert not evaluation.is_feasible


@pytest.mark.parametrize(
    "error", [DivergedError("training loss is nan"), MemoryExhaustedError("epoch 1: out of memory")]
)
def test_divergence_and_out_of_memory_are_outcomes(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def explode(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("ecoNAS.evaluation.train_network.train", explode)
    evaluation = evaluate(task_of(setup_with()))
    assert evaluation.outcome is Outcome.INFEASIBLE
    assert evaluation.reason == str(error)
    assert evaluation.training is None
    assert evaluation.profile is not None


def test_a_learning_rate_that_is_far_too_high_diverges_in_truth() -> None:
    evaluation = evaluate(task_of(setup_with(training__lr=1e18, training__warmup_epochs=0)))
    assert evaluation.outcome is Outcome.INFEASIBLE
    assert "lower training.lr" in evaluation.reason


def test_data_that_changed_since_the_study_began_is_refused() -> None:
    task = task_of(setup_with()).model_copy(update={"data_digest": "0" * 64})
    with pytest.raises(DataError, match="is not the one that the study began with"):
        evaluate(task)


def test_lifetime_energy_is_training_plus_the_stated_images() -> None:
    setup = setup_with(objectives=["accuracy", "lifetime_energy"], energy__lifetime_images=1000, training__epochs=1)
    evaluation = evaluate(task_of(setup))
    assert evaluation.training is not None
    assert evaluation.training.energy is not None
    assert evaluation.profile is not None
    values = setup.objectives.values(evaluation)
    assert values is not None
    expected = evaluation.training.energy.value_j + 1000 * evaluation.profile.energy.value_j
    assert values[1] == pytest.approx(expected)


def test_joules_at_batch_1_are_a_record_of_their_own_and_only_where_asked_for() -> None:
    plain = evaluate(task_of(setup_with(objectives=["accuracy", "energy_per_image"])))
    assert plain.profile_b1 is None

    asked = evaluate(task_of(setup_with(objectives=["accuracy", "energy_per_image", "energy_per_image_b1"])))
    assert asked.profile is not None
    assert asked.profile_b1 is not None
    assert asked.profile_b1.quantity == "energy_per_image_b1"
    assert asked.profile_b1.key.deployment == asked.profile.key.deployment.model_copy(update={"batch": 1})
    # Weights are read once a batch, so an image alone takes more.
    assert asked.profile_b1.energy > asked.profile.energy


def test_a_bound_on_joules_at_batch_1_refuses_before_training() -> None:
    bounds = ["energy_per_image_b1 <= 1 nJ"]
    setup = setup_with(objectives=["accuracy", "energy_per_image_b1"])
    task = task_of(setup).model_copy(
        update={"constraints": (parse_constraint(bounds[0], {"energy_per_image_b1": "J"}),)}
    )

    found = evaluate(task)

    assert found.outcome is Outcome.REFUSED
    assert found.training is None
    assert found.violations[bounds[0]] > 0


def test_a_deployment_at_batch_1_is_not_measured_twice() -> None:
    setup = setup_with(objectives=["accuracy", "energy_per_image_b1"], deployment__batch=1)
    found = evaluate(task_of(setup))
    assert found.profile is not None
    assert found.profile_b1 is not None
    assert found.profile_b1.energy == found.profile.energy
    assert found.profile_b1.started == found.profile_b1.ended
