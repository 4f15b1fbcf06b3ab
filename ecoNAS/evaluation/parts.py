"""A training in parts: one record from two, and a training that goes on from its last checkpoint after any death."""

import math
import shutil
from collections.abc import Callable
from typing import Final

from ecoNAS.evaluation.task import NetworkTask
from ecoNAS.evaluation.train_network import train_network
from ecoNAS.records import Training
from ecoNAS.run_folder import write_atomically

NUM_PARTS: Final = 10


def join_trainings(one: Training, other: Training) -> Training:
    """Return the record of two parts of a training: joules and seconds of both are added."""
    changes = {
        "key": one.key,  # a training begins once: what it began with is not what it would begin with now
        "curve": (*one.curve, *other.curve),
        "energy": one.energy + other.energy if one.energy is not None and other.energy is not None else None,
        "energy_note": "; ".join(filter(None, (one.energy_note, other.energy_note))),
        "duration_s": one.duration_s + other.duration_s,
        "paused_s": one.paused_s + other.paused_s,
        "accumulated": max(one.accumulated, other.accumulated),
        "inherited": one.inherited,
        "started": one.started,
    }
    return other.model_copy(update=changes)


def train_part(task: NetworkTask, at_batch_boundary: Callable[[], None]) -> Training:
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


def train_in_parts(task: NetworkTask) -> Training:
    """Train to the end, leaving a checkpoint after each tenth of the epochs; in the end a record, until `forget_parts`.

    A training that may end early, or that is compiled anew for each part, is not divided.

    Raises:
        DataError: if the data is not what the study was started with.
        InfeasibleTrainingError: if it diverged or ran out of memory.
    """
    record, recipe = task.checkpoint(0).with_name("training.json"), task.recipe
    every = math.ceil(recipe.epochs / NUM_PARTS)
    is_divided = recipe.patience is None and not recipe.compile
    joined = Training.model_validate_json(record.read_bytes()) if record.exists() else None
    for until in range(every, recipe.epochs, every) if is_divided else ():
        since = len(joined.curve) if joined is not None else 0
        if until <= since:
            continue
        part = train_network(task.model_copy(update={"since": since, "until": until}))
        joined = part if joined is None else join_trainings(joined, part)
        write_atomically(record, joined.model_dump_json().encode())
        if since:
            task.checkpoint(since).unlink(missing_ok=True)
    since = len(joined.curve) if joined is not None else 0
    if joined is not None and since == recipe.epochs:  # trained before, and what followed came to nothing
        return joined
    last = train_network(task.model_copy(update={"since": since, "until": None}))
    whole = last if joined is None else join_trainings(joined, last)
    if len(whole.curve) == recipe.epochs:
        record.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(record, whole.model_dump_json().encode())
    if since:
        task.checkpoint(since).unlink(missing_ok=True)
    return whole


def forget_parts(task: NetworkTask) -> None:
    """Remove what a training left behind to go on with, once its record is kept elsewhere."""
    shutil.rmtree(task.checkpoint(0).parent, ignore_errors=True)
