"""A stand-in for the module `pynvml` over a power that is known exactly: the sensors of real cards and their faults.

It raises pynvml's own error classes. What the sensor does follows arXiv 2312.02741: every period it averages the power
of a trailing window, with a lag and a gain; its energy counter either adds that average times the period (`is_sampled`,
so it aliases), or counts the truth.
"""

import random
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pynvml
from power_trace import PowerTrace

from ecoNAS.energy.clock import VirtualClock


@dataclass
class FakeGpu:
    """One card.

    Attributes:
        window_s: Trailing window that the sensor averages; None for the whole period.
        jitter: Standard deviation of the period, as a share of it.
        lost_s, stuck_s, reset_s: From when on the fault shows; None for never.
    """

    trace: PowerTrace
    uuid: str = "GPU-00000000-0000-0000-0000-000000000000"
    name: str = "NVIDIA Fake"
    bus_id: str = "00000000:01:00.0"
    period_s: float = 0.1
    window_s: float | None = 0.025
    lag_s: float = 0.0
    gain: float = 1.0
    jitter: float = 0.0
    phase_s: float = 0.0
    is_sampled: bool = True
    has_counter: bool = True
    start_mj: int = 5_000_000
    power_limit_w: float = 700.0
    temperature_c: float = 50.0
    throttled_s: float = 0.0
    capped_s: float = 0.0
    process_ids: list[int] | None = None
    is_mig: bool = False
    counter_gain: float = 1.0
    call_s: float = 0.0
    lost_s: float | None = None
    stuck_s: float | None = None
    reset_s: float | None = None
    seed: int = 0
    _energy_j: float = 0.0
    _power_w: float = 0.0
    _updated_s: float | None = None

    def advance(self, now_s: float) -> None:
        """Let the sensor update as often as it has by now."""
        if self._updated_s is None:
            self._updated_s = now_s - (now_s - self.phase_s) % self.period_s
            self._power_w = self.trace.power_w(now_s) * self.gain
        while (update_s := self._updated_s + self._next_period_s()) <= now_s:
            window_s = self.window_s or self.period_s
            seen_s = update_s - self.lag_s
            self._power_w = self.trace.mean_power_w(seen_s - window_s, seen_s) * self.gain
            if self.is_sampled:
                gained_j = self._power_w * (update_s - self._updated_s)
            else:
                gained_j = self.trace.energy_j(self._updated_s, update_s) * self.gain
            if self.stuck_s is None or update_s < self.stuck_s:
                self._energy_j += gained_j * self.counter_gain
            self._updated_s = update_s

    def counter_mj(self, now_s: float) -> int:
        self.advance(now_s)
        if self.reset_s is not None and now_s >= self.reset_s:
            return int(self._energy_j * 1e3) % 1000
        return self.start_mj + int(self._energy_j * 1e3)

    def power_mw(self, now_s: float) -> int:
        self.advance(now_s)
        return int(self._power_w * 1e3)

    def _next_period_s(self) -> float:
        """Return the period after the latest update; the same until it is over."""
        if not self.jitter:
            return self.period_s
        drawn = random.Random(f"{self.seed}/{self._updated_s}").gauss(1.0, self.jitter)
        return self.period_s * max(0.1, drawn)


class FakeNvml:
    """The calls of `pynvml` that ecoNAS uses, over fake cards."""

    NVMLError = pynvml.NVMLError
    NVMLError_NotSupported = pynvml.NVMLError_NotSupported
    NVMLError_GpuIsLost = pynvml.NVMLError_GpuIsLost
    NVML_SUCCESS = pynvml.NVML_SUCCESS
    NVML_PERF_POLICY_POWER = pynvml.NVML_PERF_POLICY_POWER
    NVML_PERF_POLICY_THERMAL = pynvml.NVML_PERF_POLICY_THERMAL
    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU
    NVML_CLOCK_SM = pynvml.NVML_CLOCK_SM

    def __init__(self, clock: VirtualClock, *gpus: FakeGpu, has_driver: bool = True) -> None:
        self.gpus, self._clock, self._has_driver = gpus, clock, has_driver
        self.sessions = 0

    def nvmlInit(self) -> None:
        if not self._has_driver:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
        self.sessions += 1

    def nvmlShutdown(self) -> None:
        self.sessions -= 1

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.00"

    def nvmlDeviceGetCount(self) -> int:
        self._require_session()
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        return self.gpus[index]

    def nvmlDeviceGetHandleByPciBusId(self, bus_id: str) -> FakeGpu:
        for gpu in self.gpus:
            if gpu.bus_id == bus_id:
                return gpu
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetUUID(self, gpu: FakeGpu) -> str:
        return gpu.uuid

    def nvmlDeviceGetName(self, gpu: FakeGpu) -> str:
        return gpu.name

    def nvmlDeviceGetMigMode(self, gpu: FakeGpu) -> list[int]:
        return [int(gpu.is_mig), int(gpu.is_mig)]

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: FakeGpu) -> int:
        now_s = self._call(gpu)
        if not gpu.has_counter:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return gpu.counter_mj(now_s)

    def nvmlDeviceGetPowerUsage(self, gpu: FakeGpu) -> int:
        return gpu.power_mw(self._call(gpu))

    def nvmlDeviceGetFieldValues(self, gpu: FakeGpu, fields: list[int]) -> list[Any]:
        now_s, answers = self._call(gpu), []
        for number in fields:
            known = number == 186
            value = SimpleNamespace(uiVal=gpu.power_mw(now_s) if known else 0, ullVal=0)
            status = pynvml.NVML_SUCCESS if known else pynvml.NVML_ERROR_NOT_SUPPORTED
            answers.append(SimpleNamespace(nvmlReturn=status, value=value))
        return answers

    def nvmlDeviceGetViolationStatus(self, gpu: FakeGpu, policy: int) -> Any:
        self._call(gpu)
        seconds = gpu.throttled_s if policy == pynvml.NVML_PERF_POLICY_THERMAL else gpu.capped_s
        return SimpleNamespace(violationTime=int(seconds * 1e9))

    def nvmlDeviceGetEnforcedPowerLimit(self, gpu: FakeGpu) -> int:
        self._call(gpu)
        return int(gpu.power_limit_w * 1e3)

    def nvmlDeviceGetTemperature(self, gpu: FakeGpu, sensor: int) -> int:
        self._call(gpu)
        return int(gpu.temperature_c)

    def nvmlDeviceGetClockInfo(self, gpu: FakeGpu, clock: int) -> int:
        self._call(gpu)
        return 1980

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: FakeGpu) -> list[Any]:
        self._call(gpu)
        if gpu.process_ids is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [SimpleNamespace(pid=pid) for pid in gpu.process_ids]

    def nvmlDeviceGetGraphicsRunningProcesses(self, gpu: FakeGpu) -> list[Any]:
        return []

    def _call(self, gpu: FakeGpu) -> float:
        """Let a call take its time, and fail where the card is lost."""
        self._require_session()
        if gpu.call_s:
            self._clock.sleep(gpu.call_s)
        now_s = self._clock.now_s()
        if gpu.lost_s is not None and now_s >= gpu.lost_s:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return now_s

    def _require_session(self) -> None:
        if not self.sessions:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
