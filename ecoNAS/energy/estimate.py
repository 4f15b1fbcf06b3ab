"""Estimates: joules computed from counts where nothing can be measured, of a type that never passes for measured.

An estimate is a x MACs + b x bytes moved + c x images, with coefficients for a class of device and a data type. It
prices compute only: idle and overhead stay out, since watts times a clock would be the latency drawn twice. It does not
see runtime, form, threads or layout: candidates that differ only there get equal joules.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from ecoNAS.architecture import Deployment
from ecoNAS.errors import MeterError
from ecoNAS.joules import EstimatedJoules
from ecoNAS.measurement import Latency
from ecoNAS.records import Costs, EnergyProfile, ProfileKey, now

# Half of the interval in log space: the value times and divided by this (uncalibrated). The literature behind the
# coefficient of MACs spreads by 4.8 either way over devices and networks, and by 2 to 11 in all within one family.
INTERVAL_FACTOR: Final = 3.0
BYTES_PER_WEIGHT: Final = 4  # fp32, the only data type for which there is a source
# A backward pass takes about twice the compute of a forward pass: Kaplan et al., arXiv 2001.08361, section 2.1.
TRAINING_PASSES: Final = 3
TRAINING_DTYPE: Final = "fp32"


@dataclass(frozen=True, slots=True)
class Coefficients:
    """What one class of device spends, at one data type.

    Attributes:
        mac_j: Joules per fused multiply-add.
        byte_j: Joules per byte that is moved to or from memory.
        image_j: Joules per image besides.
    """

    mac_j: float
    byte_j: float
    image_j: float

    def price_j(self, work: "Work") -> float:
        """Return the joules of `work`."""
        return self.mac_j * work.macs + self.byte_j * work.moved_bytes + self.image_j * work.images


# Only classes and data types for which there is a source.
# - mac_j: small CNNs measured on Arm CPUs took 190 to 4,400 pJ per MAC; the geometric mean, 914 pJ. That is the whole
#   system's, two hundred times the arithmetic itself (Horowitz, ISSCC 2014: fp32 multiply 3.7 pJ, add 0.9 pJ).
# - byte_j: DRAM, 1.3 to 2.6 nJ per 64 bits (Horowitz, ISSCC 2014, "Computing's energy problem", figure 1.1.9); the
#   geometric mean, 230 pJ per byte. The measured MACs hold some of it already; it is what tells networks of equal MACs
#   apart.
# - image_j: no source separates it from compute; a calibration may.
COEFFICIENTS: dict[str, dict[str, Coefficients]] = {
    "cpu": {"fp32": Coefficients(mac_j=math.sqrt(190e-12 * 4400e-12), byte_j=math.sqrt(1.3e-9 * 2.6e-9) / 8, image_j=0)}
}


@dataclass(frozen=True, slots=True)
class Work:
    """What is computed: an estimate's only input.

    Attributes:
        macs: Fused multiply-adds in all.
        moved_bytes: Bytes to and from memory in all.
        images: Images in all; a fraction of a batch counts as its share.
    """

    macs: float
    moved_bytes: float
    images: float

    def __add__(self, other: "Work") -> "Work":
        """Return both together."""
        return Work(self.macs + other.macs, self.moved_bytes + other.moved_bytes, self.images + other.images)

    def __mul__(self, factor: float) -> "Work":
        """Return this work done `factor` times."""
        return Work(self.macs * factor, self.moved_bytes * factor, self.images * factor)


class EnergyEstimator(Protocol):
    """Something that prices work in joules without a counter."""

    @property
    def name(self) -> str:
        """The name of its method, which its joules carry."""
        ...

    @property
    def device(self) -> str:
        """What it prices: a class of devices, such as 'class:cpu', or one, such as 'calibrated:GPU-<uuid>'."""
        ...

    def price(self, work: Work, dtype: str) -> EstimatedJoules:
        """Return the joules of `work` with its interval; the same for the same work.

        Raises:
            MeterError: if it knows nothing about `dtype`.
        """
        ...


class MacsAndBytes:
    """The estimator a x MACs + b x bytes + c x images.

    Args:
        device_class: A class of `COEFFICIENTS`.

    Raises:
        MeterError: if the class is unknown.
    """

    name = "macs_and_bytes"
    scope = "compute"

    def __init__(self, device_class: str = "cpu") -> None:
        if device_class not in COEFFICIENTS:
            raise MeterError(
                f"no published figures to estimate device_class '{device_class}' from; "
                f"choose from {', '.join(sorted(COEFFICIENTS))}"
            )
        self.device = f"class:{device_class}"
        self._coefficients = COEFFICIENTS[device_class]

    def price(self, work: Work, dtype: str) -> EstimatedJoules:
        """Return the joules of `work`; the interval is the value times and divided by three."""
        if dtype not in self._coefficients:
            raise MeterError(
                f"no published figures to estimate dtype '{dtype}' on '{self.device}' from; "
                f"choose deployment.dtype from {', '.join(sorted(self._coefficients))}"
            )
        value_j = self._coefficients[dtype].price_j(work)
        return EstimatedJoules(
            value_j=value_j,
            low_j=value_j / INTERVAL_FACTOR,
            high_j=value_j * INTERVAL_FACTOR,
            method=self.name,
            scope=self.scope,
            device=self.device,
        )


def forward_work(costs: Costs, batch: int) -> Work:
    """Return the work of one image in a forward pass over `batch` images, in fp32.

    Weights are read once per batch; every activation is written once and read once.
    """
    weight_bytes = costs.params * BYTES_PER_WEIGHT / batch
    return Work(costs.macs, weight_bytes + 2 * costs.activation_memory_bytes, images=1)


def can_price(estimator: EnergyEstimator, dtype: str) -> bool:
    """Return whether an estimator knows anything about a data type."""
    try:
        estimator.price(Work(macs=0, moved_bytes=0, images=0), dtype)
    except MeterError:
        return False
    return True


def estimate_energy_per_image(estimator: EnergyEstimator, costs: Costs, deployment: Deployment) -> EstimatedJoules:
    """Return the estimated joules of one image in a batch of the deployment.

    Args:
        estimator: Who prices it.
        costs: Of the network at the resolution of the deployment.
        deployment: Its batch and data type count; the rest is not seen.

    Raises:
        MeterError: if the estimator knows nothing about the deployment's data type.
    """
    return estimator.price(forward_work(costs, deployment.batch), deployment.dtype)


def estimate_profile(
    estimator: EnergyEstimator,
    costs: Costs,
    key: ProfileKey,
    latency: Latency | None = None,
    started: datetime | None = None,
) -> EnergyProfile:
    """Return the estimated joules per image of a network as a record.

    Args:
        estimator: Who prices it.
        costs: Of the network at the resolution of its deployment.
        key: What would run, and how; its device is the class that the estimator prices.
        latency: Measured beside it, if it was.
        started: When that measurement began; None: now.

    Returns:
        The profile; one of the latency alone, which says so, where the estimator knows nothing about the data type.

    Raises:
        MeterError: if nothing would be known: no latency was measured, and the data type has no price.
    """
    started, dtype = started or now(), key.deployment.dtype
    is_priced = latency is None or can_price(estimator, dtype)
    return EnergyProfile(
        key=key,
        energy=estimate_energy_per_image(estimator, costs, key.deployment) if is_priced else None,
        latency=latency,
        status="ok" if is_priced else "invalid",
        reasons=() if is_priced else (f"joules in {dtype} cannot be estimated on '{estimator.device}'",),
        runner=key.deployment.runtime,
        started=started,
        ended=now(),
    )


def estimate_training(
    estimator: EnergyEstimator, costs: Costs, *, batch: int, images_trained: int, images_validated: int
) -> EstimatedJoules:
    """Return the estimated joules of a training in fp32: forward and backward passes, and its validation passes.

    A backward pass counts as two forward ones, in MACs and in bytes; the optimiser's own work is left out. Coefficients
    may be calibrated, this count is not: the interval is never narrower than that of uncalibrated estimates.

    Args:
        estimator: Who prices it.
        costs: At the resolution of the training.
        batch: Images per step.
        images_trained: Images that were trained on, each epoch's anew.
        images_validated: Images that were only passed forward, over all validations.
    """
    forward = forward_work(costs, batch)
    work = forward * (TRAINING_PASSES * images_trained) + forward * images_validated
    energy = estimator.price(work, TRAINING_DTYPE)
    low_j = min(energy.low_j, energy.value_j / INTERVAL_FACTOR)
    return energy.model_copy(update={"low_j": low_j, "high_j": max(energy.high_j, energy.value_j * INTERVAL_FACTOR)})
