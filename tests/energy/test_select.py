"""What an experiment gets for `energy.meter`: an estimator or a meter by name, and never an estimate for `auto`."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fake_nvml import FakeGpu, FakeNvml
from fake_powercap import FakePowercap
from hypothesis import given
from hypothesis import strategies as st
from power_trace import PowerTrace

from ecoNAS.config import EnergyConfig
from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.estimate import MacsAndBytes
from ecoNAS.energy.meter import EnergyMeter, SimulatedMeter
from ecoNAS.energy.meters.composite import CompositeMeter
from ecoNAS.energy.meters.hwmon import HwmonMeter
from ecoNAS.energy.meters.nvml import NvmlMeter
from ecoNAS.energy.meters.rapl import RaplMeter
from ecoNAS.energy.select import is_estimated, select_estimator, select_meter
from ecoNAS.errors import MeterError


def gpus(count: int) -> Any:  # Any: pynvml has no types
    """Return a fake pynvml with so many GPUs, whose UUIDs end in 0, 1, ..."""
    clock = VirtualClock()
    return FakeNvml(clock, *(FakeGpu(PowerTrace(50.0), uuid=f"GPU-{number}") for number in range(count)))


def hwmon(root: Path) -> None:
    chip = root / "sys/class/hwmon/hwmon0"
    chip.mkdir(parents=True)
    (chip / "name").write_text("ina226\n")
    (chip / "power1_input").write_text("4500000\n")


def select(root: Path, meter: str = "auto", gpu_uuid: str | None = None, nvml: Any = None) -> EnergyMeter:
    return select_meter(EnergyConfig(meter=meter, root=root), gpu_uuid, VirtualClock(), nvml or gpus(0))


def test_estimate_gives_the_estimator_of_the_device_class() -> None:
    config = EnergyConfig(meter="estimate", device_class="cpu")

    estimator = select_estimator(config)

    assert is_estimated(config)
    assert isinstance(estimator, MacsAndBytes)
    assert estimator.device == "class:cpu"


def test_a_misspelt_meter_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    known = "known: auto, csv, estimate, hwmon, nvml, rapl, simulated"
    with pytest.raises(MeterError, match=rf"unknown meter 'rappl'; {known} \(did you mean 'rapl'\?\)"):
        select(tmp_path, "rappl")
    with pytest.raises(MeterError, match=r"unknown meter 'dram'"):
        select(tmp_path, "simulated+dram")


def test_auto_on_the_cpu_takes_the_package_counter_before_a_board_sensor(tmp_path: Path) -> None:
    hwmon(tmp_path)
    assert isinstance(select(tmp_path), HwmonMeter)
    FakePowercap(tmp_path)
    assert isinstance(select(tmp_path), RaplMeter)


def test_auto_on_a_gpu_takes_that_very_gpu_and_not_the_cpu(tmp_path: Path) -> None:
    FakePowercap(tmp_path)

    meter = select(tmp_path, gpu_uuid="GPU-1", nvml=gpus(3))

    assert isinstance(meter, NvmlMeter)
    assert meter.info.device == "GPU-1"


def test_auto_never_measures_the_cpu_for_candidates_on_a_gpu(tmp_path: Path) -> None:
    FakePowercap(tmp_path)
    with pytest.raises(MeterError, match=r"can measure nothing here, where candidates run on a GPU: nvml: .*GPU-9"):
        select(tmp_path, gpu_uuid="GPU-9", nvml=gpus(1))


def test_auto_on_a_bare_machine_says_what_is_missing_and_the_way_on(tmp_path: Path) -> None:
    with pytest.raises(MeterError) as caught:
        select(tmp_path)

    message = str(caught.value)
    assert "\n" not in message
    assert "rapl: " in message
    assert "hwmon: " in message
    assert "`econas doctor`" in message
    assert message.endswith("write 'energy: {meter: estimate}'")


@given(has_rapl=st.booleans(), has_hwmon=st.booleans(), count=st.integers(0, 3), uuid=st.sampled_from([None, "GPU-0"]))
def test_auto_never_yields_an_estimate(
    tmp_path_factory: pytest.TempPathFactory, has_rapl: bool, has_hwmon: bool, count: int, uuid: str | None
) -> None:
    root = tmp_path_factory.mktemp("machine")
    if has_rapl:
        FakePowercap(root)
    if has_hwmon:
        hwmon(root)
    can_measure = count > 0 if uuid else has_rapl or has_hwmon

    if can_measure:
        assert select(root, gpu_uuid=uuid, nvml=gpus(count)).info.kind == "measured"
    else:
        with pytest.raises(MeterError):
            select(root, gpu_uuid=uuid, nvml=gpus(count))


def test_names_joined_by_plus_are_one_meter(tmp_path: Path) -> None:
    FakePowercap(tmp_path)

    meter = select(tmp_path, "nvml+rapl", nvml=gpus(1))

    assert isinstance(meter, CompositeMeter)
    assert meter.info.device.startswith("GPU-0+")


def test_a_dotted_path_gives_the_users_own_meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("my_lab")
    module.socket = lambda config: SimulatedMeter(3.0, VirtualClock())  # type: ignore[attr-defined]
    module.lamp = lambda config: "no meter"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_lab", module)

    assert isinstance(select(tmp_path, "my_lab:socket"), SimulatedMeter)
    with pytest.raises(MeterError, match=r"'my_lab:lamp' gave str, which has no `info: MeterInfo`"):
        select(tmp_path, "my_lab:lamp")
    with pytest.raises(MeterError, match=r"'my_lab:fridge' cannot be imported"):
        select(tmp_path, "my_lab:fridge")
    with pytest.raises(MeterError, match=r"'no_such_lab:x' cannot be imported"):
        select(tmp_path, "no_such_lab:x")


def test_csv_without_a_log_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match=r"energy: \{meter: csv, path: FILE\}"):
        select(tmp_path, "csv")
