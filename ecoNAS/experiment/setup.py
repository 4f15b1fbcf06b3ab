"""What an experiment file comes to on this machine, and what it makes workers do.

How a file becomes one is decided by `prepare`.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ecoNAS.architecture import Candidate, Problem
from ecoNAS.config import ExperimentConfig
from ecoNAS.costs.constraints import Constraint
from ecoNAS.costs.counts import CostTable, baseline_costs
from ecoNAS.costs.screen import Screening, screen
from ecoNAS.data.datasets import DataSet, load_data
from ecoNAS.data.images import Normalisation
from ecoNAS.dotted_path import is_dotted
from ecoNAS.energy.estimate import EnergyEstimator, can_price, estimate_energy_per_image, estimate_training
from ecoNAS.errors import ArchitectureError
from ecoNAS.evaluation.objectives import BATCH_1, Known, Objective, Objectives
from ecoNAS.evaluation.task import EvaluationTask, ReadyModelTask
from ecoNAS.measurement import MeterInfo
from ecoNAS.records import Costs, EnergyProfile, Evaluation
from ecoNAS.search.refine import Wish
from ecoNAS.space.search_space import SearchSpace
from ecoNAS.training.epochs import images_of

NO_TRIAL: Final = -1
READY_PIXELS: Final = (8, 512)  # that a ready model may be shown: all images are held as large as that
JOULES_OF_RUNNING: Final = ("energy_per_image", BATCH_1, "lifetime_energy")


@dataclass(frozen=True, slots=True)
class SizedData:
    """What depends on the size of images."""

    fingerprint: str
    normalisation: Normalisation


@dataclass(frozen=True, slots=True)
class Setup:
    """An experiment, resolved.

    Attributes:
        space: Bound to the problem and the base deployment.
        fused: Costs in fused form; those of the space are of the form that is trained.
        sizes: The data at every resolution, in pixels, at which candidates may be trained.
        constraints: Of all objectives and costs, in SI units.
        estimator: Who prices joules; None where they are measured.
        reference: The meter of the device that joules are measured on; None where they are estimated.
        baseline: What was measured of the baseline for a bound relative to its joules; None where nothing had to be.
        device: "cpu" or "cuda", where candidates are trained.
        num_workers: How many are trained at a time.
    """

    config: ExperimentConfig
    space: SearchSpace
    fused: CostTable
    data: DataSet
    sizes: Mapping[int, SizedData]
    problem: Problem
    objectives: Objectives
    constraints: tuple[Constraint, ...]
    estimator: EnergyEstimator | None
    reference: MeterInfo | None
    baseline: EnergyProfile | None
    device: str
    num_gpus: int
    num_workers: int

    @property
    def is_staged(self) -> bool:
        """Whether not all workers are on the reference device, so that profiling is a task of its own."""
        return self.reference is not None and self.num_gpus > 1

    def screen(self, candidate: Candidate) -> Screening:
        """Hold exact costs, and joules where they are estimated, of a candidate against the bounds."""
        costs, how = self.space.costs(candidate), candidate.deployment
        if self.estimator is None or (not self.names_joules and not can_price(self.estimator, how.dtype)):
            return screen(costs, self.constraints)
        deployed = self.fused.costs(candidate.architecture, how.resolution) if how.form == "fused" else costs
        known = {
            name: estimate_energy_per_image(self.estimator, deployed, how).value_j
            for name, how in (("energy_per_image", how), (BATCH_1, how.model_copy(update={"batch": 1})))
        }
        return screen(costs, self.constraints, known)

    @property
    def named(self) -> frozenset[str]:
        """The names of what is an objective or bounded."""
        return frozenset({*self.objectives.names, *(item.name for item in self.constraints)})

    @property
    def names_joules(self) -> bool:
        """Whether joules of running a network are an objective or bounded."""
        return not self.named.isdisjoint(JOULES_OF_RUNNING)

    def fingerprint_of(self, candidate: Candidate) -> str:
        """Return the fingerprint of the data that a candidate is trained on: as large as it will see images."""
        return self.sizes[self.problem.at(candidate.deployment.resolution).resolution].fingerprint

    @property
    def is_priced(self) -> bool:
        """Whether the joules of a training are known before it, since they are estimated."""
        return self.estimator is not None and self.device == "cpu"

    def training_price_j(self, costs: Costs) -> float:
        """Return the estimated joules of training a network of such costs, where that is known."""
        assert self.estimator is not None
        recipe = self.config.recipe
        images_trained, images_validated = images_of(recipe, self.data)
        energy = estimate_training(
            self.estimator,
            costs,
            batch=recipe.batch_size,
            images_trained=images_trained,
            images_validated=images_validated,
        )
        return energy.value_j

    def how_known(self, objective: Objective) -> Known:
        """Return how an objective is known here: joules that are estimated need no device."""
        is_estimated = self.estimator is not None and objective.known == "measurable" and objective.is_energy
        return "exact" if is_estimated else objective.known

    @property
    def measurable(self) -> tuple[Objective, ...]:
        """The objectives that are measured, and need no training."""
        return tuple(item for item in self.objectives.items if self.how_known(item) == "measurable")

    def bound_on(self, objective: Objective) -> float | None:
        """Return the tightest of the user's bounds on an objective, on its bad side; None where there is none."""
        sense = "<=" if objective.direction == "minimize" else ">="
        bounds = [item.bound for item in self.constraints if item.name == objective.name and item.sense == sense]
        if not bounds:
            return None
        return min(bounds) if sense == "<=" else max(bounds)

    def task(self, number: int, candidate: Candidate, costs: Costs | None, folder: Path | None) -> EvaluationTask:
        """Return what a worker is told about one candidate."""
        assert costs is not None  # as of every network
        return EvaluationTask(
            **(self._shared(folder) | self._images_of(candidate) | {"recipe": candidate.recipe.of(self.config.recipe)}),
            costs=costs,
            trial=number,
            candidate=candidate,
            constraints=self.constraints,
            lifetime_images=self.config.energy.lifetime_images,
            stage="profile" if self.is_staged else "whole",
            weights=f"weights/{candidate.digest}.safetensors" if folder is not None else None,
            until=self.rungs[0] if self.rungs else None,
            checkpoints=f"checkpoints/{candidate.digest}",
        )

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs after which trainings are paused."""
        return self.config.recipe.restarts if self.config.search.halving is not None else ()

    def rung_of(self, evaluation: Evaluation) -> int:
        """Return the place of the rung at which a training is paused."""
        assert evaluation.training is not None
        return self.rungs.index(len(evaluation.training.curve))

    def share_of(self, task: EvaluationTask) -> float:
        """Return the share of a whole training that a task takes, in epochs; nothing where it was done before."""
        if task.training is not None:
            return 0.0
        epochs = self.config.training.epochs
        return ((task.until or epochs) - task.since) / epochs

    def going_on(self, task: EvaluationTask, evaluation: Evaluation) -> EvaluationTask:
        """Return what a worker is told about a paused candidate that goes on."""
        since, later = self.rungs[self.rung_of(evaluation)], self.rungs[self.rung_of(evaluation) + 1 :]
        changes = {"stage": "train", "profile": evaluation.profile, "profile_b1": evaluation.profile_b1}
        return task.model_copy(update={**changes, "since": since, "until": later[0] if later else None})

    def profiling_task(self, candidate: Candidate, folder: Path) -> EvaluationTask:
        """Return what a worker is told about a candidate that is only to be measured, before it has a trial."""
        task = self.task(NO_TRIAL, candidate, self.space.costs(candidate), folder)
        return task.model_copy(update={"stage": "profile"})

    def refining_task(self, wish: Wish, folder: Path) -> EvaluationTask:
        """Return what a worker is told about a candidate that is only to be measured again."""
        evaluation = wish.evaluation
        task = self.task(evaluation.trial, evaluation.candidate, evaluation.costs, folder)
        return task.model_copy(update={"stage": "profile", "target": wish.target})

    def replicating_task(self, evaluation: Evaluation, folder: Path) -> EvaluationTask:
        """Return what a worker is told about a candidate that is only to be trained once more, with another seed."""
        task = self.task(evaluation.trial, evaluation.candidate, evaluation.costs, folder)
        changes = {"profile": evaluation.profile, "profile_b1": evaluation.profile_b1, "weights": None, "until": None}
        return task.model_copy(update={"stage": "train", "replicate": len(evaluation.trainings), **changes})

    def ready_model_task(self, name: str, folder: Path | None) -> ReadyModelTask:
        """Return what a worker is told about a ready timm model.

        Args:
            name: Of timm's; `resnet10t@64` sees images made larger, or smaller, to 64 pixels: many models are made for
                photographs of 224, of which they leave a single position if they have only 32.
            folder: Of the run; None for none.

        Raises:
            ArchitectureError: if timm knows no such model, or it cannot read such images.
        """
        timm_name, _, pixels = name.partition("@")
        if "@" in name and not (pixels.isdecimal() and READY_PIXELS[0] <= int(pixels) <= READY_PIXELS[1]):
            raise ArchitectureError(
                f"ready model '{name}': write NAME, or NAME@PIXELS of {READY_PIXELS[0]} to {READY_PIXELS[1]}, such as "
                "resnet10t@64"
            )
        shared, how = self._shared(folder), self.config.deployment
        if pixels and int(pixels) != self.problem.resolution:
            data = self.config.data.model_copy(update={"resolution": int(pixels)})
            problem, digest = self.problem.at(int(pixels)), load_data(data).fingerprint
            shared |= {"problem": problem, "data": data, "data_digest": digest}
            how = how.model_copy(update={"resolution": int(pixels)})
        else:
            name = timm_name
        costs = baseline_costs(timm_name, shared["problem"])
        return ReadyModelTask(**shared, costs=costs, timm=timm_name, name=name, how=how)

    def _images_of(self, candidate: Candidate) -> dict[str, Any]:  # Any: fields of a task
        """Return what a task says of images: those of the study, made smaller where the candidate sees smaller ones."""
        problem, data = self.problem.at(candidate.deployment.resolution), self.config.data
        if problem.resolution != self.problem.resolution:
            data = data.model_copy(update={"resolution": problem.resolution})
        return {"problem": problem, "data": data, "data_digest": self.fingerprint_of(candidate)}

    def _shared(self, folder: Path | None) -> dict[str, Any]:  # Any: fields of a task
        config, named = self.config, self.named
        return {
            "problem": self.problem,
            "data": config.data,
            "data_digest": self.data.fingerprint,
            "recipe": config.recipe,
            "energy": config.energy,
            "reference": self.reference,
            "target": config.energy.protocol.first_target,
            "driver_pid": os.getpid(),
            "trains_alone": self.num_workers == 1,
            "measures_latency": "latency" in named,
            "measures_b1": BATCH_1 in named,
            "user_scores": tuple(name for name in config.objectives if is_dotted(name)),
            "seed": config.search.seed,
            "device": self.device,
            "threads": config.workers.cpus_per_trial,
            "run_folder": folder,
        }


def gpu_share(num_gpus: int, num_workers: int) -> float:
    """Return the GPUs of each worker: whole ones, or such a part of one that all workers find a place.

    A worker is on one GPU, so that two of them with two thirds each do not make room for a third one.
    """
    if num_workers <= num_gpus:
        return float(num_gpus // num_workers)
    return 1 / math.ceil(num_workers / num_gpus)


def profiled_on(reference: MeterInfo, gpu: str | None) -> str | None:
    """Return the GPU on which all profiles of a search are made.

    Args:
        reference: The meter, whose device may be several, joined by `+`, and no GPU.
        gpu: The UUID of the one that is taken where the meter counts none of its own.
    """
    return next((part for part in reference.device.split("+") if part.startswith("GPU-")), gpu)
