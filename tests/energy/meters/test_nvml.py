"""An NVIDIA GPU by its energy counter or its power, and what happens when the card or its driver fails."""

import sys

import pynvml
import pytest
from fake_nvml import FakeGpu, FakeNvml
from power_trace import PowerTrace

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.meters.nvml import NvmlMeter
from ecoNAS.errors import MeasurementError, MeterError
from ecoNAS.measurement import DeviceState

ONE, TWO = "GPU-11111111", "GPU-22222222"


def _gpu(power_w: float = 100.0, **changes: object) -> FakeGpu:
    return FakeGpu(PowerTrace(power_w), **changes)  # type: ignore[arg-type]


def _nvml(*gpus: FakeGpu) -> tuple[FakeNvml, VirtualClock]:
    clock = VirtualClock(start_s=10.0)
    return FakeNvml(clock, *gpus), clock


def _two_gpus() -> tuple[FakeNvml, VirtualClock]:
    return _nvml(
        _gpu(100.0, uuid=ONE, bus_id="00000000:01:00.0"),
        _gpu(300.0, uuid=TWO, bus_id="00000000:41:00.0"),
    )


@pytest.mark.parametrize(
    ("device", "uuid", "energy_j"),
    [(ONE, ONE, 200.0), (TWO, TWO, 600.0), ("00000000:01:00.0", ONE, 200.0), ("00000000:41:00.0", TWO, 600.0)],
)
def test_gpu_is_found_by_uuid_or_bus_id(device: str, uuid: str, energy_j: float) -> None:
    nvml, clock = _two_gpus()

    with NvmlMeter(device, nvml, clock) as meter:
        clock.sleep(2.0)
        assert meter.info.device == uuid
        assert meter.read().energy_j == pytest.approx(energy_j)


def test_an_open_meter_follows_its_card_when_the_order_changes() -> None:
    nvml, clock = _two_gpus()
    meter = NvmlMeter("00000000:41:00.0", nvml, clock)
    nvml.gpus = nvml.gpus[::-1]

    with meter:
        clock.sleep(2.0)
        assert meter.read().energy_j == pytest.approx(600.0)


@pytest.mark.parametrize("device", ["0", "1", "GPU-33333333", "MIG-11111111"])
def test_neither_an_index_nor_an_unknown_name_is_a_device(device: str) -> None:
    nvml, clock = _two_gpus()

    with pytest.raises(MeterError, match=f"no GPU '{device}' here; those that are: {ONE}, {TWO}"):
        NvmlMeter(device, nvml, clock)
    assert nvml.sessions == 0


def test_one_of_several_gpus_must_be_named() -> None:
    nvml, clock = _two_gpus()

    with pytest.raises(MeterError, match=f"must name one of the GPUs: {ONE}, {TWO}"):
        NvmlMeter(None, nvml, clock)


def test_a_split_gpu_is_refused_with_the_command_that_ends_it() -> None:
    nvml, clock = _nvml(_gpu(is_mig=True))

    with pytest.raises(MeterError, match=r"split by MIG.*sudo nvidia-smi -mig 0"):
        NvmlMeter(None, nvml, clock)


@pytest.mark.parametrize(
    ("has_counter", "method", "domain"),
    [(True, "energy_counter", "total energy"), (False, "integrated_power", "instantaneous power")],
)
def test_a_card_without_counter_is_integrated_and_says_so(has_counter: bool, method: str, domain: str) -> None:
    nvml, clock = _nvml(_gpu(120.0, has_counter=has_counter))

    with NvmlMeter(None, nvml, clock) as meter:
        for _ in range(20):
            clock.sleep(0.25)
            reading = meter.read()

    assert (meter.info.method, meter.info.domains, meter.info.scope) == (method, (domain,), "gpu")
    assert reading.energy_j == pytest.approx(600.0, rel=1e-4)  # 120 W for 5 s, in whole milliwatts
    assert reading.time_s == pytest.approx(15.0)


