"""Measuring networks one after another on this machine, in every way that was asked for."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ecoNAS.architecture import Deployment, derive_seed
from ecoNAS.config import EnergyConfig
from ecoNAS.energy.estimate import estimate_profile
from ecoNAS.energy.lane_files import LaneStatus
from ecoNAS.energy.measure import Place
from ecoNAS.energy.select import is_estimated, select_estimator, select_meter
from ecoNAS.errors import EcoNASError
from ecoNAS.evaluation.devices import compute_device, gpu_uuid
from ecoNAS.evaluation.measure import measure_runner
from ecoNAS.measuring.subjects import Subject
from ecoNAS.records import EnergyProfile, ProfileKey
from ecoNAS.validation import in_one_line

Sweep = Mapping[str, Sequence[Any]]  # Any: values of a deployment by field


@dataclass(frozen=True, slots=True)
class Job:
    """One network that is to be measured in one way."""

    subject: Subject
    how: Deployment

    @property
    def name(self) -> str:
        """For people, in one line."""
        how = self.how
        words = [f"batch {how.batch}", how.runtime, how.dtype]
        words += [f"{how.resolution} pixels"] if how.resolution else []
        words += [f"{how.threads} threads"] if how.threads > 1 else []
        words += ["fused"] if how.form == "fused" else []
        words += [how.layout] if how.layout != "contiguous" else []
        return f"{self.subject.name} ({', '.join(words)})"


def plan_jobs(subjects: Sequence[Subject], sweep: Sweep) -> list[Job]:
    """Return every network in every way; fields that are not swept stay as each network's deployment has them.

    Raises:
        EcoNASError: for a value that a deployment cannot have.
    """
    jobs = []
    for subject in subjects:
        for values in product(*sweep.values()):
            fields = {**subject.deployment.model_dump(), **dict(zip(sweep, values, strict=True))}
            try:
                jobs.append(Job(subject, Deployment.model_validate(fields)))
            except ValidationError as error:
                raise EcoNASError(f"no such deployment: {in_one_line(error)}") from None
    return list(dict.fromkeys(jobs))


class Bench:
    """Measures job after job on one device, sharing its idle power; a context manager.

    Args:
        energy: Which meter, and the protocol.
        device: "cpu" or "cuda".
        target: Relative half-width of the intervals.
        on_wait: Called about every second while another holds the device.

    Raises:
        MeterError: if joules cannot be had this way.
    """

    def __init__(self, energy: EnergyConfig, device: str, target: float, on_wait: Callable[[LaneStatus], None]) -> None:
        self._energy, self._device, self._target, self._on_wait = energy, device, target, on_wait
        self._estimator = select_estimator(energy) if is_estimated(energy) else None
        self._meter = None if self._estimator else select_meter(energy, gpu_uuid(device))
        self._folder = tempfile.TemporaryDirectory(prefix="econas-measure-")

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def run(self, job: Job) -> EnergyProfile:
        """Return the record of one job.

        Raises:
            EcoNASError: if it does not run this way, or no number can be trusted.
        """
        subject, how = job.subject, job.how
        workload = subject.workload(how)
        if self._estimator is not None:
            if workload.costs is None:
                raise EcoNASError(f"{subject.name} cannot be estimated: nobody counted what it computes; measure it")
            key = ProfileKey(architecture=workload.digest, deployment=how, device=self._estimator.device)
            profile = estimate_profile(self._estimator, workload.costs, key)
            return profile.model_copy(update={"workload": workload})
        assert self._meter is not None
        place = Place(
            meter=self._meter,
            computes_on=compute_device(self._device, self._energy.root),
            settings=self._energy.protocol,
            target=self._target,
            root=self._energy.root,
            idle_file=Path(self._folder.name) / "idle.json",
            is_reference=self._target <= self._energy.protocol.reference_target,
            owner="econas measure",
            on_wait=self._on_wait,
        )
        return measure_runner(
            lambda: subject.make_runner(how, self._device),
            place,
            workload,
            ProfileKey(architecture=workload.digest, deployment=how, device=self._meter.info.device),
            seed=derive_seed(workload.digest, how.digest),
            quantity="energy_per_image_b1" if how.batch == 1 else "energy_per_image",
        )
