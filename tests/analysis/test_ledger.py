"""The bill of a search, held against sums by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from ecoNAS.analysis.ledger import read_ledger
from ecoNAS.events import RunEnded, RunStarted, TrialEnded
from ecoNAS.joules import EstimatedJoules, MeasuredJoules
from ecoNAS.records import Outcome

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def started(seconds: float) -> RunStarted:
    return RunStarted(time=at(seconds), resumed=seconds > 0, trials=9, sampler="random", energy="estimate")


def joules(value: float, kind=EstimatedJoules, device: str = "cpu"):
    return kind(value_j=value, low_j=value / 2, high_j=value * 2, method="m", scope="s", device=device)


def ended(trial: int, seconds: float, outcome=Outcome.EVALUATED, **fields) -> TrialEnded:
    return TrialEnded(time=at(seconds), trial=trial, digest=str(trial), outcome=outcome, **fields)


def test_wall_time_leaves_out_the_pause_between_sessions():
    # Two sessions: 0 to 10 s, where it died, and 1000 to 1007 s.
    events = [started(0), ended(0, 10), started(1000), ended(1, 1005), RunEnded(time=at(1007), reason="trials")]
    assert read_ledger(events).wall_s == 17.0


def test_wall_time_of_a_run_that_goes_on_reaches_to_its_last_event():
    assert read_ledger([started(0), ended(0, 4)]).wall_s == 4.0
    assert read_ledger([]).wall_s == 0.0


def test_joules_and_seconds_are_added_over_all_trials_with_their_interval():
    events = [
        started(0),
        ended(0, 5, duration_s=3, training_s=2, training_energy=joules(4)),
        ended(1, 6, Outcome.STOPPED, duration_s=1, training_s=0.5, training_energy=joules(1)),
        ended(2, 7, Outcome.REFUSED),
    ]
    ledger = read_ledger(events)
    assert ledger.search_energy_j == 5.0
    assert ledger.interval_j == (2.5, 10.0)
    assert ledger.training_s == 2.5
    assert ledger.kind == "estimated"
    assert ledger.meaning == "training compute only (estimated)"
    by_outcome = {row.outcome: (row.num_trials, row.training_s, row.other_s, row.energy_j) for row in ledger.spending}
    assert by_outcome == {
        Outcome.EVALUATED: (1, 2, 1, 4.0),
        Outcome.STOPPED: (1, 0.5, 0.5, 1.0),
        Outcome.REFUSED: (1, 0, 0, None),
    }


def test_joules_that_do_not_add_up_are_not_added():
    events = [
        ended(0, 1, training_s=1, training_energy=joules(4)),
        ended(1, 2, training_s=1, training_energy=joules(4, MeasuredJoules)),
    ]
    ledger = read_ledger(events)
    assert ledger.search_energy_j is None
    assert ledger.kind is None


def test_trainings_without_joules_are_named_in_the_meaning():
    events = [ended(0, 1, training_s=1, training_energy=joules(4, MeasuredJoules)), ended(1, 2, training_s=1)]
    assert read_ledger(events).meaning == "training only (measured, 1 trainings not priced)"


def test_of_a_trial_that_ended_twice_the_last_end_counts():
    events = [ended(0, 1, Outcome.FAILED, training_s=5), ended(0, 2, training_s=1, training_energy=joules(3))]
    ledger = read_ledger(events)
    assert ledger.training_s == 1
    assert [row.outcome for row in ledger.spending] == [Outcome.EVALUATED]


def test_the_made_up_run_took_its_sessions_without_the_hour_between_them(run):
    times = [event.time for event in run.events]
    assert run.ledger.wall_s == pytest.approx((times[-1] - times[0]).total_seconds() - 3600)
