"""One candidate from task to record: profiled, held against the bounds on what was measured, trained, scored.

This is the only function that a worker runs. It is told everything by its task, so that it can run in any process and
gives the same record there.
"""

import os
import socket
from collections.abc import Callable

import torch

from ecoNAS.costs.screen import Screening, screen
from ecoNAS.evaluation.objectives import BATCH_1, OBJECTIVES
from ecoNAS.evaluation.parts import train_part
from ecoNAS.evaluation.profiling import profile_network
from ecoNAS.evaluation.task import EvaluationTask
from ecoNAS.evaluation.train_network import train_network
from ecoNAS.records import EnergyProfile, Evaluation, Outcome, now
from ecoNAS.training.failures import InfeasibleTrainingError


def evaluate(task: EvaluationTask, at_batch_boundary: Callable[[], None] = lambda: None) -> Evaluation:
    """Profile and train one candidate, or do the one of the two that its task asks for.

    Args:
        task: What to do.
        at_batch_boundary: Called before each training batch, and while the training waits for others' measurements; may
            raise to give the candidate up.

    Returns:
        The record; its outcome is `refused` where a measured bound is broken before training, `infeasible` where the
        training diverged or ran out of memory, else `evaluated`.

    Raises:
        DataError: if the data is not what the study was started with.
        MeasurementError: if joules were to be measured and no number can be trusted.
    """
    started = now()
    torch.set_num_threads(task.threads)
    profile = task.profile if task.profile is not None else profile_network(task)
    profile_b1 = task.profile_b1 if task.profile_b1 is not None else _profile_b1(task, profile)
    screening = _screen(task, profile, profile_b1)
    outcome, reason, training = Outcome.EVALUATED, "", None
    if not screening.passes:
        outcome, reason = Outcome.REFUSED, screening.reason
    elif task.training is not None:
        training = task.training
    elif task.stage != "profile":
        train = train_network if task.until is None else train_part
        try:
            training = train(task, at_batch_boundary)
        except InfeasibleTrainingError as error:
            outcome, reason = Outcome.INFEASIBLE, str(error)
        else:
            started = min(started, training.started)  # a driver that died may have had it trained
            if task.until is not None:
                outcome, reason = Outcome.STOPPED, f"paused after epoch {task.until} of {task.recipe.epochs}"
    evaluation = Evaluation(
        trial=task.trial,
        candidate=task.candidate,
        problem=task.problem,
        outcome=outcome,
        reason=reason,
        costs=task.costs,
        profile=profile,
        profile_b1=profile_b1,
        training=training,
        trained_in=task.trained_in if training is not None else "",
        violations=screening.violations,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        started=started,
        ended=now(),
    )
    return evaluation.model_copy(update={"violations": violations_of(task, evaluation)})


def _profile_b1(task: EvaluationTask, profile: EnergyProfile) -> EnergyProfile | None:
    """Return the joules per image at batch 1, where they are asked for; those of a deployment at batch 1 are known."""
    if not task.measures_b1:
        return None
    if task.deployment.batch != 1:
        profile = profile_network(task.deployed(task.deployment.model_copy(update={"batch": 1})))
        return profile.model_copy(update={"quantity": BATCH_1})
    return profile.model_copy(update={"quantity": BATCH_1, "spent": None, "started": profile.ended})


def _screen(task: EvaluationTask, profile: EnergyProfile, profile_b1: EnergyProfile | None) -> Screening:
    """Hold what is known before training against the bounds."""
    known = {"energy_per_image": profile.energy.value_j} if profile.energy is not None else {}
    if profile_b1 is not None and profile_b1.energy is not None:
        known[BATCH_1] = profile_b1.energy.value_j
    if profile.latency is not None:
        known["latency"] = profile.latency.median_s
    return screen(task.costs, task.constraints, known)


def violations_of(task: EvaluationTask, evaluation: Evaluation) -> dict[str, float]:
    """Return the violation of every constraint whose value is known by now, in the order of the constraints.

    What a paused training shows is not held against bounds: it may still get better.
    """
    found: dict[str, float] = {}
    for constraint in task.constraints:
        objective = OBJECTIVES[constraint.name]
        score = objective.read(evaluation, task.lifetime_images)
        is_early = evaluation.outcome is Outcome.STOPPED and objective.known == "after_training"
        if score is not None and not is_early:
            found[constraint.text] = constraint.violation(score.value)
    return found
