"""What an experiment file comes to on this machine, and what it makes workers do.

How a file becomes one is decided by `prepare`.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ecoNAS.architecture import Candidate, Problem
from ecoNAS.config import ExperimentConfig
from ecoNAS.costs.constraints import Constraint
from ecoNAS.costs.counts import baseline_costs
from ecoNAS.costs.screen import Screening, screen
from ecoNAS.data.datasets import DataSet
from ecoNAS.energy.estimate import EnergyEstimator, estimate_energy_per_image, estimate_training
from ecoNAS.evaluation.objectives import BATCH_1, Known, Objective, Objectives
from ecoNAS.evaluation.task import EvaluationTask, ReadyModelTask
from ecoNAS.measurement import MeterInfo
from ecoNAS.records import Costs, EnergyProfile, Evaluation
from ecoNAS.search.refine import Wish
from ecoNAS.space.search_space import SearchSpace
from ecoNAS.training.epochs import images_of

NO_TRIAL: Final = -1


@dataclass(frozen=True, slots=True)
class Setup:
    """An experiment, resolved.

    Attributes:
        space: Bound to the problem and the base deployment.
        constraints: Of all objectives and costs, in SI units.
        estimator: Who prices joules; None where they are measured.
        reference: The meter of the device that joules are measured on; None where they are estimated.
        baseline: What was measured of the baseline for a bound relative to its joules; None where nothing had to be.
        device: "cpu" or "cuda", where candidates are trained.
        num_workers: How many are trained at a time.
    """

    config: ExperimentConfig
    space: SearchSpace
    data: DataSet
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
        costs = self.space.costs(candidate)
        if self.estimator is None:
            return screen(costs, self.constraints)
        known = {
            name: estimate_energy_per_image(self.estimator, costs, how).value_j
            for name, how in (
                ("energy_per_image", candidate.deployment),
                (BATCH_1, candidate.deployment.model_copy(update={"batch": 1})),
            )
        }
        return screen(costs, self.constraints, known)

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
            **self._shared(folder),
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

    def ready_model_task(self, timm_name: str, folder: Path | None) -> ReadyModelTask:
        """Return what a worker is told about a ready timm model."""
        costs = baseline_costs(timm_name, self.problem)
        return ReadyModelTask(**self._shared(folder), costs=costs, timm=timm_name, how=self.config.deployment)

    def _shared(self, folder: Path | None) -> dict[str, Any]:  # Any: fields of a task
        config = self.config
        named = {*config.objectives, *(constraint.name for constraint in self.constraints)}
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
