"""A ready timm model through the same profile and training as a candidate: what a searched network has to beat."""

import torch

from ecoNAS.evaluation.profiling import profile_network
from ecoNAS.evaluation.task import ReadyModelTask
from ecoNAS.evaluation.train_network import train_network
from ecoNAS.records import ReadyModel, now


def evaluate_ready_model(task: ReadyModelTask) -> ReadyModel:
    """Profile and train one ready model in this process.

    Raises:
        ArchitectureError: if timm knows no such model, or it cannot read images of this size.
        InfeasibleTrainingError: if its training diverged or ran out of memory.
        MeasurementError: if its joules were to be measured and could not be.
    """
    started = now()
    torch.set_num_threads(task.threads)
    profile = profile_network(task)
    training = train_network(task)
    return ReadyModel(
        name=task.model, costs=task.costs, profile=profile, training=training, started=started, ended=now()
    )
