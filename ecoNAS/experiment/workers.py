"""Who evaluates the candidates of a run: Ray actors in the right places, or this process itself."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch

from ecoNAS.energy.meters.rapl import host_identity
from ecoNAS.evaluation.devices import gpu_uuid
from ecoNAS.evaluation.evaluate import evaluate
from ecoNAS.evaluation.ray_workers import Places, RayWorkers
from ecoNAS.evaluation.task import EvaluationTask
from ecoNAS.evaluation.workers import InProcessWorkers, ResultT, TaskT, Workers
from ecoNAS.experiment.interrupt import Interrupt
from ecoNAS.experiment.setup import Setup, gpu_share, profiled_on
from ecoNAS.records import Evaluation, Outcome

AnyWorkers = InProcessWorkers[EvaluationTask, Evaluation] | RayWorkers[EvaluationTask, Evaluation]


def next_stage(task: EvaluationTask, evaluation: Evaluation) -> EvaluationTask | None:
    """Return the training that follows a profile which was a task of its own; None where nothing follows."""
    if task.stage != "profile" or evaluation.outcome is not Outcome.EVALUATED:
        return None
    return task.model_copy(
        update={"stage": "train", "profile": evaluation.profile, "profile_b1": evaluation.profile_b1}
    )


def open_workers(setup: Setup, interrupt: Interrupt) -> AbstractContextManager[AnyWorkers]:
    """Return who evaluates the candidates of an experiment."""
    if setup.config.workers.kind == "in_process":
        return InProcessWorkers(lambda task: evaluate(task, interrupt.check))
    return open_ray(setup, evaluate)


def open_ray(setup: Setup, run: Callable[[EvaluationTask], ResultT]) -> RayWorkers[EvaluationTask, ResultT]:
    """Return as many Ray workers as the experiment has, each with its share of the machine.

    Args:
        setup: Of the experiment.
        run: What they do with a task; importable by name.
    """
    places: Places[EvaluationTask] | None = None
    if setup.is_staged and setup.reference is not None:
        needed = profiled_on(setup.reference, gpu_uuid(setup.device))
        places = Places(_here, lambda task: needed if task.stage == "profile" else None)
    return ray_workers(setup, run, places)


def open_trainers(setup: Setup, run: Callable[[TaskT], ResultT]) -> AbstractContextManager[Workers[TaskT, ResultT]]:
    """Return who does one kind of task that any worker of an experiment may do.

    Args:
        setup: Of the experiment.
        run: What is done with a task; importable by name.
    """
    if setup.config.workers.kind == "in_process":
        return InProcessWorkers(run)
    return ray_workers(setup, run, None)


def ray_workers(
    setup: Setup, run: Callable[[TaskT], ResultT], places: Places[TaskT] | None
) -> RayWorkers[TaskT, ResultT]:
    """Return Ray workers, each with its share of the machine; see `open_ray`."""
    config = setup.config.workers
    gpus = gpu_share(setup.num_gpus, setup.num_workers) if setup.device == "cuda" else 0.0
    return RayWorkers(
        run,
        setup.num_workers,
        config.cpus_per_trial,
        gpus,
        tasks_per_worker=config.candidates_per_worker,
        places=places,
    )


def _here() -> str:
    """Return the identity of the device that this worker runs on."""
    return gpu_uuid("cuda" if torch.cuda.is_available() else "cpu") or host_identity()
