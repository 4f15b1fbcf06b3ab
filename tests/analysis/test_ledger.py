"""The bill of a search, held against sums by hand."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoNAS.analysis.ledger import Ledger, read_ledger
from ecoNAS.events import (
    BaselineProfiled,
    EnergyMetered,
    Event,
    MeterFailed,
    Phase,
    ProfileRefined,
    RunEnded,
    RunStarted,
    TrialEnded,
    TrialStarted,
    WorkerLost,
)
from ecoNAS.joules import EstimatedJoules, MeasuredJoules
from ecoNAS.records import Outcome

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def started(seconds: float) -> RunStarted:
    return RunStarted(time=at(seconds), resumed=seconds > 0, trials=9, sampler="random", energy="estimate")


def joules(value: float, kind=EstimatedJoules, device: str = "cpu:a"):
    return kind(value_j=value, low_j=value / 2, high_j=value * 2, method="m", scope="s", device=device)


def phase(name, begin: float, end: float, energy_j: float | None = None, kind=MeasuredJoules, **fields) -> Phase:
    fields = {"device": "cpu:a", **fields}
    energy = None if energy_j is None else joules(energy_j, kind)
    return Phase(name=name, started=at(begin), ended=at(end), energy=energy, **fields)


def training(begin: float, end: float, energy_j: float | None = None, kind=EstimatedJoules, **fields) -> Phase:
    return phase("training", begin, end, energy_j, kind, **fields)


def ended(trial: int, seconds: float, outcome=Outcome.EVALUATED, *phases: Phase, **fields) -> TrialEnded:
    return TrialEnded(time=at(seconds), trial=trial, digest=str(trial), outcome=outcome, phases=phases, **fields)


def metered(begin: float, end: float, energy_j: float) -> EnergyMetered:
    return EnergyMetered(time=at(end), started=at(begin), ended=at(end), energy=joules(energy_j, MeasuredJoules))


def by_name(ledger: Ledger) -> dict[str, float | None]:
    return {row.name: row.energy_j for row in ledger.rows}


def test_wall_time_leaves_out_the_pause_between_sessions():
    # Two sessions: 0 to 10 s, where it died, and 1000 to 1007 s.
    events = [started(0), ended(0, 10), started(1000), ended(1, 1005), RunEnded(time=at(1007), reason="trials")]
    assert read_ledger(events).wall_s == 17.0


def test_wall_time_of_a_run_that_goes_on_reaches_to_its_last_event():
    assert read_ledger([started(0), ended(0, 4)]).wall_s == 4.0
    assert read_ledger([]).wall_s == 0.0


def test_estimated_joules_of_trainings_are_added_with_their_interval():
    events = [
        started(0),
        ended(0, 5, Outcome.EVALUATED, training(2, 4, 4.0), duration_s=3),
        ended(1, 6, Outcome.STOPPED, training(5.2, 5.7, 1.0), duration_s=1),
        ended(2, 7, Outcome.REFUSED),
    ]
    ledger = read_ledger(events, front={0})
    assert ledger.search_energy_j == 5.0
    assert ledger.interval_j == (2.5, 10.0)
    assert ledger.training_s == 2.5
    assert ledger.kind == "estimated"
    assert ledger.meaning == "training compute only (estimated)"
    rows = {row.name: (row.num, row.active_s, row.energy_j) for row in ledger.rows}
    assert rows == {
        "training of front members": (1, 2.0, 4.0),
        "training of stopped": (1, 0.5, 1.0),
        "overhead": (2, 1.5, None),  # 3 - 2 and 1 - 0.5 seconds: never priced by clock and watts
    }


def test_joules_that_do_not_add_up_are_not_added():
    events = [
        ended(0, 1, Outcome.EVALUATED, training(0, 1, 4.0)),
        ended(1, 2, Outcome.EVALUATED, training(1, 2, 4.0, MeasuredJoules)),
    ]
    ledger = read_ledger(events)
    assert ledger.search_energy_j is None
    assert ledger.kind is None


def test_trainings_without_joules_are_named_in_the_meaning():
    events = [
        ended(0, 1, Outcome.EVALUATED, training(0, 1, 4.0, MeasuredJoules)),
        ended(1, 2, Outcome.EVALUATED, training(1, 2)),
    ]
    assert read_ledger(events).meaning == "training only (measured, 1 training not priced)"


def test_of_a_trial_that_ended_twice_the_last_end_counts():
    events = [
        ended(0, 1, Outcome.INFEASIBLE, training(0, 5)),
        ended(0, 2, Outcome.EVALUATED, training(1, 2, 3.0)),
    ]
    ledger = read_ledger(events)
    assert ledger.training_s == 1
    assert [row.name for row in ledger.rows] == ["training of others"]


def a_metered_search() -> list[Event]:
    """100 s at 1,000 J in all, of which 20 s were profiles, 60 s trainings, 10 s between them and 10 s nothing."""
    return [
        started(0),
        metered(0, 50, 600.0),
        ended(0, 40, Outcome.EVALUATED, phase("profiling", 0, 10, 100.0, idle_w=4.0), training(10, 40), duration_s=45),
        ended(1, 75, Outcome.EVALUATED, phase("profiling", 40, 50, 120.0, idle_w=6.0), training(55, 75), duration_s=30),
        TrialStarted(time=at(80), trial=2, digest="2", attempt=1),
        ended(2, 90, Outcome.FAILED),
        RunEnded(time=at(90), reason="trials"),
        metered(50, 100, 400.0),
    ]


def test_what_the_device_took_is_divided_into_what_was_measured_alone_and_shares_of_the_rest():
    # The overhead of the trials is 5 + 0 s at (35, 40) and (75 - 0): 45 - 40 = 5 s and 30 - 30 = 0 s. Busy are 0 to 50,
    # 55 to 75 and 80 to 90: idle are 20 s at (4 + 6) / 2 W = 100 J. The rest, 1000 - 220 - 100 = 680 J, is shared by
    # 30 + 20 + 10 + 5 = 65 seconds of work.
    ledger = read_ledger(a_metered_search(), front={1})

    assert ledger.search_energy_j == 1000.0
    assert ledger.meaning == "the whole search (measured)"
    assert by_name(ledger) == pytest.approx(
        {
            "profiling": 220.0,
            "training of front members": 680 * 20 / 65,
            "training of others": 680 * 30 / 65,
            "training of failed": 680 * 10 / 65,
            "idle": 100.0,
            "overhead": 680 * 5 / 65,
        }
    )
    shares = {row.name: row.is_share for row in ledger.rows}
    assert not shares["profiling"]
    assert all(shares[name] for name in shares if name != "profiling")
    profiles = next(row for row in ledger.rows if row.phase == "profiling")
    assert (profiles.started, profiles.ended, profiles.num, profiles.device) == (at(0), at(50), 2, "cpu:a")


def test_trainings_that_were_measured_alone_leave_the_rest_to_the_driver():
    events = [
        started(0),
        ended(0, 30, Outcome.EVALUATED, phase("profiling", 0, 10, 100.0), training(10, 30, 250.0, MeasuredJoules)),
        RunEnded(time=at(35), reason="trials"),
        metered(0, 40, 400.0),
    ]
    ledger = read_ledger(events)
    assert by_name(ledger) == {"profiling": 100.0, "training of others": 250.0, "overhead": 50.0}
    assert not ledger.holes


def test_time_in_which_a_training_waited_has_no_share():
    events = [
        started(0),
        ended(0, 40, Outcome.EVALUATED, training(0, 40, paused_s=30.0)),
        ended(1, 40, Outcome.EVALUATED, training(10, 40)),
        metered(0, 40, 400.0),
    ]
    ledger = read_ledger(events, front={0})
    assert by_name(ledger)["training of front members"] == pytest.approx(100.0)
    assert by_name(ledger)["training of others"] == pytest.approx(300.0)


def test_a_training_on_another_gpu_is_not_paid_by_the_reference_device():
    gpu = EnergyMetered(
        time=at(9), started=at(0), ended=at(9), energy=joules(90.0, MeasuredJoules, device="GPU-1+cpu:a")
    )
    events = [
        started(0),
        ended(0, 9, Outcome.EVALUATED, training(0, 9, device="GPU-1")),
        ended(1, 9, Outcome.EVALUATED, training(0, 9, device="GPU-2")),
        gpu,
    ]
    energies = {row.device: row.energy_j for row in read_ledger(events).rows if row.phase == "training"}
    assert energies == {"GPU-1": 90.0, "GPU-2": None}


def test_the_baseline_before_the_meter_of_the_run_and_refined_profiles_belong_to_the_bill():
    events = [
        started(0),
        BaselineProfiled(model="resnet18", phase=phase("profiling", -20, -5, 70.0)),
        metered(0, 50, 500.0),
        ProfileRefined(trial=0, digest="0", target=0.02, phase=phase("profiling", 10, 30, 300.0)),
    ]
    ledger = read_ledger(events)
    assert ledger.search_energy_j == 570.0
    assert by_name(ledger) == {"profiling": 370.0, "overhead": 200.0}


def test_a_failed_meter_and_a_dead_driver_leave_a_lower_bound():
    events = [started(0), metered(0, 10, 50.0), MeterFailed(time=at(12), reason="GPU is lost"), started(100)]
    ledger = read_ledger(events)
    assert ledger.search_energy_j == 50.0
    assert ledger.meaning == "the whole search (measured, a lower bound)"
    assert "GPU is lost" in ledger.holes[0]
    assert "ended without its last reading" in ledger.holes[1]


def test_a_driver_that_died_and_was_not_resumed_leaves_a_lower_bound() -> None:
    assert read_ledger([started(0), metered(0, 10, 50.0)]).meaning == "the whole search (measured, a lower bound)"


def test_parts_that_were_counted_beyond_the_total_are_a_lower_bound_and_never_a_negative_rest():
    events = [started(0), metered(0, 10, 50.0), ended(0, 20, Outcome.EVALUATED, phase("profiling", 12, 20, 80.0))]
    ledger = read_ledger(events)
    assert ledger.search_energy_j == 80.0
    assert ledger.holes
    assert by_name(ledger) == {"profiling": 80.0, "overhead": 0.0}


def test_seconds_of_lost_workers_are_a_failure():
    events = [
        started(0),
        TrialStarted(time=at(1), trial=0, digest="0", attempt=1),
        WorkerLost(time=at(5), trial=0, reason="killed"),
        TrialStarted(time=at(5), trial=0, digest="0", attempt=2),
        ended(0, 9, Outcome.EVALUATED, training(5, 9)),
    ]
    assert {row.name: row.active_s for row in read_ledger(events).rows} == {
        "training of failed": 4.0,
        "training of others": 4.0,
    }


seconds = st.floats(0.0, 1e4, allow_nan=False)
energies = st.floats(0.0, 1e6, allow_nan=False)


@st.composite
def searches(draw) -> list[Event]:
    events: list[Event] = [started(0)]
    for trial in range(draw(st.integers(0, 6))):
        phases = []
        for name in ("profiling", "training"):
            begin, length = draw(seconds), draw(seconds)
            energy_j = draw(energies) if name == "profiling" else draw(st.none() | energies)
            idle_w = draw(st.none() | st.floats(0.0, 500.0))
            phases.append(phase(name, begin, begin + length, energy_j, paused_s=draw(st.floats(0, 1)), idle_w=idle_w))
        outcome = draw(st.sampled_from([Outcome.EVALUATED, Outcome.STOPPED, Outcome.INFEASIBLE]))
        events.append(ended(trial, 2e4, outcome, *phases, duration_s=draw(seconds)))
    events += [metered(0, draw(seconds), draw(energies)) for _ in range(draw(st.integers(1, 3)))]
    return events


@given(events=searches(), front=st.sets(st.integers(0, 6)))
def test_the_parts_always_add_up_to_the_whole_and_none_is_negative(events: list[Event], front: set[int]) -> None:
    ledger = read_ledger(events, front)

    parts = [row.energy_j for row in ledger.rows if row.active_s > 0 or row.energy_j is not None]
    assert None not in parts
    assert min(parts) >= 0
    assert math.fsum(parts) == pytest.approx(ledger.search_energy_j, rel=1e-9, abs=1e-9)


def test_the_made_up_run_took_its_sessions_without_the_hour_between_them(run):
    times = [event.time for event in run.events]
    assert run.ledger.wall_s == pytest.approx((times[-1] - times[0]).total_seconds() - 3600)