def test_power_of_drivers_that_have_only_the_average_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml, clock = _nvml(_gpu(80.0, has_counter=False))

    def unknown(gpu: FakeGpu, fields: list[int]) -> list[object]:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)

    monkeypatch.setattr(nvml, "nvmlDeviceGetFieldValues", unknown)
    with NvmlMeter(None, nvml, clock) as meter:
        clock.sleep(1.0)
        assert meter.read().energy_j == pytest.approx(80.0, rel=1e-4)


def test_integrated_power_that_was_not_looked_at_for_long_is_refused() -> None:
    nvml, clock = _nvml(_gpu(has_counter=False))

    with NvmlMeter(None, nvml, clock) as meter:
        clock.sleep(1.5)
        with pytest.raises(MeasurementError, match=r"not read for 1\.50 s"):
            meter.read()
        with pytest.raises(MeasurementError, match="measure again"):
            meter.read()


@pytest.mark.parametrize("has_counter", [True, False])
def test_a_lost_gpu_leaves_a_lower_bound_and_never_a_number(has_counter: bool) -> None:
    nvml, clock = _nvml(_gpu(100.0, lost_s=12.5, has_counter=has_counter))

    with NvmlMeter(None, nvml, clock) as meter:
        for _ in range(2):
            clock.sleep(1.0)
            meter.read()
        clock.sleep(1.0)
        for _ in range(2):
            with pytest.raises(MeasurementError, match=r"GPU is lost; measure again") as caught:
                meter.read()
            assert caught.value.lower_bound_j == pytest.approx(200.0, rel=1e-4)
        with pytest.raises(MeasurementError, match="GPU is lost"):
            meter.state()
    assert nvml.sessions == 0


def test_a_reset_counter_is_refused_even_when_it_has_grown_again() -> None:
    nvml, clock = _nvml(_gpu(100.0, reset_s=13.0))

    with NvmlMeter(None, nvml, clock) as meter:
        clock.sleep(2.0)
        meter.read()
        clock.sleep(2.0)
        with pytest.raises(MeasurementError, match=r"ran backward: the driver was reloaded or the GPU reset"):
            meter.read()
        nvml.gpus[0].reset_s = None  # beyond the old value again
        with pytest.raises(MeasurementError, match="ran backward") as caught:
            meter.read()

    assert caught.value.lower_bound_j == pytest.approx(200.0, rel=1e-4)


def test_a_meter_counts_anew_after_a_failure_once_it_is_opened_again() -> None:
    nvml, clock = _nvml(_gpu(100.0, reset_s=11.0))

    with NvmlMeter(None, nvml, clock) as meter:
        clock.sleep(2.0)
        with pytest.raises(MeasurementError):
            meter.read()
    nvml.gpus[0].reset_s = None
    with meter:
        clock.sleep(3.0)
        assert meter.read().energy_j == pytest.approx(300.0)


def test_a_missing_driver_is_named() -> None:
    clock = VirtualClock()

    with pytest.raises(MeterError, match=r"Shared Library Not Found \(no NVIDIA GPU, or its driver is not loaded"):
        NvmlMeter(None, FakeNvml(clock, has_driver=False), clock)


def test_a_missing_package_gives_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)

    with pytest.raises(MeterError, match="pip install nvidia-ml-py"):
        NvmlMeter(None)


def test_a_driver_without_gpu_is_refused() -> None:
    nvml, clock = _nvml()

    with pytest.raises(MeterError, match="GPUs: none"):
        NvmlMeter(None, nvml, clock)


def test_a_gpu_that_fails_before_it_is_opened_is_refused_and_let_go() -> None:
    nvml, clock = _nvml(_gpu())
    meter = NvmlMeter(None, nvml, clock)
    clock.sleep(1.0)
    nvml.gpus[0].lost_s = 0.0

    with pytest.raises(MeasurementError, match="GPU is lost"):
        meter.__enter__()
    assert nvml.sessions == 0
    with pytest.raises(MeterError, match="not open"):
        meter.read()


