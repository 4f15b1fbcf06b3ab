"""Whether there is room for one more candidate, by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from ecoNAS.errors import MeasurementError
from ecoNAS.events import Phase, TrialEnded
from ecoNAS.records import Outcome
from ecoNAS.search.budget import Budget

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def ended(trial: int, duration_s: float) -> TrialEnded:
    phase = Phase(name="training", started=NOON, ended=NOON + timedelta(seconds=duration_s), device="cpu")
    return TrialEnded(trial=trial, digest=str(trial), outcome=Outcome.EVALUATED, phases=(phase,), duration_s=duration_s)


def test_without_a_budget_there_is_always_room() -> None:
    assert Budget().why_full(100) == ""


@pytest.mark.parametrize(("spent_j", "num_running", "has_room"), [(60, 0, True), (60, 1, True), (60, 2, False)])
def test_joules_of_those_under_way_and_of_one_more_have_to_fit(
    spent_j: float, num_running: int, has_room: bool
) -> None:
    budget = Budget(energy_j=100.0, spent_j=lambda: spent_j)  # three took 20 J each
    for trial in range(3):
        budget.note(ended(trial, 5.0))

    assert (budget.why_full(num_running) == "") is has_room


def test_the_first_candidates_are_begun_until_joules_are_known_to_be_gone() -> None:
    spent = [0.0]
    budget = Budget(energy_j=100.0, spent_j=lambda: spent[0])
    assert budget.why_full(3) == ""
    spent[0] = 101.0
    assert budget.why_full(0).startswith("101 of 100 J are spent")


@pytest.mark.parametrize(("spent_s", "has_room"), [(89.0, True), (91.0, False), (100.0, False)])
def test_one_more_has_to_end_within_the_time(spent_s: float, has_room: bool) -> None:
    budget = Budget(time_s=100.0, spent_s=lambda: spent_s)
    budget.note(ended(0, 8.0))
    budget.note(ended(1, 12.0))
    budget.note(TrialEnded(trial=2, digest="2", outcome=Outcome.DUPLICATE))  # took nothing and says nothing

    assert (budget.why_full(1) == "") is has_room


def test_joules_that_cannot_be_counted_any_more_are_an_error() -> None:
    def fail() -> float:
        raise MeasurementError("GPU is lost")

    with pytest.raises(MeasurementError, match="GPU is lost"):
        Budget(energy_j=1.0, spent_j=fail).why_full(0)
    assert Budget(time_s=1.0, spent_j=fail).why_full(0) == ""
