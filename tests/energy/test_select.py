"""What an experiment gets for `energy.meter`: an estimator by its name, and never one for `auto`."""

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoNAS.config import EnergyConfig
from ecoNAS.energy.estimate import MacsAndBytes
from ecoNAS.energy.probe import probe_meters
from ecoNAS.energy.select import select_energy_source
from ecoNAS.errors import MeterError


class FakeNvmlError(Exception):
    """Stands for pynvml.NVMLError."""


def nvml(gpus: int = 0, *, init: str = "", counter: str = "") -> Any:
    """Return a fake pynvml with so many GPUs; `init` and `counter` are errors of the driver."""

    def fail(message: str) -> int:
        if message:
            raise FakeNvmlError(message)
        return 123

    return SimpleNamespace(
        NVMLError=FakeNvmlError,
        nvmlInit=lambda: fail(init),
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: gpus,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda handle: "NVIDIA Fake",
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: fail(counter),
    )


NO_DRIVER = nvml(init="NVML Shared Library Not Found")


def rapl(root: Path, packages: int = 2) -> None:
    for number in range(packages):
        domain = root / f"sys/class/powercap/intel-rapl:{number}"
        domain.mkdir(parents=True)
        (domain / "energy_uj").write_text("262143328850\n")


def hwmon(root: Path) -> None:
    chip = root / "sys/class/hwmon/hwmon0"
    chip.mkdir(parents=True)
    (chip / "power1_input").write_text("4500000\n")


def refusal(root: Path, fake: Any = NO_DRIVER) -> str:
    with pytest.raises(MeterError) as caught:
        select_energy_source(EnergyConfig(meter="auto"), root, fake)
    return str(caught.value)


def test_estimate_gives_the_estimator_of_the_device_class() -> None:
    source = select_energy_source(EnergyConfig(meter="estimate", device_class="cpu"))

    assert isinstance(source, MacsAndBytes)
    assert source.device == "class:cpu"


def test_a_misspelt_meter_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        MeterError, match=r"unknown meter 'estimat'; known: auto, estimate \(did you mean 'estimate'\?\)"
    ):
        select_energy_source(EnergyConfig(meter="estimat"))


def test_auto_on_a_bare_machine_says_what_is_missing_and_the_way_on(tmp_path: Path) -> None:
    message = refusal(tmp_path)

    assert "\n" not in message
    assert "nvml: NVML Shared Library Not Found" in message
    assert "rapl: no " in message
    assert "hwmon: no " in message
    assert message.endswith("write 'energy: {meter: estimate}'")


def test_auto_on_a_machine_with_counters_says_that_they_are_not_read_yet(tmp_path: Path) -> None:
    rapl(tmp_path)
    hwmon(tmp_path)

    message = refusal(tmp_path, nvml(2))

    assert "nvml: 2 GPU (NVIDIA Fake) (found, but reading it comes with a later version)" in message
    assert "rapl: 2 counters under" in message
    assert "hwmon: 1 counter under" in message
    assert message.count("later version") == 3
    assert "\n" not in message


@pytest.mark.parametrize("failure", ["permission", "no data", "text"])
def test_auto_names_the_counter_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    rapl(tmp_path)
    broken = tmp_path / "sys/class/powercap/intel-rapl:1/energy_uj"
    read_text = Path.read_text

    def read(path: Path, *args: Any, **kwargs: Any) -> str:  # root may read every file, so the refusal is injected
        if path == broken and failure == "permission":
            raise PermissionError(errno.EACCES, "Permission denied")
        if path == broken and failure == "no data":
            raise OSError(errno.ENODATA, "No data available")
        return "unknown" if path == broken else read_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", read)
    said = {
        "permission": "is readable by root only; sudo chmod a+r",
        "no data": "does not answer: No data available",
        "text": "does not hold a number",
    }

    message = refusal(tmp_path)

    assert f"{broken} {said[failure]}" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("fake", "said"),
    [
        (nvml(0), "shows no GPU"),
        (nvml(1, counter="Not Supported"), "the GPU's energy counter does not answer: Not Supported"),
        (nvml(init="Driver Not Loaded"), "Driver Not Loaded"),
    ],
)
def test_auto_says_why_a_gpu_cannot_be_measured(tmp_path: Path, fake: Any, said: str) -> None:
    assert said in refusal(tmp_path, fake)


@given(has_rapl=st.booleans(), has_hwmon=st.booleans(), gpus=st.integers(0, 3), init=st.sampled_from(["", "broken"]))
def test_auto_never_yields_an_estimate(
    tmp_path_factory: pytest.TempPathFactory, has_rapl: bool, has_hwmon: bool, gpus: int, init: str
) -> None:
    root = tmp_path_factory.mktemp("machine")
    if has_rapl:
        rapl(root)
    if has_hwmon:
        hwmon(root)

    with pytest.raises(MeterError):
        select_energy_source(EnergyConfig(meter="auto"), root, nvml(gpus, init=init))


def test_probing_this_very_machine_works() -> None:
    assert [finding.meter for finding in probe_meters()] == ["nvml", "rapl", "hwmon"]
