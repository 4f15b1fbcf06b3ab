"""One sensor of a board: power is integrated, energy is read, and the wrong one is never taken."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.meters.hwmon import HwmonMeter
from ecoNAS.errors import MeasurementError, MeterError

POWER = {"name": "ina3221", "power1_input": "20000000", "power1_label": "VDD_IN"}
ENERGY = {"name": "board", "energy1_input": "7000000", "energy1_label": "total"}
Chip = Callable[..., Path]


@pytest.fixture
def chip(tmp_path: Path) -> Chip:
    """Return a function that makes a chip of the given files and returns its folder."""

    def make(files: dict[str, str], number: int = 0) -> Path:
        folder = tmp_path / f"sys/class/hwmon/hwmon{number}"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(f"{text}\n")
        return folder

    return make


def test_power_is_integrated_between_readings(chip: Chip, tmp_path: Path) -> None:
    folder, clock = chip(POWER), VirtualClock(3.0)
    meter = HwmonMeter(tmp_path, clock=clock)
    assert (meter.info.method, meter.info.scope) == ("integrated_power", "board sensor ina3221/VDD_IN")
    with meter:
        clock.sleep(0.5)
        assert meter.read().energy_j == pytest.approx(10.0)
        (folder / "power1_input").write_text("40000000")
        clock.sleep(1.0)
        reading = meter.read()
        assert (reading.energy_j, reading.time_s) == (pytest.approx(40.0), 4.5)  # 30 W on average
        assert meter.state().power_w == pytest.approx(40.0)
        clock.sleep(1.5)
        for _ in range(2):
            with pytest.raises(MeasurementError, match=r"was not read for 1.50 s") as caught:
                meter.read()
        assert caught.value.lower_bound_j == pytest.approx(40.0)


def test_energy_is_read_however_long_ago_the_last_reading_was(chip: Chip, tmp_path: Path) -> None:
    folder, clock = chip(ENERGY), VirtualClock()
    meter = HwmonMeter(tmp_path, clock=clock)
    assert (meter.info.method, meter.info.domains) == ("energy_counter", ("board/total",))
    with meter:
        clock.sleep(600.0)
        (folder / "energy1_input").write_text("19500000")
        assert meter.read().energy_j == pytest.approx(12.5)
        assert meter.state().power_w is None


def test_an_energy_counter_that_ran_backward_never_yields_a_number_again(chip: Chip, tmp_path: Path) -> None:
    folder = chip(ENERGY)
    with HwmonMeter(tmp_path, clock=VirtualClock()) as meter:
        for shown in ("9000000", "8999999", "99000000"):
            (folder / "energy1_input").write_text(shown)
            if shown == "9000000":
                assert meter.read().energy_j == pytest.approx(2.0)
                continue
            with pytest.raises(MeasurementError, match=r"ran backward: it was reset, .*; measure again") as caught:
                meter.read()
        assert caught.value.lower_bound_j == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, "board/total"),  # the only one that counts by itself
        ("ina3221/VDD_IN", "ina3221/VDD_IN"),
        ("ina3221/power2", "ina3221/power2"),
        ("other/power1", "other/power1"),
    ],
)
def test_a_sensor_is_found_by_chip_and_label_whatever_its_kind(
    chip: Chip, tmp_path: Path, wanted: str | None, found: str
) -> None:
    chip(POWER | {"power2_input": "5000000"}, number=0)
    chip(ENERGY, number=1)
    chip({"name": "other", "power1_average": "8000000"}, number=2)
    meter = HwmonMeter(tmp_path, wanted, VirtualClock())
    assert meter.info.device_name == found
    assert meter.info.device.endswith(f":{found}")


def test_the_identity_stays_when_hwmon_folders_change_their_numbers(chip: Chip, tmp_path: Path) -> None:
    folder = chip(POWER, number=4)
    before = HwmonMeter(tmp_path, clock=VirtualClock()).info
    folder.rename(folder.with_name("hwmon1"))
    assert HwmonMeter(tmp_path, clock=VirtualClock()).info == before


@pytest.mark.parametrize(
    ("chips", "wanted", "message"),
    [
        ([], None, r"no energy\*_input nor power\*_input below .*/sys/class/hwmon \(no such sensor on this board\)"),
        ([{"name": "coretemp", "temp1_input": "1"}], None, r"no energy\*_input nor power\*_input"),
        ([POWER, POWER | {"name": "b"}], None, r"several sensors; choose with .*: ina3221/VDD_IN, b/VDD_IN$"),
        ([POWER, ENERGY], "board/all", r"no sensor 'board/all' here; those that are: board/total, ina3221/VDD_IN$"),
        ([POWER, POWER], "ina3221/VDD_IN", r"several sensors are named 'ina3221/VDD_IN', .*hwmon0/.*hwmon1/"),
        ([POWER | {"power1_input": "unknown"}], None, r"power1_input does not hold a number"),
    ],
)
def test_no_sensor_or_the_choice_between_several_is_refused_with_what_there_is(
    chip: Chip, tmp_path: Path, chips: list[dict[str, str]], wanted: str | None, message: str
) -> None:
    for number, files in enumerate(chips):
        chip(files, number)
    with pytest.raises(MeterError, match=message):
        HwmonMeter(tmp_path, wanted, VirtualClock())


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EACCES, r"energy1_input is not readable by this user; sudo chmod a\+r .*/hwmon0/energy1_input$"),
        (errno.ENODATA, r"energy1_input does not answer: No data available"),
    ],
)
def test_a_sensor_that_cannot_be_read_is_refused_when_it_is_made_and_when_it_is_opened(
    chip: Chip, tmp_path: Path, number: int, message: str
) -> None:
    chip(ENERGY)
    broken: list[bool] = []

    def read_text(path: Path) -> str:
        if broken and path.name == "energy1_input":
            raise OSError(number, os.strerror(number))
        return path.read_text()

    meter = HwmonMeter(tmp_path, clock=VirtualClock(), read_text=read_text)
    broken.append(True)
    with pytest.raises(MeterError, match=message):
        HwmonMeter(tmp_path, clock=VirtualClock(), read_text=read_text)
    with pytest.raises(MeterError, match=message):
        meter.__enter__()


@pytest.mark.parametrize("ask", [HwmonMeter.read, HwmonMeter.state])
def test_a_sensor_that_vanishes_ends_the_measurement_for_good(
    chip: Chip, tmp_path: Path, ask: Callable[[HwmonMeter], object]
) -> None:
    file, clock = chip(POWER) / "power1_input", VirtualClock()
    with HwmonMeter(tmp_path, clock=clock) as meter:
        clock.sleep(0.5)
        meter.read()
        file.unlink()
        with pytest.raises(MeasurementError, match="sensor ina3221/VDD_IN cannot be read any more"):
            ask(meter)
        file.write_text("20000000")
        with pytest.raises(MeasurementError, match="cannot be read any more") as caught:
            meter.read()
    assert caught.value.lower_bound_j == pytest.approx(10.0)


@pytest.mark.parametrize("other", ["BAT0", "amdgpu", "ucsi_source_psy_USBC000:001"])
def test_the_sensor_of_a_gpu_a_battery_or_a_port_is_only_taken_by_name(chip: Chip, tmp_path: Path, other: str) -> None:
    chip({"name": other, "power1_input": "0"})
    with pytest.raises(MeterError, match=rf"choose with energy: {{device: NAME}}: {other}/power1"):
        HwmonMeter(tmp_path)
    assert HwmonMeter(tmp_path, f"{other}/power1").info.device_name == f"{other}/power1"
    chip(POWER, number=1)
    assert HwmonMeter(tmp_path).info.device_name == "ina3221/VDD_IN"
