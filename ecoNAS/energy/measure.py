"""Measuring one runner with its devices alone: joules, latency and memory.

This is the whole of a profile in the order in which it happens, from the lane to the last reading. How joules are
measured is decided by `profile`; what runs, and what the record looks like, by who calls.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.exclusivity import watch_for
from ecoNAS.energy.idle import measure_idle
from ecoNAS.energy.lane import Lane
from ecoNAS.energy.lane_files import LaneStatus
from ecoNAS.energy.latency import measure_latency
from ecoNAS.energy.meter import EnergyMeter
from ecoNAS.energy.meters.calibration import calibrate
from ecoNAS.energy.profile import profile_energy
from ecoNAS.energy.runner import Runner
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeterError
from ecoNAS.measurement import Idle, Latency, Measurement, MeterInfo

# While nothing is measured: joules are added up from power that must be seen often, or a register may wrap unseen.
READ_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how carefully is measured.

    Attributes:
        meter: Not open; it is opened in the lane.
        computes_on: Identity of the device that computes, which the lane covers beside what the meter counts.
        settings: The protocol.
        target: Relative half-width of the interval at which a profile is content.
        root: Where `proc` lies.
        driver_pid: The process whose descendants are ours; None for this one.
        idle_file: Where idle powers are kept and shared; None to measure idle each time.
        is_reference: Whether idle is measured before and after, and has to agree.
        owner: What others are told who measures.
        on_wait: Called about every second while another holds the lane.
        gpu_peak_bytes: Returns the most memory of the GPU that was used since it was last called; None on a CPU.
    """

    meter: EnergyMeter
    computes_on: str
    settings: EnergySettings
    target: float
    root: Path = Path("/")
    driver_pid: int | None = None
    idle_file: Path | None = None
    is_reference: bool = False
    owner: str = ""
    on_wait: Callable[[LaneStatus], None] = lambda status: None
    gpu_peak_bytes: Callable[[], int] | None = None
    clock: Clock = REAL_CLOCK


@dataclass(frozen=True, slots=True)
class Measured:
    """What measuring a runner gave.

    Attributes:
        spent_j: Joules that it took in all, warm-up and idle included.
        peak_memory_bytes: Of the GPU, or by which this process grew; None where that cannot be told.
        started: UTC, when the lane was had.
        ended: UTC.
    """

    runner: str
    measurement: Measurement
    latency: Latency
    spent_j: float
    peak_memory_bytes: int | None
    started: datetime
    ended: datetime


def measure(make_runner: Callable[[], Runner], place: Place, seed: int = 0) -> Measured:
    """Measure joules, latency and memory with the device alone.

    Args:
        make_runner: Makes what runs; called in the lane, since compiling and loading keep a device busy.
        place: Where and how.
        seed: Decides the phases of windows.

    Raises:
        MeasurementError: if no number can be trusted, with what was counted as a lower bound.
        MeterError: if the meter or the lane cannot be had, or the meter counts another GPU than the one that computes.
    """
    meter, settings, clock = place.meter, place.settings, place.clock
    if counts_another_gpu(meter.info, place.computes_on):
        raise MeterError(
            f"meter '{meter.info.name}' counts {meter.info.device}, and the network runs on {place.computes_on}; leave "
            "energy.device out, choose the GPU with CUDA_VISIBLE_DEVICES, or for the CPU another meter, such as rapl"
        )

    def read() -> None:
        meter.read()

    lane = Lane(f"{meter.info.device}+{place.computes_on}", clock=clock, owner=place.owner)
    with lane.measuring(place.on_wait), meter:
        started, before = datetime.now(UTC), meter.read()
        period_s = calibrate(meter, settings, clock).period_s
        memory = _Memory(place.gpu_peak_bytes)
        with clock.every(READ_EVERY_S, read):
            runner = make_runner()
        idle = _idle(place, period_s)
        share, computes_on = settings.foreign_share, place.computes_on
        watch = watch_for(meter, place.root, place.driver_pid, share, clock=clock, computes_on=computes_on)
        measurement = profile_energy(
            runner,
            meter,
            settings,
            target=place.target,
            period_s=period_s,
            seed=seed,
            idle=idle,
            measures_idle_after=place.is_reference,
            watch=watch,
            clock=clock,
        )

        def once() -> None:
            runner.run()
            runner.synchronise()

        with clock.every(READ_EVERY_S, read):
            latency = measure_latency(once, runner.batch, clock)
        return Measured(
            runner=runner.name,
            measurement=measurement,
            latency=latency,
            spent_j=meter.read().energy_j - before.energy_j,
            peak_memory_bytes=memory.peak_bytes(),
            started=started,
            ended=datetime.now(UTC),
        )


def counts_another_gpu(meter: MeterInfo, computes_on: str) -> bool:
    """Return whether a meter counts a GPU that is not among the devices that compute, joined by `+`."""
    counted, computing = (
        {part for part in devices.split("+") if part.startswith("GPU-")} for devices in (meter.device, computes_on)
    )
    return bool(counted) and not counted & computing


def _idle(place: Place, period_s: float) -> Idle:
    """Return the idle power of the device: of the file where it is fresh, else measured now."""
    meter, file = place.meter, place.idle_file
    if file is not None and not place.is_reference:
        with suppress(OSError, ValueError, KeyError, TypeError):  # missing or torn: measured
            found = json.loads(file.read_text(encoding="utf-8"))[meter.info.device]
            if 0 <= time.time() - found["unix_s"] <= place.settings.idle_valid_s:
                return Idle(found["power_w"], place.clock.now_s())
    idle = measure_idle(meter, place.settings, period_s, place.clock)
    if file is not None:
        note = {meter.info.device: {"power_w": idle.power_w, "unix_s": time.time()}}
        part = file.with_name(f"{file.name}.{os.getpid()}")  # whole or not at all: others read it at any time
        part.write_text(json.dumps(note), encoding="utf-8")
        part.replace(file)
    return idle


class _Memory:
    """The most memory that was used since it was made: of the GPU, or that by which this process grew."""

    def __init__(self, gpu_peak_bytes: Callable[[], int] | None) -> None:
        self._gpu_peak_bytes = gpu_peak_bytes
        if gpu_peak_bytes is not None:
            gpu_peak_bytes()
        # 5 makes the kernel forget the peak (proc(5), clear_refs); elsewhere an earlier peak may hide this one.
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self._before_bytes = peak_rss_bytes()

    def peak_bytes(self) -> int | None:
        """Return bytes; None where the process has been larger before, so that its peak says nothing."""
        if self._gpu_peak_bytes is not None:
            return self._gpu_peak_bytes()
        grown = peak_rss_bytes() - self._before_bytes
        return grown if grown > 0 else None


def peak_rss_bytes() -> int:
    """Return the largest resident size of this process since it began, or since the kernel was told to forget it."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
    import resource  # noqa: PLC0415  not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, kibibytes on Linux (getrusage(2))
