"""Ticks are noted when the counter moves, with the time between two polls; clocks pass actions their time."""

from collections.abc import Callable

import pytest
from fake_nvml import FakeGpu, FakeNvml
from power_trace import PowerTrace

from ecoNAS.energy.clock import RealClock, VirtualClock
from ecoNAS.energy.meter import Reading, SimulatedMeter
from ecoNAS.energy.meters.nvml import NvmlMeter
from ecoNAS.energy.ticks import TickLog
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeasurementError, MeterError

SETTINGS = EnergySettings()


def test_ticks_come_once_a_period_and_lie_within_a_poll_of_the_update() -> None:
    clock = VirtualClock(5.0)
    with NvmlMeter(nvml=FakeNvml(clock, FakeGpu(PowerTrace(100.0), phase_s=0.03)), clock=clock) as meter:
        log = TickLog(meter, 0.1, SETTINGS, clock)
        with log.polling():
            clock.sleep(1.0)
    assert [tick.time_s for tick in log.ticks] == pytest.approx([5.03 + 0.1 * place for place in range(10)], abs=0.0026)
    assert log.counted_j == pytest.approx(100.0, abs=0.002)  # the counter shows millijoules


def test_a_virtual_clock_calls_at_its_times_and_stops_at_the_end() -> None:
    clock, seen = VirtualClock(), list[float]()
    with clock.every(0.25, lambda: seen.append(clock.now_s())):
        clock.sleep(1.1)
    clock.sleep(5.0)
    assert seen == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_slow_action_delays_the_next_one() -> None:
    clock, seen = VirtualClock(), list[float]()

    def slow() -> None:
        seen.append(clock.now_s())
        clock.sleep(0.4)

    with clock.every(0.25, slow):
        clock.sleep(1.0)
    # The first call is over at 0.4 s; the sleep until 1.4 s sees three more begin, and the last one ends at 1.6 s.
    assert seen == pytest.approx([0.0, 0.4, 0.8, 1.2])
    assert clock.now_s() == pytest.approx(1.6)


@pytest.mark.parametrize("clock", [VirtualClock(), RealClock()])
def test_an_error_of_the_action_comes_out_at_the_end(clock: VirtualClock | RealClock) -> None:
    def fail() -> None:
        raise RuntimeError("the counter is gone")

    with pytest.raises(RuntimeError, match="the counter is gone"), clock.every(0.01, fail):
        clock.sleep(0.05)


def test_a_real_clock_calls_again_and_again() -> None:
    clock, seen = RealClock(), list[float]()
    with clock.every(0.01, lambda: seen.append(clock.now_s())):
        clock.sleep(0.2)
    assert 3 <= len(seen) <= 21


def test_a_flat_meter_that_moves_at_every_poll_has_its_ticks_between_polls() -> None:
    clock = VirtualClock()
    with SimulatedMeter(20.0, clock) as meter:
        log = TickLog(meter, SETTINGS.poll_s, SETTINGS, clock)
        with log.polling():
            clock.sleep(0.1)
    first, last = log.ticks[0], log.ticks[-1]
    assert (last.energy_j - first.energy_j) / (last.time_s - first.time_s) == pytest.approx(20.0)


class Scripted(SimulatedMeter):
    """100 W from second 0 on, with whatever `change` makes of each reading."""

    def __init__(self, clock: VirtualClock, change: Callable[[Reading], Reading]) -> None:
        super().__init__(100.0, clock)
        self._change = change

    def read(self) -> Reading:
        return self._change(super().read())


def test_a_poll_that_comes_late_does_not_misplace_a_fast_counter() -> None:
    """After 50 ms without a poll a counter of a millisecond has moved within the last one, not 25 ms ago."""
    clock = VirtualClock()
    with SimulatedMeter(20.0, clock) as meter:
        log = TickLog(meter, 0.001, SETTINGS, clock)
        log.poll()
        for pause_s in (0.005, 0.050, 0.005):
            clock.sleep(pause_s)
            log.poll()
    assert [tick.time_s for tick in log.ticks] == pytest.approx([0.0045, 0.0545, 0.0595])


def test_a_tick_that_a_late_poll_blurred_is_left_out() -> None:
    """The counter moves every 100 ms; where 40 ms lie between two polls nobody knows when it did."""
    clock = VirtualClock(5.0)
    with NvmlMeter(nvml=FakeNvml(clock, FakeGpu(PowerTrace(100.0), phase_s=0.03)), clock=clock) as meter:
        log = TickLog(meter, 0.1, SETTINGS, clock)
        for moment_s in (5.0, 5.028, 5.032, 5.110, 5.150, 5.228, 5.232):
            clock.sleep(moment_s - clock.now_s())
            log.poll()
    assert [tick.time_s for tick in log.ticks] == pytest.approx([5.030, 5.230])  # not the one of 5.130
    assert log.ticks[1].energy_j - log.ticks[0].energy_j == pytest.approx(20.0, abs=0.002)


def test_the_times_of_a_log_are_taken_as_they_are() -> None:
    """Rows of every 200 ms, readable 300 ms later: joules belong to the time of the row."""
    clock = VirtualClock()

    def row(reading: Reading) -> Reading:
        time_s = max(0.0, (reading.time_s - 0.3) // 0.2 * 0.2)
        return Reading(100.0 * time_s, time_s)

    with Scripted(clock, row) as meter:
        log = TickLog(meter, 0.2, SETTINGS, clock)
        with log.polling():
            clock.sleep(2.0)
    assert len(log.ticks) == 8
    for tick in log.ticks:
        assert tick.energy_j == pytest.approx(100.0 * tick.time_s)


def test_a_counter_that_runs_backward_keeps_what_it_showed_before_as_a_lower_bound() -> None:
    clock = VirtualClock()
    with Scripted(clock, lambda shown: Reading(shown.energy_j - 150.0 * (shown.time_s > 2), shown.time_s)) as meter:
        log = TickLog(meter, SETTINGS.poll_s, SETTINGS, clock)
        with pytest.raises(MeasurementError, match="ran backward") as caught, log.polling():
            clock.sleep(3.0)
    assert caught.value.lower_bound_j == pytest.approx(200.0, abs=0.6)  # two seconds of 100 W, less one poll


def test_a_meter_that_was_closed_ends_the_waiting() -> None:
    clock = VirtualClock()

    def close(shown: Reading) -> Reading:
        if shown.time_s > 1:
            raise MeterError("meter is not open")
        return shown

    with Scripted(clock, close) as meter:
        log = TickLog(meter, SETTINGS.poll_s, SETTINGS, clock)
        with pytest.raises(MeasurementError, match="not open") as caught, log.polling():
            log.wait_until(5.0)
    assert caught.value.lower_bound_j == pytest.approx(100.0, abs=0.6)


def test_a_log_that_never_catches_up_is_not_waited_for_without_end() -> None:
    clock = VirtualClock()
    with Scripted(clock, lambda shown: Reading(shown.energy_j, shown.time_s - 1e6)) as meter:
        log = TickLog(meter, 0.1, SETTINGS, clock)
        with pytest.raises(MeasurementError, match="its log is too late"), log.polling():
            log.wait_until(1.0)
    assert clock.now_s() < 2.0


def test_a_suspended_machine_invalidates_what_was_counted() -> None:
    clock = VirtualClock()
    with SimulatedMeter(20.0, clock) as meter:
        log = TickLog(meter, SETTINGS.poll_s, SETTINGS, clock)
        log.poll()
        clock.suspend(7.0)
        log.poll()
        with pytest.raises(MeasurementError, match=r"suspended for 7\.0 s"):
            log.check()
