"""Who is measured again, and what is done with what comes back."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ecoNAS.architecture import Deployment
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.evaluation.objectives import OBJECTIVES, Objectives
from ecoNAS.evaluation.workers import InProcessWorkers
from ecoNAS.joules import SimulatedJoules
from ecoNAS.measurement import DeviceState, Measurement, MeterInfo
from ecoNAS.records import Evaluation, Score
from ecoNAS.run_folder import RunFolder
from ecoNAS.search.refine import Refinement, Wish, undecided

METER = MeterInfo("simulated", "simulated", "constant_power", "whole device", "simulated:0")
ACCURACY_AND_JOULES = Objectives((OBJECTIVES["accuracy"], OBJECTIVES["energy_per_image"]), 1e6)
Make = Callable[..., Evaluation]


def measured(value_j: float, half_width: float) -> Measurement:
    interval = (value_j * (1 - half_width), value_j * (1 + half_width))
    return Measurement(
        METER,
        period_s=0.1,
        batch=32,
        value_j=value_j,
        repeatability=half_width,
        ranking_j=interval,
        absolute_j=interval,
        net_j=None,
        idle_w=(),
        windows=(),
        num_blocks=1,
        mean_power_w=10,
        peak_power_w=12,
        before=DeviceState(),
        after=DeviceState(),
        exclusivity="exclusive",
        duration_s=12,
    )


@pytest.fixture
def make(make_evaluation: Make) -> Make:
    """Return a function that makes an evaluation of (trial, accuracy, joules per image, half width as a share)."""

    def build(trial: int, accuracy: float, value_j: float, half_width: float) -> Evaluation:
        base = make_evaluation(trial=trial, profile_b1=None)
        assert base.profile is not None
        assert base.training is not None
        measurement = measured(value_j, half_width)
        low_j, high_j = measurement.ranking_j
        energy = SimulatedJoules(
            value_j=value_j,
            low_j=low_j,
            high_j=high_j,
            method="constant_power",
            scope="whole device",
            device="simulated:0",
        )
        score = Score(value=accuracy, standard_error=0.01, num_samples=100, split="validation", kind="measured")
        deployment = Deployment(batch=trial + 1)  # each its own digest
        return base.model_copy(
            update={
                "candidate": base.candidate.model_copy(update={"deployment": deployment}),
                "profile": base.profile.model_copy(update={"energy": energy, "measurement": measurement}),
                "training": base.training.model_copy(update={"accuracy": score}),
                "violations": {},
            }
        )

    return build


def wished(evaluations: list[Evaluation]) -> dict[int, float]:
    found = undecided(evaluations, ACCURACY_AND_JOULES, EnergySettings())
    return {wish.evaluation.trial: wish.target for wish in found}


def test_members_of_the_front_are_measured_to_two_percent_and_hopeful_ones_to_five(make: Make) -> None:
    on_front, hopeful, hopeless = make(0, 0.9, 1.0, 0.08), make(1, 0.9, 1.05, 0.09), make(2, 0.9, 1.5, 0.09)
    assert wished([on_front, hopeful, hopeless]) == {0: 0.02, 1: 0.05}


def test_what_is_known_well_enough_is_left_alone(make: Make) -> None:
    assert wished([make(0, 0.9, 1.0, 0.015), make(1, 0.9, 1.01, 0.04)]) == {}


def test_nothing_is_measured_again_where_joules_are_no_objective(make: Make) -> None:
    only_accuracy = Objectives((OBJECTIVES["accuracy"], OBJECTIVES["macs"]), 1e6)
    assert undecided([make(0, 0.9, 1.0, 0.5)], only_accuracy, EnergySettings()) == []


def test_an_estimate_is_never_measured_again(make_evaluation: Make) -> None:
    assert wished([make_evaluation()]) == {}


def refinement(folder: RunFolder, run: Callable[[Any], Evaluation], events: list[Any]) -> Refinement:
    return Refinement(
        folder,
        InProcessWorkers(run),
        lambda wish: SimpleNamespace(trial=wish.evaluation.trial, wish=wish),
        events.append,
        lambda: False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    found = RunFolder(tmp_path)
    found.create()
    return found


def find(evaluations: Any) -> list[Wish]:
    return undecided(evaluations, ACCURACY_AND_JOULES, EnergySettings())


def test_the_front_follows_what_was_measured_again(make: Make, folder: RunFolder) -> None:
    folder.write_evaluation(make(0, 0.9, 1.0, 0.08))
    folder.write_evaluation(make(1, 0.9, 1.05, 0.08))
    truth = {0: 1.06, 1: 1.02}
    events: list[Any] = []

    def measure(task: Any) -> Evaluation:
        return make(task.trial, 0.9, truth[task.trial], task.wish.target)

    replaced = refinement(folder, measure, events).run(find)

    # Both once; then trial 1, which is on the front now, to the tighter target.
    assert [(event.trial, event.target) for event in events if event.type == "profile_refined"] == [
        (0, 0.02),
        (1, 0.05),
        (1, 0.02),
    ]
    assert [event.trials for event in events if event.type == "refinement_started"] == [(0, 1), (1,)]
    assert replaced == 3
    values = {
        e.trial: e.profile.energy.value_j for e in folder.evaluations().values() if e.profile and e.profile.energy
    }
    assert values == truth


def test_what_misses_its_target_is_not_tried_for_ever_nor_after_a_resume(make: Make, folder: RunFolder) -> None:
    folder.write_evaluation(make(0, 0.9, 1.0, 0.08))
    events: list[Any] = []
    stubborn = refinement(folder, lambda task: make(0, 0.9, 1.0, 0.07), events)

    assert stubborn.run(find) == 1
    assert stubborn.run(find) == 0


def test_a_value_measured_to_the_tighter_target_gives_way_to_no_looser_one(make: Make, folder: RunFolder) -> None:
    folder.write_evaluation(make(0, 0.9, 1.0, 0.08))
    folder.write_evaluation(make(1, 0.9, 1.05, 0.02))
    events: list[Any] = []

    # Trial 0 was on the front, misses its target there, and is one that may belong there from then on.
    assert refinement(folder, lambda task: make(0, 0.9, 1.06, 0.07), events).run(find) == 1
    assert wished(list(folder.evaluations().values())) == {0: 0.05}
    assert [event.target for event in events if event.type == "profile_refined"] == [0.02]


def test_a_refused_measurement_leaves_the_profile_that_was_there(make: Make, folder: RunFolder) -> None:
    folder.write_evaluation(make(0, 0.9, 1.0, 0.08))

    def refuse(task: Any) -> Evaluation:
        raise RuntimeError("someone else was at work")

    assert refinement(folder, refuse, []).run(find) == 0
    (kept,) = folder.evaluations().values()
    assert kept.profile is not None
    assert kept.profile.energy is not None
    assert kept.profile.energy.value_j == 1.0


def test_a_bound_that_the_new_value_breaks_is_broken(make: Make, folder: RunFolder) -> None:
    kept = {"accuracy >= 0.5": -0.8}  # not known to who only measures
    folder.write_evaluation(
        make(0, 0.9, 1.0, 0.08).model_copy(update={"violations": {"energy_per_image <= 1.01 J": -0.01, **kept}})
    )
    broken = {"energy_per_image <= 1.01 J": 0.05}

    refinement(folder, lambda task: make(0, 0.9, 1.06, 0.02).model_copy(update={"violations": broken}), []).run(find)

    (evaluation,) = folder.evaluations().values()
    assert evaluation.violations == broken | kept
    assert not evaluation.is_feasible
