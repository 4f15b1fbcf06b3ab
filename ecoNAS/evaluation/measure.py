"""What measuring one runner gives, as the record that is kept.

How it is measured is decided by `ecoNAS.energy.measure`; who runs what is the caller's affair.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from typing import Final, Literal

import torch

from ecoNAS.energy.measure import Place, measure
from ecoNAS.energy.runner import Runner
from ecoNAS.joules import counted
from ecoNAS.records import EnergyProfile, ProfileKey, Workload

PACKAGES: Final = ("econas", "torch", "timm", "onnxruntime", "nvidia-ml-py")
Quantity = Literal["energy_per_image", "energy_per_image_b1"]


def measure_runner(
    make_runner: Callable[[], Runner],
    place: Place,
    workload: Workload,
    key: ProfileKey,
    *,
    seed: int = 0,
    quantity: Quantity = "energy_per_image",
) -> EnergyProfile:
    """Measure joules, latency and memory with the device alone.

    Args:
        make_runner: Makes what runs; called in the lane, since compiling and loading keep a device busy.
        place: Where and how.
        workload: What runs, for the record.
        key: What decides its joules.
        seed: Decides the phases of windows.
        quantity: Which record it is.

    Raises:
        MeasurementError: if no number can be trusted, with what was counted as a lower bound.
        MeterError: if the meter or the lane cannot be had.
    """
    if torch.cuda.is_available() and "GPU-" in place.computes_on:
        place = replace(place, gpu_peak_bytes=_gpu_peak_bytes)
    found = measure(make_runner, place, seed)
    meter, measurement = place.meter.info, found.measurement
    return EnergyProfile(
        key=key,
        quantity=quantity,
        energy=counted(meter, measurement.value_j, measurement.ranking_j),
        spent=counted(meter, found.spent_j),
        latency=found.latency,
        runner=found.runner,
        status=measurement.status,
        reasons=measurement.reasons,
        measurement=measurement,
        workload=workload,
        peak_memory_bytes=found.peak_memory_bytes,
        software=software(),
        started=found.started,
        ended=found.ended,
    )


def software() -> dict[str, str]:
    """Return the versions of what may influence joules, as far as it is installed."""
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _gpu_peak_bytes() -> int:
    """Return the most memory of the GPU that was used since this was last called."""
    peak_bytes = int(torch.cuda.max_memory_allocated())
    torch.cuda.reset_peak_memory_stats()
    return peak_bytes
