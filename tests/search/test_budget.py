"""Whether there is room for one more candidate, by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from ecoNAS.errors import MeasurementError
from ecoNAS.events import Phase, TrialEnded, TrialStarted
from ecoNAS.records import Costs, Outcome
from ecoNAS.search.budget import Budget

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def started(trial: int, seconds: float) -> TrialStarted:
    return TrialStarted(time=at(seconds), trial=trial, digest=str(trial), attempt=1)


def ended(trial: int, duration_s: float) -> TrialEnded:
    phase = Phase(name="training", started=NOON, ended=at(duration_s), device="cpu")
    return TrialEnded(trial=trial, digest=str(trial), outcome=Outcome.EVALUATED, phases=(phase,), duration_s=duration_s)


def test_without_a_budget_there_is_always_room() -> None:
    budget = Budget()
    budget.note(started(0, 0.0))
    assert budget.why_full() == ""


@pytest.mark.parametrize(("num_running", "has_room"), [(0, True), (1, True), (2, False)])
def test_joules_of_those_under_way_and_of_one_more_have_to_fit(num_running: int, has_room: bool) -> None:
    # 60 J for 2 + 4 + 6 s: the dearest took 60 x 6 / 12 = 30 J.
    budget = Budget(energy_j=130.0, spent_j=lambda: 60.0, clock=lambda: at(100.0))
    for trial, duration_s in enumerate([2.0, 4.0, 6.0]):
        budget.note(ended(trial, duration_s))
    for trial in range(num_running):
        budget.note(started(10 + trial, 99.0))

    assert (budget.why_full() == "") is has_room


def test_one_that_runs_longer_than_any_before_is_the_dearest() -> None:
    budget = Budget(energy_j=130.0, spent_j=lambda: 10.0, clock=lambda: at(20.0))
    budget.note(ended(0, 2.0))
    budget.note(started(1, 10.0))

    assert budget.why_full() == ""  # 10 J for 2 s: 50 J for those 10 s, and 50 J for one more
    budget.clock = lambda: at(23.0)
    assert budget.why_full() == "10 of 130 J are spent; those under way and one more may take 130 J"
    budget.note(ended(1, 13.0))
    assert budget.why_full() == ""


def test_joules_that_are_known_before_a_training_are_kept_exactly() -> None:
    budget = Budget(energy_j=100.0, spent_j=lambda: 40.0, clock=lambda: NOON, price_j=lambda costs: costs.macs / 1e3)
    ten_j, fifty_j = (Costs(params=1, macs=macs, activation_memory_bytes=1) for macs in (10_000, 50_000))

    assert budget.why_full(fifty_j) == ""
    budget.promise(0, ten_j)
    assert budget.why_full(fifty_j) == ""  # 40 + 10 + 50
    budget.promise(1, ten_j)
    said = "40 of 100 J are spent; those under way and one more may take 70 J"
    assert budget.why_full(fifty_j) == said
    assert budget.why_full() == ""  # a cheaper one may come
    budget.note(ended(1, 1.0))
    assert budget.why_full(fifty_j) == ""


def test_the_first_candidates_are_begun_until_joules_are_known_to_be_gone() -> None:
    spent = [0.0]
    budget = Budget(energy_j=100.0, spent_j=lambda: spent[0], clock=lambda: NOON)
    budget.note(started(0, 0.0))
    assert budget.why_full() == ""
    spent[0] = 101.0
    assert budget.why_full().startswith("101 of 100 J are spent")


@pytest.mark.parametrize(("spent_s", "has_room"), [(87.0, True), (89.0, False), (100.0, False)])
def test_one_more_has_to_end_within_the_time(spent_s: float, has_room: bool) -> None:
    budget = Budget(time_s=100.0, spent_s=lambda: spent_s)
    budget.note(ended(0, 8.0))
    budget.note(ended(1, 12.0))
    budget.note(TrialEnded(trial=2, digest="2", outcome=Outcome.DUPLICATE))  # took nothing and says nothing

    assert (budget.why_full() == "") is has_room


def test_joules_that_cannot_be_counted_any_more_are_an_error() -> None:
    def fail() -> float:
        raise MeasurementError("GPU is lost")

    with pytest.raises(MeasurementError, match="GPU is lost"):
        Budget(energy_j=1.0, spent_j=fail).why_full()
    assert Budget(time_s=1.0, spent_j=fail).why_full() == ""
