"""NVIDIA GPUs: the total-energy counter of NVML, or integrated power on cards that are older than Volta.

A device is found by UUID or PCI bus id and never by index: `CUDA_VISIBLE_DEVICES` is rewritten by Ray and ignored by
NVML. The package is `nvidia-ml-py`, imported as `pynvml`; a fake with the same calls can stand in for it. Calls and
units are those of NVIDIA's NVML API reference.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from types import TracebackType
from typing import Any, Final, Self

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.meter import Reading
from ecoNAS.energy.meters.integral import PowerIntegral
from ecoNAS.errors import MeasurementError, MeterError
from ecoNAS.measurement import DeviceState, MeterInfo

MILLI: Final = 1e-3
NANO: Final = 1e-9
POWER_INSTANT: Final = 186  # NVML_FI_DEV_POWER_INSTANT, in milliwatts
# Slow-downs by software for heat, by hardware for heat, and by the power brake: fields in nanoseconds (newer drivers).
SLOWDOWN_FIELDS: Final = (269, 270, 271)
MAX_GAP_S: Final = 1.0  # between two readings of a power that is integrated


class NvmlMeter:
    """One whole GPU.

    Args:
        device: Its UUID or PCI bus id; None for the only one.
        nvml: The module `pynvml`, or a fake; None to import it.
        clock: Whose seconds it shows.

    Raises:
        MeterError: if there is no pynvml or no driver, no such GPU or several to choose from, or it is split by MIG.
    """

    def __init__(self, device: str | None = None, nvml: Any = None, clock: Clock = REAL_CLOCK) -> None:
        self._nvml: Any = nvml or _pynvml()  # Any: pynvml has no types
        self._clock = clock
        with _session(self._nvml):
            handle = _find(self._nvml, device)
            self._refuse_mig(handle)
            self._uuid = str(self._nvml.nvmlDeviceGetUUID(handle))
            self._has_counter = self._supports(lambda: self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
            if not self._has_counter and not self._supports(lambda: self._power_w(handle)):
                raise MeterError(
                    f"GPU {self._uuid} has neither an energy counter nor a power sensor; use another meter"
                )
            self.info = MeterInfo(
                name="nvml",
                kind="measured",
                method="energy_counter" if self._has_counter else "integrated_power",
                scope="gpu",
                device=self._uuid,
                domains=("total energy" if self._has_counter else "instantaneous power",),
                device_name=str(self._nvml.nvmlDeviceGetName(handle)),
                driver=f"NVIDIA {self._nvml.nvmlSystemGetDriverVersion()}",
            )
        self._handle: Any = None  # Any: a pointer of NVML
        self._first_j = 0.0
        self._latest_j = 0.0
        self._integral: PowerIntegral | None = None
        self._failure = ""

    def read(self) -> Reading:
        """Return joules since it was opened."""
        self._require_open()
        if self._failure:
            raise MeasurementError(self._failure, self._latest_j)
        if self._integral is not None:
            self._latest_j = self._integral.advance(self._ask(self._power_w), self._clock.now_s())
            return Reading(self._latest_j, self._clock.now_s())
        energy_j = self._ask(self._counter_j) - self._first_j
        if energy_j < self._latest_j:
            self._refuse("its energy counter ran backward: the driver was reloaded or the GPU reset")
        self._latest_j = energy_j
        return Reading(energy_j, self._clock.now_s())

    def state(self) -> DeviceState:
        """Return temperature, slow-downs, power, limit, clock and processes."""
        self._require_open()
        nvml, handle = self._nvml, self._handle
        capped_ns = self._optional(
            lambda: nvml.nvmlDeviceGetViolationStatus(handle, nvml.NVML_PERF_POLICY_POWER).violationTime
        )
        limit_mw = self._optional(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle))
        return DeviceState(
            temperature_c=self._optional(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            throttled_s=self._throttled_s(),
            capped_s=None if capped_ns is None else capped_ns * NANO,
            power_w=self._optional(self._power_w),
            power_limit_w=None if limit_mw is None else limit_mw * MILLI,
            clock_mhz=self._optional(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
            process_ids=self._process_ids(),
        )

    def __enter__(self) -> Self:
        """Note where the counter stands."""
        _start(self._nvml)
        self._latest_j, self._failure = 0.0, ""
        try:
            with _refusals(self._nvml):
                self._handle = _find(self._nvml, self._uuid)
            if self._has_counter:
                self._first_j = self._ask(self._counter_j)
            else:
                name = self.info.device_name
                self._integral = PowerIntegral(name, self._ask(self._power_w), self._clock.now_s(), MAX_GAP_S)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of the driver."""
        self._handle = self._integral = None
        _stop(self._nvml)

    def _require_open(self) -> None:
        if self._handle is None:
            raise MeterError("meter 'nvml' is not open; read it inside `with meter:`")

    def _counter_j(self) -> float:
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) * MILLI

    def _power_w(self, handle: Any = None) -> float:  # Any: a pointer of NVML
        """Return the instantaneous power; where a driver has only the average of a second, that."""
        handle = handle or self._handle
        with suppress(self._nvml.NVMLError):  # old drivers do not know the call, and a lost card fails the next one too
            (value,) = self._nvml.nvmlDeviceGetFieldValues(handle, [POWER_INSTANT])
            if value.nvmlReturn == self._nvml.NVML_SUCCESS:
                return float(value.value.uiVal) * MILLI
        return float(self._nvml.nvmlDeviceGetPowerUsage(handle)) * MILLI

    def _throttled_s(self) -> float | None:
        """Return seconds of slow-down by heat and hardware since the driver was loaded."""
        nvml, handle = self._nvml, self._handle
        thermal_ns = self._optional(
            lambda: nvml.nvmlDeviceGetViolationStatus(handle, nvml.NVML_PERF_POLICY_THERMAL).violationTime
        )
        fields = self._optional(lambda: nvml.nvmlDeviceGetFieldValues(handle, list(SLOWDOWN_FIELDS))) or []
        parts_ns = [field.value.ullVal for field in fields if field.nvmlReturn == nvml.NVML_SUCCESS]
        if thermal_ns is None and not parts_ns:
            return None
        return float((thermal_ns or 0) + sum(parts_ns)) * NANO

    def _process_ids(self) -> frozenset[int] | None:
        nvml, handle = self._nvml, self._handle
        lists = [
            self._optional(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)),
            self._optional(lambda: nvml.nvmlDeviceGetGraphicsRunningProcesses(handle)),
        ]
        if lists[0] is None:
            return None
        return frozenset(int(process.pid) for found in lists if found is not None for process in found)

    def _ask(self, question: Callable[[], float]) -> float:
        """Return the answer of the driver; any failure ends the measurement."""
        try:
            return question()
        except self._nvml.NVMLError as error:
            self._refuse(f"does not answer any more: {error}")
            raise AssertionError from error  # not reached

    def _refuse(self, what: str) -> None:
        self._failure = f"GPU {self.info.device_name} ({self._uuid}): {what}; measure again"
        raise MeasurementError(self._failure, self._latest_j)

    def _optional(self, question: Callable[[], Any]) -> Any:  # Any: whatever NVML answers
        """Return the answer, or None where this card or driver has none; a lost device ends the measurement."""
        try:
            return question()
        except self._nvml.NVMLError_GpuIsLost as error:
            self._refuse(str(error))
        except self._nvml.NVMLError:
            return None

    def _supports(self, question: Callable[[], Any]) -> bool:
        try:
            question()
        except self._nvml.NVMLError_NotSupported:
            return False
        except self._nvml.NVMLError as error:
            raise MeterError(
                f"the GPU's energy counter or power sensor does not answer: {error}; see `nvidia-smi`"
            ) from None
        return True

    def _refuse_mig(self, handle: Any) -> None:
        try:
            current, _ = self._nvml.nvmlDeviceGetMigMode(handle)
        except self._nvml.NVMLError:  # cards without MIG
            return
        if current:
            raise MeterError(
                "the GPU is split by MIG and its counter sees all instances; switch MIG off to measure: "
                "sudo nvidia-smi -mig 0"
            )


