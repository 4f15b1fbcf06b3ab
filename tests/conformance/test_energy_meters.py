"""What every energy meter must do; a new meter is a row of METERS.

A row is a function that takes an empty folder and returns a meter that is not open yet, and a function that lets its
device work for seconds.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_meter_log import LoggedClock
from fake_nvml import FakeGpu, FakeNvml
from fake_powercap import FakePowercap
from power_trace import PowerTrace

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.meter import EnergyMeter, SimulatedMeter
from ecoNAS.energy.meters.composite import CompositeMeter
from ecoNAS.energy.meters.hwmon import HwmonMeter
from ecoNAS.energy.meters.nvml import NvmlMeter
from ecoNAS.energy.meters.rapl import RaplMeter
from ecoNAS.errors import MeterError
from ecoNAS.joules import MeasuredJoules, SimulatedJoules, counted

Work = Callable[[float], None]
Row = Callable[[Path], tuple[EnergyMeter, Work]]


def _simulated(power_w: float) -> Row:
    def make(_: Path) -> tuple[EnergyMeter, Work]:
        clock = VirtualClock(start_s=50.0)
        return SimulatedMeter(power_w, clock), clock.sleep

    return make


def _rapl(root: Path) -> tuple[EnergyMeter, Work]:
    clock, tree = VirtualClock(start_s=50.0), FakePowercap(root, start_uj=262_143_000_000)  # wraps after a third of 1 J

    def work(duration_s: float) -> None:
        clock.sleep(duration_s)
        tree.add(20.0 * duration_s)

    return RaplMeter(root, clock), work


def _hwmon(file: str) -> Row:
    def make(root: Path) -> tuple[EnergyMeter, Work]:
        clock, sensor = VirtualClock(start_s=50.0), root / "sys/class/hwmon/hwmon0" / file
        sensor.parent.mkdir(parents=True)
        sensor.write_text("20000000")
        meter = HwmonMeter(root, clock=clock)

        def work(duration_s: float) -> None:
            if file.startswith("energy"):
                clock.sleep(duration_s)
                sensor.write_text(str(int(sensor.read_text()) + round(20e6 * duration_s)))
                return
            for _ in range(round(duration_s / 0.1)):  # a power must be looked at, as the polling of a profile does
                clock.sleep(0.1)
                meter.read()

        return meter, work

    return make


def _nvml(has_counter: bool) -> Row:
    def make(_: Path) -> tuple[EnergyMeter, Work]:
        clock = VirtualClock(start_s=50.0)
        meter = NvmlMeter(None, FakeNvml(clock, FakeGpu(PowerTrace(20.0), has_counter=has_counter)), clock)

        def work(duration_s: float) -> None:
            for _ in range(round(duration_s / 0.1)):
                clock.sleep(0.1)
                meter.read()

        return meter, work if not has_counter else clock.sleep

    return make


def _csv(column: str) -> Row:
    def make(root: Path) -> tuple[EnergyMeter, Work]:
        clock = LoggedClock(root / "log.csv", PowerTrace(20.0), column)
        return clock.meter(), clock.sleep

    return make


def _composite(root: Path) -> tuple[EnergyMeter, Work]:
    clock = LoggedClock(root / "log.csv", PowerTrace(5.0))
    gpu = NvmlMeter(None, FakeNvml(clock, FakeGpu(PowerTrace(20.0))), clock)
    return CompositeMeter([gpu, clock.meter()]), clock.sleep


METERS: dict[str, Row] = {
    "nvml": _nvml(has_counter=True),
    "nvml without counter": _nvml(has_counter=False),
    "csv of power": _csv("power_w"),
    "csv of energy": _csv("energy_j"),
    "composite": _composite,
    "simulated": _simulated(20.0),
    "simulated idle": _simulated(0.0),
    "rapl": _rapl,
    "hwmon energy": _hwmon("energy1_input"),
    "hwmon power": _hwmon("power1_input"),
}


@pytest.fixture(params=sorted(METERS))
def meter_and_work(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[EnergyMeter, Work]:
    return METERS[request.param](tmp_path)


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
