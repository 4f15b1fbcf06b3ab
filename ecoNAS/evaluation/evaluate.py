"""One candidate from task to record: profiled, held against the bounds on what was measured, trained, scored.

This is the only function that a worker runs. It is told everything by its task, so that it can run in any process and
gives the same record there.
"""

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import torch
from torch import nn
from torch.optim import Optimizer

from ecoNAS.costs.screen import Screening, screen
from ecoNAS.data.datasets import DataSet, load_data
from ecoNAS.energy.estimate import estimate_training
from ecoNAS.energy.exclusivity import watch_for
from ecoNAS.energy.lane import Lane
from ecoNAS.energy.measure import counts_another_gpu
from ecoNAS.energy.meters.rapl import host_identity
from ecoNAS.energy.select import is_estimated, select_estimator, select_meter
from ecoNAS.errors import DataError
from ecoNAS.evaluation.devices import compute_device, gpu_uuid
from ecoNAS.evaluation.objectives import BATCH_1, OBJECTIVES
from ecoNAS.evaluation.profiling import profile_network
from ecoNAS.evaluation.task import EvaluationTask, NetworkTask
from ecoNAS.evaluation.training_energy import TrainingMeter
from ecoNAS.joules import Joules
from ecoNAS.records import EnergyProfile, Evaluation, Outcome, Training, now
from ecoNAS.run_folder import write_atomically
from ecoNAS.training.checkpoint import load_checkpoint, save_checkpoint, save_weights
from ecoNAS.training.epochs import images_of
from ecoNAS.training.failures import InfeasibleTrainingError
from ecoNAS.training.trainer import EpochResult, Start, train


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
        try:
            training = (
                _part(task, at_batch_boundary) if task.until is not None else train_network(task, at_batch_boundary)
            )
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


def train_network(task: NetworkTask, at_batch_boundary: Callable[[], None] = lambda: None) -> Training:
    """Train to the last epoch, or to where the task pauses, giving way to measurements at batch boundaries.

    Weights are kept at the end, a checkpoint where the training pauses. What is returned tells of this part alone, but
    for its count of images, which begins with the training.

    Raises:
        DataError: if the data is not what the study was started with.
        InfeasibleTrainingError: if it diverged or ran out of memory.
    """
    started, key = now(), task.training_key
    lane = Lane(compute_device(task.device, task.energy.root))
    with ExitStack() as stack:
        meter = stack.enter_context(_training_meter(task)) if _may_meter_training(task) else None
        # Loading and saving are work on the device, too: while someone measures, they wait like a batch.
        turn = stack.enter_context(
            lane.training(
                on_pause=lambda: _pause(task, meter),
                on_resume=lambda: meter.resume() if meter else None,
                while_paused=at_batch_boundary,
            )
        )
        data, network = _load(task), task.build_seeded()
        start = Start(task.since, partial(load_checkpoint, path=task.checkpoint(task.since))) if task.since else None
        keep = partial(_keep, task, network) if task.until is not None else None

        def boundary() -> None:
            at_batch_boundary()
            turn.yield_()

        epochs: list[EpochResult] = list(
            train(
                network,
                data,
                task.recipe,
                key.seed,
                task.device,
                at_batch_boundary=boundary,
                start=start,
                until=task.until,
                keep=keep,
            )
        )
        weights = task.weights if task.until is None else None
        if task.run_folder is not None and weights is not None:
            save_weights(network, task.run_folder / weights)
    last, ended = epochs[-1], now()
    assert last.accuracy is not None  # as after the last epoch of every part
    assert last.validation_predictions is not None
    return Training(
        key=key,
        accuracy=last.accuracy,
        curve=tuple(epoch.record for epoch in epochs),
        num_train_images=len(data.train),
        images_seen=last.images_seen,
        validation_predictions=tuple(int(label) for label in last.validation_predictions),
        energy=meter.energy if meter else _estimated_energy(task, data),
        energy_note=meter.note if meter else "",
        weights_file=weights,
        device=gpu_uuid(task.device) or host_identity(task.energy.root),
        duration_s=(ended - started).total_seconds(),
        paused_s=turn.paused_s,
        started=started,
        ended=ended,
    )


def _part(task: NetworkTask, at_batch_boundary: Callable[[], None]) -> Training:
    """Train up to a pause, or take what a driver that died had trained so far."""
    assert task.until is not None
    record = task.checkpoint(task.until).with_suffix(".json")
    if record.exists():
        return Training.model_validate_json(record.read_bytes())
    training = train_network(task, at_batch_boundary)
    write_atomically(record, training.model_dump_json().encode())
    if task.since:
        for path in (task.checkpoint(task.since), task.checkpoint(task.since).with_suffix(".json")):
            path.unlink(missing_ok=True)
    return training


def _keep(task: NetworkTask, network: nn.Module, optimizer: Optimizer) -> None:
    assert task.until is not None
    path = task.checkpoint(task.until)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(network, optimizer, path)


def _load(task: NetworkTask) -> DataSet:
    data = load_data(task.data)
    if data.fingerprint != task.data_digest:
        raise DataError(f"data set {data.name} is not the one that the study began with; restore it or start a new run")
    return data


def _pause(task: NetworkTask, meter: TrainingMeter | None) -> None:
    """Let nothing of ours run on the device, then stop counting."""
    if task.device == "cuda":
        torch.cuda.synchronize()
    if meter is not None:
        meter.pause()


def _may_meter_training(task: NetworkTask) -> bool:
    """Whether the joules of this training may be told: measured, on the reference device, no other of ours beside."""
    if is_estimated(task.energy) or not task.trains_alone or task.reference is None:
        return False
    info = select_meter(task.energy, gpu_uuid(task.device)).info
    computes_on = compute_device(task.device, task.energy.root)
    return info.device == task.reference.device and not counts_another_gpu(info, computes_on)


def _training_meter(task: NetworkTask) -> TrainingMeter:
    """Return what counts the joules of a training, and whether others are there: another search trains as it does."""
    energy, computes_on = task.energy, compute_device(task.device, task.energy.root)
    meter = select_meter(energy, gpu_uuid(task.device))
    share = energy.protocol.foreign_share
    watch = watch_for(meter, energy.root, task.driver_pid, share, computes_on=computes_on)
    return TrainingMeter(meter, energy.protocol, watch)


def _estimated_energy(task: NetworkTask, data: DataSet) -> Joules | None:
    """Return the estimated joules of the training; None where they are measured or, on a GPU, no coefficients fit."""
    if not is_estimated(task.energy) or task.device != "cpu":
        return None
    images_trained, images_validated = images_of(task.recipe, data, task.since, task.until)
    return estimate_training(
        select_estimator(task.energy),
        task.costs,
        batch=task.recipe.batch_size,
        images_trained=images_trained,
        images_validated=images_validated,
    )


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
