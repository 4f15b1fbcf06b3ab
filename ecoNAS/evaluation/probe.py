"""A few timed epochs of one network where its search would train it: what `econas plan` extrapolates from."""

import time
from dataclasses import replace
from statistics import fmean
from typing import Final

import torch

from ecoNAS.data.datasets import DataSet, load_data
from ecoNAS.data.images import ImageSplit
from ecoNAS.energy.measure import peak_rss_bytes
from ecoNAS.energy.select import is_estimated
from ecoNAS.evaluation.profiling import profile_network
from ecoNAS.evaluation.task import EvaluationTask
from ecoNAS.frozen import Frozen
from ecoNAS.training.trainer import train

NUM_BATCHES: Final = 24  # of an epoch, at most: a share of a large data set tells as much
NUM_EPOCHS: Final = 3  # the first of them warms up


class Probe(Frozen):
    """What one network takes where it was tried.

    Attributes:
        digest: Of the candidate.
        macs: Of the network.
        start_s: Seconds before the first epoch, and what that takes beyond a later one.
        epoch_s: Seconds of one epoch, with its look at the validation split.
        profile_s: Seconds of its profile; 0 where nothing is measured.
        power_w: Watts while it was profiled; None where nothing is measured.
        peak_memory_bytes: Of the process.
    """

    digest: str
    macs: int
    start_s: float
    epoch_s: float
    profile_s: float
    power_w: float | None
    peak_memory_bytes: int | None


def probe(task: EvaluationTask) -> Probe:
    """Train one network for some epochs, of a part of the data where there is much, and profile it once.

    Raises:
        MeasurementError: if joules are to be measured and no number can be trusted.
    """
    torch.set_num_threads(task.threads)
    began_s = time.perf_counter()
    profile = profile_network(task)
    profiled_s = time.perf_counter()
    data, network = load_data(task.data, task.data_digest), task.build_seeded()
    share = min(1.0, NUM_BATCHES * task.recipe.batch_size / len(data.train))
    recipe = task.recipe.model_copy(update={"epochs": NUM_EPOCHS, "restarts": ()})
    epochs = list(train(network, _part(data, share), recipe, task.training_key.seed, task.device))
    later_s = fmean(epoch.record.duration_s for epoch in epochs[1:])
    is_measured = not is_estimated(task.energy) or task.measures_latency
    whole_s = time.perf_counter() - profiled_s
    measurement = profile.measurement
    return Probe(
        digest=task.candidate.digest,
        macs=task.costs.macs,
        start_s=max(whole_s - NUM_EPOCHS * later_s, 0.0),
        epoch_s=later_s / share,
        profile_s=profiled_s - began_s if is_measured else 0.0,
        power_w=measurement.mean_power_w if measurement is not None else None,
        peak_memory_bytes=peak_rss_bytes(),
    )


def _part(data: DataSet, share: float) -> DataSet:
    def first(split: ImageSplit) -> ImageSplit:
        count = max(1, round(share * len(split)))
        return ImageSplit(split.images[:count].copy(), split.labels[:count].copy())

    return data if share == 1.0 else replace(data, train=first(data.train), validation=first(data.validation))
