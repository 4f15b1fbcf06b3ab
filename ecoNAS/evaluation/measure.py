"""Measuring one runner in its lane: joules, latency and memory as one record.

Who runs what is the caller's affair, and how joules are measured that of `ecoNAS.energy.profile`.
"""

import json
import logging
import resource
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import torch

from ecoNAS.energy.calibration import calibrate
from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.exclusivity import watch_for
from ecoNAS.energy.idle import measure_idle
from ecoNAS.energy.lane import Lane
from ecoNAS.energy.lane_files import LaneStatus
from ecoNAS.energy.latency import measure_latency
from ecoNAS.energy.meter import EnergyMeter
from ecoNAS.energy.profile import profile_energy
from ecoNAS.energy.runner import Runner
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.joules import counted
from ecoNAS.measurement import Idle
from ecoNAS.records import EnergyProfile, ProfileKey, Workload, now
from ecoNAS.run_folder import write_atomically

logger = logging.getLogger(__name__)

PACKAGES: Final = ("econas", "torch", "timm", "onnxruntime", "nvidia-ml-py")


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
    clock: Clock = REAL_CLOCK


def measure_runner(
    make_runner: Callable[[], Runner], place: Place, workload: Workload, key: ProfileKey, seed: int = 0
) -> EnergyProfile:
    """Measure joules, latency and memory with the device alone.

    Args:
        make_runner: Makes what runs; called in the lane, since compiling and loading keep a device busy.
        place: Where and how.
        workload: What runs, for the record.
        key: What decides its joules.
        seed: Decides the phases of windows.

    Raises:
        MeasurementError: if no number can be trusted, with what was counted as a lower bound.
        MeterError: if the meter or the lane cannot be had.
    """
    meter, settings, clock = place.meter, place.settings, place.clock
    lane = Lane(f"{meter.info.device}+{place.computes_on}", clock=clock, owner=place.owner)
    with lane.measuring(place.on_wait), meter:
        started, before = now(), meter.read()
        calibration = calibrate(meter, settings, clock)
        memory = _Memory()
        runner = make_runner()
        idle = _idle(place, calibration.period_s)
        measurement = profile_energy(
            runner,
            meter,
            settings,
            target=place.target,
            period_s=calibration.period_s,
            seed=seed,
            idle=idle,
            measures_idle_after=place.is_reference,
            watch=watch_for(meter, place.root, place.driver_pid, settings.foreign_share, clock),
            clock=clock,
        )

        def once() -> None:
            runner.run()
            runner.synchronise()

        latency = measure_latency(once, runner.batch, clock)
        return EnergyProfile(
            key=key,
            energy=counted(meter.info, measurement.value_j, measurement.ranking_j),
            spent=counted(meter.info, meter.read().energy_j - before.energy_j),
            latency=latency,
            runner=runner.name,
            status=measurement.status,
            reasons=measurement.reasons,
            measurement=measurement,
            workload=workload,
            peak_memory_bytes=memory.peak_bytes(),
            software=software(),
            started=started,
            ended=now(),
        )


def software() -> Mapping[str, str]:
    """Return the versions of what may influence joules, as far as it is installed."""
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


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
        write_atomically(file, json.dumps(note).encode())
    return idle


class _Memory:
    """The most memory that was used: of the GPU where there is one, else by which the process grew."""

    def __init__(self) -> None:
        self._has_gpu = torch.cuda.is_available()
        if self._has_gpu:
            torch.cuda.reset_peak_memory_stats()
        self._before_bytes = _peak_rss_bytes()

    def peak_bytes(self) -> int | None:
        """Return bytes; None where the process has been larger before, so that its peak says nothing."""
        if self._has_gpu:
            return int(torch.cuda.max_memory_allocated())
        grown = _peak_rss_bytes() - self._before_bytes
        return grown if grown > 0 else None


def _peak_rss_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, kibibytes on Linux (getrusage(2))
