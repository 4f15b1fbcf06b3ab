"""How workers share GPUs, and on which of them profiles are made."""

import math

import pytest

from ecoNAS.experiment.setup import gpu_share, profiled_on
from ecoNAS.measurement import MeterInfo


@pytest.mark.parametrize("num_gpus", range(1, 9))
@pytest.mark.parametrize("num_workers", range(1, 25))
def test_every_worker_finds_a_place_on_one_gpu_or_has_whole_ones(num_gpus: int, num_workers: int) -> None:
    share = gpu_share(num_gpus, num_workers)
    if share >= 1:
        assert share == int(share)
        assert share * num_workers <= num_gpus
    else:
        assert math.floor(1 / share + 1e-9) * num_gpus >= num_workers


@pytest.mark.parametrize(
    ("device", "gpu"),
    [
        ("GPU-2", "GPU-2"),
        ("GPU-2+cpu:host", "GPU-2"),
        ("cpu:host+GPU-2", "GPU-2"),
        ("cpu:host", "GPU-1"),
        ("external:/var/log/meter.csv", "GPU-1"),
    ],
)
def test_profiles_are_made_on_the_gpu_that_is_counted_else_always_on_the_same(device: str, gpu: str) -> None:
    assert profiled_on(MeterInfo("m", "measured", "energy_counter", "gpu", device), "GPU-1") == gpu
