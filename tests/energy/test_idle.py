"""Idle power is read between ticks, and holds nothing of what ran before."""

import pytest
from fake_nvml import FakeGpu, FakeNvml
from power_trace import PowerTrace, SimulatedLoad

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.idle import measure_idle
from ecoNAS.energy.meters.nvml import NvmlMeter
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeasurementError

SETTINGS = EnergySettings()


@pytest.mark.parametrize("period_s", [0.02, 0.1, 0.104])
def test_idle_power_is_right_whatever_the_period(period_s: float) -> None:
    clock = VirtualClock(5.0)
    with NvmlMeter(nvml=FakeNvml(clock, FakeGpu(PowerTrace(63.0), period_s=period_s)), clock=clock) as meter:
        found = measure_idle(meter, SETTINGS, period_s, clock)
    assert found.power_w == pytest.approx(63.0, rel=0.001)
    assert found.time_s == clock.now_s() == pytest.approx(15.0 + 2 * period_s)


def test_idle_power_holds_nothing_of_the_load_that_ended_just_before() -> None:
    """A sensor that lags by 100 ms still shows 300 W: of 10 s that would be 2.4 W too much."""
    clock, trace = VirtualClock(5.0), PowerTrace(60.0)
    with NvmlMeter(nvml=FakeNvml(clock, FakeGpu(trace, lag_s=0.1)), clock=clock) as meter:
        SimulatedLoad(trace, clock, [(2.03, 300.0)]).run()
        assert measure_idle(meter, SETTINGS, 0.1, clock).power_w == pytest.approx(60.0, rel=0.001)


def test_a_counter_that_hardly_moves_while_idle_is_refused_with_the_remedy() -> None:
    clock, settings = VirtualClock(5.0), EnergySettings(idle_s=0.15)
    with (
        NvmlMeter(nvml=FakeNvml(clock, FakeGpu(PowerTrace(60.0))), clock=clock) as meter,
        pytest.raises(MeasurementError, match=r"moved 2 times in 0\.15 s of idle; set energy\.protocol\.idle_s higher"),
    ):
        measure_idle(meter, settings, 0.1, clock)


def test_a_counter_that_gets_stuck_while_idle_is_refused() -> None:
    clock = VirtualClock(5.0)
    with (
        NvmlMeter(nvml=FakeNvml(clock, FakeGpu(PowerTrace(60.0), stuck_s=9.0)), clock=clock) as meter,
        pytest.raises(MeasurementError, match="stood still") as caught,
    ):
        measure_idle(meter, SETTINGS, 0.1, clock)
    assert caught.value.lower_bound_j == pytest.approx(60.0 * 4, abs=60.0 * 0.2)
