"""How often a counter moves, whether it agrees with its own sensor, and how long that is remembered."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fake_meter_log import LoggedClock
from fake_nvml import FakeGpu, FakeNvml
from power_trace import PowerTrace

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.meter import SimulatedMeter
from ecoNAS.energy.meters.calibration import Calibration, cache_folder, calibrate, compare_with_sensor, find_period
from ecoNAS.energy.meters.composite import CompositeMeter
from ecoNAS.energy.meters.nvml import NvmlMeter
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeasurementError

SETTINGS = EnergySettings()


class Card:
    """A card at 200 W, and how long calibrating it takes."""

    def __init__(self, driver: str = "580.00", **card: float | bool | str) -> None:
        self.clock = VirtualClock(5.0)
        self.gpu = FakeGpu(PowerTrace(200.0), **card)  # type: ignore[arg-type]
        nvml = FakeNvml(self.clock, self.gpu)
        nvml.nvmlSystemGetDriverVersion = lambda: driver  # type: ignore[method-assign]
        self.meter = NvmlMeter(nvml=nvml, clock=self.clock)

    def calibrate(self, cache: Path, settings: EnergySettings = SETTINGS) -> tuple[Calibration, float]:
        """Return the calibration and the seconds that it took."""
        with self.meter:
            before_s = self.clock.now_s()
            found = calibrate(self.meter, settings, self.clock, cache)
            return found, self.clock.now_s() - before_s


@pytest.mark.parametrize("period_s", [0.02, 0.1, 0.104])
@pytest.mark.parametrize("card", [{}, {"phase_s": 0.013}, {"jitter": 0.02}, {"call_s": 0.0004}])
def test_period_is_found_within_three_percent(period_s: float, card: dict[str, float]) -> None:
    bench = Card(period_s=period_s, **card)

    with bench.meter:
        assert find_period(bench.meter, bench.clock) == pytest.approx(period_s, rel=0.03)


@pytest.mark.parametrize("card", [{"stuck_s": 0.0}, {"period_s": 3.0}])
def test_a_counter_that_hardly_moves_is_refused(card: dict[str, float]) -> None:
    bench = Card(**card)

    with bench.meter, pytest.raises(MeasurementError, match=r"times in 5 s; it is stuck, or too slow"):
        find_period(bench.meter, bench.clock)


def test_a_counter_that_stops_before_its_check_is_refused(tmp_path: Path) -> None:
    bench = Card(stuck_s=5.0)

    with bench.meter, pytest.raises(MeasurementError, match="stood still while it was checked"):
        calibrate(bench.meter, replace(SETTINGS, period_s=0.1), bench.clock, tmp_path)


@pytest.mark.parametrize("gain", [0.96, 1.0, 1.04])
def test_a_counter_near_its_sensor_is_accepted(tmp_path: Path, gain: float) -> None:
    found, _ = Card(counter_gain=gain).calibrate(tmp_path)

    assert found.sensor_ratio == pytest.approx(gain, abs=0.005)


@pytest.mark.parametrize(("gain", "said"), [(0.94, "0.94"), (1.06, "1.06"), (187 / 327, "0.57")])
def test_a_counter_that_contradicts_its_sensor_is_refused_with_the_remedy(
    tmp_path: Path, gain: float, said: str
) -> None:
    with pytest.raises(MeasurementError, match=rf"gives {said} times .* more than 5% apart; update the driver.*insist"):
        Card(counter_gain=gain).calibrate(tmp_path)


def test_a_user_who_insists_gets_a_counter_that_contradicts_its_sensor(tmp_path: Path) -> None:
    found, _ = Card(counter_gain=0.5).calibrate(tmp_path, replace(SETTINGS, insist=True))

    assert found.sensor_ratio == pytest.approx(0.5, abs=0.005)
    with pytest.raises(MeasurementError, match="apart"):
        Card(counter_gain=0.5).calibrate(tmp_path)


def test_a_refused_counter_is_looked_at_again_the_next_time(tmp_path: Path) -> None:
    bench = Card(counter_gain=0.5)
    with pytest.raises(MeasurementError, match="apart"):
        bench.calibrate(tmp_path)

    bench.gpu.counter_gain = 1.0

    assert bench.calibrate(tmp_path)[0].sensor_ratio == pytest.approx(1.0, abs=0.005)


def test_what_has_no_second_sensor_is_not_compared() -> None:
    no_counter, clock = Card(has_counter=False), VirtualClock()

    with no_counter.meter:
        assert compare_with_sensor(no_counter.meter, 0.1, SETTINGS, no_counter.clock) is None
    with SimulatedMeter(5.0, clock) as simulated:
        assert compare_with_sensor(simulated, 0.1, SETTINGS, clock) is None


def test_a_log_is_as_fast_as_its_rows(tmp_path: Path) -> None:
    clock = LoggedClock(tmp_path / "log.csv", PowerTrace(50.0), period_s=0.2)

    with clock.meter() as meter:
        assert find_period(meter, clock) == pytest.approx(0.2, rel=0.03)


@pytest.mark.parametrize("changed", [{"driver": "590.00"}, {"uuid": "GPU-2"}, {"has_counter": False}])
def test_calibration_is_kept_by_device_driver_and_method(tmp_path: Path, changed: dict[str, str]) -> None:
    first, first_s = Card().calibrate(tmp_path)
    again, again_s = Card(period_s=0.02).calibrate(tmp_path)
    _, changed_s = Card(**changed).calibrate(tmp_path)

    assert again == first
    assert first_s > 4.5  # 15 ticks of 0.1 s and a check of 3 s
    assert again_s == 0
    assert changed_s > 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"period": 0.1}',
        '{"period_s": null}',
        '{"period_s": "0.1"}',
        '{"period_s": 0}',
        '{"period_s": NaN}',
        '{"period_s": 0.1, "sensor_ratio": -1}',
    ],
)
def test_a_corrupt_cache_is_found_out_again(tmp_path: Path, text: str) -> None:
    Card().calibrate(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(text)

    found, duration_s = Card().calibrate(tmp_path)

    assert duration_s > 4.5
    assert found.period_s == pytest.approx(0.1, rel=0.03)
    assert json.loads(file.read_text())["period_s"] == found.period_s


def test_a_given_period_is_taken_and_not_remembered(tmp_path: Path) -> None:
    given, _ = Card().calibrate(tmp_path, replace(SETTINGS, period_s=0.5))
    found, _ = Card().calibrate(tmp_path)

    assert given.period_s == 0.5
    assert found.period_s == pytest.approx(0.1, rel=0.03)
    assert Card().calibrate(tmp_path, replace(SETTINGS, period_s=0.5))[0].period_s == 0.5


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    assert Card().calibrate(tmp_path / "file")[0].period_s == pytest.approx(0.1, rel=0.03)


def test_the_users_own_cache_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    bench = Card()

    with bench.meter:
        calibrate(bench.meter, SETTINGS, bench.clock)

    assert cache_folder() == tmp_path / "econas"
    assert len(list((tmp_path / "econas").glob("*.json"))) == 1


def test_a_composite_is_as_slow_as_its_slowest_part_and_as_good_as_its_worst(tmp_path: Path) -> None:
    clock = VirtualClock(5.0)
    gpus = [
        FakeGpu(PowerTrace(200.0), uuid="GPU-1", period_s=0.02),
        FakeGpu(PowerTrace(60.0), uuid="GPU-2", period_s=0.104),
    ]
    nvml = FakeNvml(clock, *gpus)

    with CompositeMeter([NvmlMeter(gpu.uuid, nvml, clock) for gpu in gpus]) as meter:
        assert calibrate(meter, SETTINGS, clock, tmp_path / "good").period_s == pytest.approx(0.104, rel=0.03)
        gpus[0].counter_gain = 0.5
        with pytest.raises(MeasurementError, match="apart"):
            calibrate(meter, SETTINGS, clock, tmp_path / "bad")
