"""What every energy meter must do; a new meter is a row of METERS.

A row is a function that returns a meter that is not open yet, and a function that lets its device work for seconds.
"""

import itertools
from collections.abc import Callable

import pytest

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.meter import EnergyMeter, SimulatedMeter
from ecoNAS.errors import MeterError
from ecoNAS.joules import MeasuredJoules, SimulatedJoules, counted

Work = Callable[[float], None]


def _simulated(power_w: float) -> Callable[[], tuple[EnergyMeter, Work]]:
    def make() -> tuple[EnergyMeter, Work]:
        clock = VirtualClock(start_s=50.0)
        return SimulatedMeter(power_w, clock), clock.sleep

    return make


METERS: dict[str, Callable[[], tuple[EnergyMeter, Work]]] = {
    "simulated": _simulated(20.0),
    "simulated idle": _simulated(0.0),
}


@pytest.fixture(params=sorted(METERS))
def meter_and_work(request: pytest.FixtureRequest) -> tuple[EnergyMeter, Work]:
    return METERS[request.param]()


def test_meter_says_what_it_is(meter_and_work: tuple[EnergyMeter, Work]) -> None:
    meter, _ = meter_and_work

    info = meter.info
    assert info.kind in ("measured", "simulated")
    assert all([info.name, info.method, info.scope, info.device, info.device_name])


def test_counted_joules_carry_the_provenance_of_the_meter(meter_and_work: tuple[EnergyMeter, Work]) -> None:
    info = meter_and_work[0].info

    energy = counted(info, 2.0)

    assert isinstance(energy, MeasuredJoules if info.kind == "measured" else SimulatedJoules)
    assert (energy.method, energy.scope, energy.device) == (info.method, info.scope, info.device)


def test_counter_and_clock_never_run_backward(meter_and_work: tuple[EnergyMeter, Work]) -> None:
    meter, work = meter_and_work
    readings = []

    with meter:
        for duration_s in (0.0, 0.1, 0.0, 1.0, 5.0):
            work(duration_s)
            readings.append(meter.read())

    for before, after in itertools.pairwise(readings):
        assert after.time_s >= before.time_s
        assert after.energy_j >= before.energy_j


def test_reading_twice_at_rest_shows_the_same_joules(meter_and_work: tuple[EnergyMeter, Work]) -> None:
    meter, work = meter_and_work

    with meter:
        work(2.0)
        assert meter.read().energy_j == meter.read().energy_j


def test_a_meter_that_is_not_open_is_not_read(meter_and_work: tuple[EnergyMeter, Work]) -> None:
    meter, _ = meter_and_work

    with pytest.raises(MeterError, match="not open"):
        meter.read()
    with meter:
        meter.read()
        meter.state()
    with pytest.raises(MeterError, match="not open"):
        meter.read()
    with pytest.raises(MeterError, match="not open"):
        meter.state()


def test_a_meter_gives_its_device_back_after_an_error(meter_and_work: tuple[EnergyMeter, Work]) -> None:
    meter, _ = meter_and_work

    with pytest.raises(RuntimeError, match="the network failed"), meter:
        raise RuntimeError("the network failed")
    with meter:
        meter.read()


def test_opening_again_counts_from_zero(meter_and_work: tuple[EnergyMeter, Work]) -> None:
    meter, work = meter_and_work

    with meter:
        work(3.0)
    with meter:
        assert meter.read().energy_j == pytest.approx(0)


def test_simulated_meter_counts_watts_times_seconds() -> None:
    clock = VirtualClock()

    with SimulatedMeter(20.0, clock) as meter:
        clock.sleep(60.0)
        energy_j = meter.read().energy_j

    assert energy_j == 1200
