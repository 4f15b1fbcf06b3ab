"""One network trained for a task: its images, its turn on the device, the meter of its joules, its record.

What a training is, step by step, is decided by `ecoNAS.training`; in how many parts, by `parts`.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import torch
from torch import nn
from torch.optim import Optimizer

from ecoNAS.data.datasets import DataSet, load_data
from ecoNAS.energy.estimate import estimate_training
from ecoNAS.energy.exclusivity import watch_for
from ecoNAS.energy.lane import Lane
from ecoNAS.energy.measure import counts_another_gpu
from ecoNAS.energy.meters.rapl import host_identity
from ecoNAS.energy.select import is_estimated, select_estimator, select_meter
from ecoNAS.errors import DataError
from ecoNAS.evaluation.devices import compute_device, gpu_uuid
from ecoNAS.evaluation.task import NetworkTask
from ecoNAS.evaluation.training_energy import TrainingMeter
from ecoNAS.joules import Joules
from ecoNAS.records import Training, now
from ecoNAS.training.checkpoint import load_checkpoint, save_checkpoint, save_weights
from ecoNAS.training.epochs import images_of
from ecoNAS.training.scores import score_all
from ecoNAS.training.start import fill_from
from ecoNAS.training.trainer import EpochResult, Start, train


def train_network(task: NetworkTask, at_batch_boundary: Callable[[], None] = lambda: None) -> Training:
    """Train to the last epoch, or to where the task pauses, giving way to measurements at batch boundaries.

    Weights are kept at the end, a checkpoint where the training pauses. What is returned tells of this part alone, but
    for its count of images, which begins with the training.

    Raises:
        DataError: if the data is not what the study was started with.
        InfeasibleTrainingError: if it diverged or ran out of memory.
    """
    started = now()
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
        begins_with = task.start_from if not task.since else None  # a checkpoint holds what was made of it
        inherited = fill_from(network, begins_with) if begins_with is not None else 0.0

        def boundary() -> None:
            at_batch_boundary()
            turn.yield_()

        epochs = _epochs(task, network, data, boundary)
        weights = task.weights if task.until is None else None
        if task.run_folder is not None and weights is not None:
            save_weights(network, task.run_folder / weights)
    last, ended = epochs[-1], now()
    assert last.accuracy is not None  # as after the last epoch of every part
    assert last.validation_predictions is not None
    assert last.probabilities_nk is not None
    return Training(
        key=task.training_key,
        accuracy=last.accuracy,
        curve=tuple(epoch.record for epoch in epochs),
        num_train_images=len(data.train),
        scores=score_all(last.probabilities_nk, data.validation.labels, "validation", task.user_scores),
        images_seen=last.images_seen,
        accumulated=last.num_parts,
        inherited=inherited,
        validation_predictions=tuple(int(label) for label in last.validation_predictions),
        energy=meter.energy if meter else _estimated_energy(task, data, last.record.epoch),
        energy_note=meter.note if meter else "",
        weights_file=weights,
        device=gpu_uuid(task.device) or host_identity(task.energy.root),
        duration_s=(ended - started).total_seconds(),
        paused_s=turn.paused_s,
        started=started,
        ended=ended,
    )


def _epochs(task: NetworkTask, network: nn.Module, data: DataSet, boundary: Callable[[], None]) -> list[EpochResult]:
    """Train from where the task begins to where it ends."""
    since = task.since
    return list(
        train(
            network,
            data,
            task.recipe,
            task.training_key.seed,
            task.device,
            at_batch_boundary=boundary,
            start=Start(since, partial(load_checkpoint, path=task.checkpoint(since))) if since else None,
            until=task.until,
            keep=partial(_keep, task, network) if task.until is not None else None,
            teacher=task.teacher.build(task.problem) if task.teacher is not None else None,
        )
    )


def _keep(task: NetworkTask, network: nn.Module, optimizer: Optimizer, average: nn.Module | None) -> None:
    assert task.until is not None
    path = task.checkpoint(task.until)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(network, optimizer, average, path)


def _load(task: NetworkTask) -> DataSet:
    data = load_data(task.data, task.data_digest)
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


def _estimated_energy(task: NetworkTask, data: DataSet, until: int) -> Joules | None:
    """Return the estimated joules of the training up to an epoch; None where they are measured or cannot be had."""
    if not is_estimated(task.energy) or task.device != "cpu":
        return None
    images_trained, images_validated = images_of(task.recipe, data, task.since, until)
    return estimate_training(
        select_estimator(task.energy),
        task.costs,
        batch=task.recipe.batch_size,
        images_trained=images_trained,
        images_validated=images_validated,
    )
