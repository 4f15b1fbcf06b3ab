"""One candidate from task to record: profiled, held against the bounds on what was measured, trained, scored.

This is the only function that a worker runs. It is told everything by its task, so that it can run in any process and
gives the same record there.
"""

import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ecoNAS.architecture import Candidate, Frozen, Problem, derive_seed
from ecoNAS.config import DataConfig, EnergyConfig, TrainingConfig
from ecoNAS.costs.constraints import Constraint
from ecoNAS.costs.screen import Screening, screen
from ecoNAS.data.datasets import DataSet, load_data
from ecoNAS.energy.estimate import estimate_profile, estimate_training
from ecoNAS.energy.latency import measure_latency
from ecoNAS.energy.select import select_energy_source
from ecoNAS.errors import DataError
from ecoNAS.evaluation.objectives import OBJECTIVES
from ecoNAS.joules import Joules
from ecoNAS.models.network import build_network
from ecoNAS.records import Costs, EnergyProfile, Evaluation, Outcome, ProfileKey, Training, TrainingKey, now
from ecoNAS.training.checkpoint import save_weights
from ecoNAS.training.failures import InfeasibleTrainingError
from ecoNAS.training.seeding import seeded
from ecoNAS.training.trainer import EpochResult, train

logger = logging.getLogger(__name__)


class EvaluationTask(Frozen):
    """Everything that the evaluation of one candidate depends on.

    Attributes:
        data_digest: The fingerprint that the data must have where the task is run.
        seed: Of the run; what is random in the training derives from it and from the architecture.
        device: "cpu" or "cuda".
        weights: Where the trained weights go, relative to `run_folder`; None to drop them.
    """

    trial: int
    candidate: Candidate
    problem: Problem
    costs: Costs
    data: DataConfig
    data_digest: str
    recipe: TrainingConfig
    energy: EnergyConfig
    constraints: tuple[Constraint, ...] = ()
    measures_latency: bool = False
    lifetime_images: float = 1e6
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    run_folder: Path | None = None
    weights: str | None = None

    @property
    def training_key(self) -> TrainingKey:
        """What decides the weights."""
        architecture = self.candidate.architecture.digest
        return TrainingKey(
            architecture=architecture,
            data=self.data_digest,
            recipe=self.recipe.digest,
            resolution=self.problem.resolution,
            seed=derive_seed(self.seed, "training", architecture),
        )


def evaluate(task: EvaluationTask, at_batch_boundary: Callable[[], None] = lambda: None) -> Evaluation:
    """Profile and train one candidate.

    Args:
        task: What to do.
        at_batch_boundary: Called before each training batch; may wait, or raise to give the candidate up.

    Returns:
        The record; its outcome is `refused` where a measured bound is broken before training, `infeasible` where the
        training diverged or ran out of memory, else `evaluated`.

    Raises:
        DataError: if the data is not what the study was started with.
    """
    started = now()
    torch.set_num_threads(task.threads)
    data = load_data(task.data)
    if data.fingerprint != task.data_digest:
        raise DataError(f"data set {data.name} is not the one that the study began with; restore it or start a new run")
    with seeded(derive_seed(task.training_key.seed, "weights")):
        network = build_network(task.candidate.architecture, task.problem)
    profile = _profile(task, network)
    screening = _screen(task, profile)
    outcome, reason, training = Outcome.EVALUATED, "", None
    if not screening.passes:
        outcome, reason = Outcome.REFUSED, screening.reason
    else:
        try:
            training = _train(task, network, data, at_batch_boundary)
        except InfeasibleTrainingError as error:
            outcome, reason = Outcome.INFEASIBLE, str(error)
    evaluation = Evaluation(
        trial=task.trial,
        candidate=task.candidate,
        problem=task.problem,
        outcome=outcome,
        reason=reason,
        costs=task.costs,
        profile=profile,
        training=training,
        violations=screening.violations,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        started=started,
        ended=now(),
    )
    return evaluation.model_copy(update={"violations": _violations(task, evaluation)})


def _profile(task: EvaluationTask, network: nn.Module) -> EnergyProfile:
    source, candidate = select_energy_source(task.energy), task.candidate
    key = ProfileKey(architecture=candidate.architecture.digest, deployment=candidate.deployment, device=source.device)
    profile = estimate_profile(source, task.costs, key)
    if not task.measures_latency:
        return profile
    batch = task.candidate.deployment.batch
    images = torch.randn(task.problem.input_shape(batch), device=task.device)
    network = network.to(task.device).eval()

    def run() -> None:
        with torch.inference_mode():
            network(images)
        if task.device == "cuda":
            torch.cuda.synchronize()

    return profile.model_copy(update={"latency": measure_latency(run, batch), "ended": now()})


def _screen(task: EvaluationTask, profile: EnergyProfile) -> Screening:
    """Hold what is known before training against the bounds."""
    known = {"energy_per_image": profile.energy.value_j} if profile.energy is not None else {}
    if profile.latency is not None:
        known["latency"] = profile.latency.median_s
    return screen(task.costs, task.constraints, known)


def _train(task: EvaluationTask, network: nn.Module, data: DataSet, at_batch_boundary: Callable[[], None]) -> Training:
    """Train to the last epoch, keep the weights, and return the record."""
    started, key = now(), task.training_key
    epochs: list[EpochResult] = list(
        train(network, data, task.recipe, key.seed, task.device, at_batch_boundary=at_batch_boundary)
    )
    if task.run_folder is not None and task.weights is not None:
        save_weights(network, task.run_folder / task.weights)
    last, ended = epochs[-1], now()
    return Training(
        key=key,
        accuracy=last.accuracy,
        curve=tuple(epoch.record for epoch in epochs),
        num_train_images=len(data.train),
        images_seen=last.images_seen,
        validation_predictions=tuple(int(label) for label in last.validation_predictions),
        energy=_training_energy(task, last.images_seen, len(data.validation) * len(epochs)),
        weights_file=task.weights,
        device=task.device,
        duration_s=(ended - started).total_seconds(),
        started=started,
        ended=ended,
    )


def _training_energy(task: EvaluationTask, images_trained: int, images_validated: int) -> Joules | None:
    """Return the estimated joules of the training, or None on a GPU: the coefficients of a CPU say nothing about it."""
    if task.device != "cpu":
        return None
    return estimate_training(
        select_energy_source(task.energy),
        task.costs,
        batch=task.recipe.batch_size,
        images_trained=images_trained,
        images_validated=images_validated,
    )


def _violations(task: EvaluationTask, evaluation: Evaluation) -> dict[str, float]:
    """Return the violation of every constraint whose value is known by now, in the order of the constraints."""
    found: dict[str, float] = {}
    for constraint in task.constraints:
        score = OBJECTIVES[constraint.name].read(evaluation, task.lifetime_images)
        if score is not None:
            found[constraint.text] = constraint.violation(score.value)
    return found
