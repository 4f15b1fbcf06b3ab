"""Records: there and back through JSON, sums of costs, keys that decide, and what counts as feasible."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ecoNAS.architecture import Deployment
from ecoNAS.records import Costs, Evaluation, Outcome, ProfileKey, Score, TrainingKey, now

MakeEvaluation = Callable[..., Evaluation]
COUNTS = st.integers(0, 10**12)
COSTS = st.builds(Costs, params=COUNTS, macs=COUNTS, activation_memory_bytes=COUNTS)


def test_an_evaluation_comes_back_from_json_as_it_was(make_evaluation: MakeEvaluation) -> None:
    evaluation = make_evaluation()

    back = Evaluation.model_validate_json(evaluation.model_dump_json())

    assert back == evaluation
    assert back.digest == evaluation.digest == evaluation.candidate.digest
    assert back.profile is not None
    assert back.profile.energy.kind == "estimated"


def test_an_evaluation_that_was_refused_comes_back_too(make_evaluation: MakeEvaluation) -> None:
    evaluation = make_evaluation(outcome=Outcome.REFUSED, reason="params é", profile=None, training=None)

    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation


@pytest.mark.parametrize("change", ['"version":2', '"version":1,"surprise":1'])
def test_records_of_another_version_are_refused(make_evaluation: MakeEvaluation, change: str) -> None:
    text = make_evaluation().model_dump_json().replace('"version":1', change, 1)

    with pytest.raises(ValidationError):
        Evaluation.model_validate_json(text)


@given(COSTS, COSTS)
def test_costs_of_two_parts_add_up(a: Costs, b: Costs) -> None:
    total = a + b

    assert (total.params, total.macs) == (a.params + b.params, a.macs + b.macs)
    assert total.activation_memory_bytes == a.activation_memory_bytes + b.activation_memory_bytes
    assert total.flops == 2 * a.macs + 2 * b.macs


def test_costs_are_not_negative() -> None:
    with pytest.raises(ValidationError):
        Costs(params=-1, macs=0, activation_memory_bytes=0)


@pytest.mark.parametrize(
    ("outcome", "violations", "is_feasible"),
    [
        (Outcome.EVALUATED, {}, True),
        (Outcome.EVALUATED, {"params": -0.1, "macs": 0.0}, True),
        (Outcome.EVALUATED, {"params": -0.1, "energy_per_image": 0.01}, False),
        (Outcome.INFEASIBLE, {}, False),
        (Outcome.STOPPED, {}, False),
        (Outcome.REFUSED, {"params": 0.5}, False),
    ],
)
def test_feasible_is_what_was_evaluated_and_breaks_no_bound(
    make_evaluation: MakeEvaluation, outcome: Outcome, violations: dict[str, float], is_feasible: bool
) -> None:
    assert make_evaluation(outcome=outcome, violations=violations).is_feasible is is_feasible


def test_whatever_decides_joules_changes_the_key_of_a_profile() -> None:
    key = ProfileKey(architecture="a", deployment=Deployment(), device="class:cpu")
    changes = [{"architecture": "b"}, {"deployment": Deployment(threads=2)}, {"device": "class:gpu"}]

    digests = {key.digest} | {key.model_copy(update=change).digest for change in changes}

    assert len(digests) == 4


@pytest.mark.parametrize(
    "change",
    [{"architecture": "b"}, {"data": "b"}, {"recipe": "b"}, {"resolution": 16}, {"seed": 1}, {"start": "inherited"}],
)
def test_whatever_decides_weights_changes_the_key_of_a_training(change: dict[str, object]) -> None:
    key = TrainingKey(architecture="a", data="d", recipe="r", resolution=8, seed=0)

    assert key.model_copy(update=change).digest != key.digest
    assert TrainingKey(**key.model_dump()).digest == key.digest


def test_a_score_is_a_number() -> None:
    with pytest.raises(ValidationError):
        Score(value=float("nan"))


def test_times_are_utc() -> None:
    assert now().utcoffset() == timedelta(0)