def test_a_driver_that_went_before_it_is_opened_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml, clock = _nvml(_gpu())
    meter = NvmlMeter(None, nvml, clock)

    def gone(index: int = 0) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)

    monkeypatch.setattr(nvml, "nvmlDeviceGetHandleByIndex", gone)
    with pytest.raises(MeterError, match=r"refuses: .*see `nvidia-smi`"):
        meter.__enter__()
    monkeypatch.setattr(nvml, "nvmlInit", gone)
    with pytest.raises(MeterError, match=r"its driver is not loaded; see `nvidia-smi`"):
        meter.__enter__()
    assert nvml.sessions == 0


def test_state_tells_slow_downs_limit_power_and_processes() -> None:
    gpu = _gpu(250.0, power_limit_w=400.0, temperature_c=61.0, throttled_s=1.25, capped_s=0.5, process_ids=[7, 8, 7])
    nvml, clock = _nvml(gpu)

    with NvmlMeter(None, nvml, clock) as meter:
        before = meter.state()
        gpu.throttled_s += 0.25
        after = meter.state()

    assert before == DeviceState(
        temperature_c=61,
        throttled_s=pytest.approx(1.25),
        capped_s=pytest.approx(0.5),
        power_w=pytest.approx(250.0, rel=1e-4),
        power_limit_w=pytest.approx(400.0),
        clock_mhz=1980,
        process_ids=frozenset({7, 8}),
    )
    assert after.throttled_s == pytest.approx(1.5)


def test_hardware_slow_downs_of_newer_drivers_add_to_the_thermal_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml, clock = _nvml(_gpu(throttled_s=1.0))
    ask = nvml.nvmlDeviceGetFieldValues

    def newer(gpu: FakeGpu, fields: list[int]) -> list[object]:
        answers = ask(gpu, fields)
        for number, answer in zip(fields, answers, strict=True):
            if number == 271:  # the power brake
                answer.nvmlReturn, answer.value.ullVal = pynvml.NVML_SUCCESS, 2_000_000_000
        return answers

    monkeypatch.setattr(nvml, "nvmlDeviceGetFieldValues", newer)
    with NvmlMeter(None, nvml, clock) as meter:
        assert meter.state().throttled_s == pytest.approx(3.0)


def test_what_a_driver_does_not_tell_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml, clock = _nvml(_gpu(process_ids=None))

    def unsupported(*_: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    for call in ("ViolationStatus", "EnforcedPowerLimit", "Temperature", "ClockInfo", "FieldValues", "PowerUsage"):
        monkeypatch.setattr(nvml, f"nvmlDeviceGet{call}", unsupported)
    with NvmlMeter(None, nvml, clock) as meter:
        assert meter.state() == DeviceState()


def test_a_card_with_neither_counter_nor_power_is_refused_before_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml, clock = _nvml(_gpu(has_counter=False))

    def refuse(*_: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(nvml, "nvmlDeviceGetPowerUsage", refuse)
    monkeypatch.setattr(nvml, "nvmlDeviceGetFieldValues", refuse)

    with pytest.raises(MeterError, match="neither an energy counter nor a power sensor"):
        NvmlMeter(None, nvml, clock)
    assert nvml.sessions == 0


def test_a_lost_card_does_not_keep_another_one_from_being_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml, clock = _two_gpus()

    def lost(gpu: FakeGpu) -> str:
        if gpu.uuid == ONE:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return gpu.uuid

    monkeypatch.setattr(nvml, "nvmlDeviceGetUUID", lost)

    assert NvmlMeter(TWO, nvml, clock).info.device == TWO
    with pytest.raises(MeterError, match=f"must name one of the GPUs: {TWO}"):
        NvmlMeter(None, nvml, clock)