@contextmanager
def _session(nvml: Any) -> Iterator[None]:  # Any: pynvml has no types
    """Talk to the driver; what it refuses becomes a MeterError."""
    _start(nvml)
    try:
        with _refusals(nvml):
            yield
    finally:
        _stop(nvml)


@contextmanager
def _refusals(nvml: Any) -> Iterator[None]:  # Any: pynvml has no types
    """Turn what the driver refuses into a MeterError."""
    try:
        yield
    except nvml.NVMLError as error:
        raise MeterError(f"the NVIDIA driver refuses: {error}; see `nvidia-smi`") from None


def _pynvml() -> Any:  # Any: pynvml has no types
    try:
        return import_module("pynvml")
    except ImportError:
        raise MeterError("the package pynvml is missing; pip install nvidia-ml-py") from None


def _start(nvml: Any) -> None:  # Any: pynvml has no types
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise MeterError(f"{error} (no NVIDIA GPU, or its driver is not loaded; see `nvidia-smi`)") from None


def _stop(nvml: Any) -> None:  # Any: pynvml has no types
    with suppress(nvml.NVMLError):  # the driver went first
        nvml.nvmlShutdown()


def _find(nvml: Any, device: str | None) -> Any:  # Any: a pointer of NVML
    """Return the handle of a GPU by UUID or PCI bus id, or of the only one."""
    handles, uuids, count = [], [], nvml.nvmlDeviceGetCount()
    for index in range(count):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuids.append(str(nvml.nvmlDeviceGetUUID(handle)))
        except nvml.NVMLError:  # one that is lost, or not for this user, does not keep the others from being measured
            if count == 1:
                raise
            continue
        handles.append(handle)
    listed = ", ".join(uuids) or "none"
    if device is None:
        if count == 1:
            return handles[0]
        raise MeterError(f"energy: {{device: UUID}} must name one of the GPUs: {listed}")
    if device in uuids:
        return handles[uuids.index(device)]
    try:
        return nvml.nvmlDeviceGetHandleByPciBusId(device)
    except nvml.NVMLError:
        raise MeterError(f"no GPU '{device}' here; those that are: {listed}") from None
