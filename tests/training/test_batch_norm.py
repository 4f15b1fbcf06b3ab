import pytest
import torch
from torch import nn

from ecoNAS.training.batch_norm import quicken_batch_norm


@pytest.mark.parametrize("updates", [1, 2, 16, 43, 44, 500])
def test_after_one_epoch_the_start_hardly_counts(updates: int) -> None:
    norm = nn.BatchNorm2d(1)  # starts at mean 0
    quicken_batch_norm(nn.Sequential(norm), updates)
    norm.train()

    for _ in range(updates):
        norm(torch.full((4, 1, 2, 2), 5.0))

    assert norm.running_mean.item() == pytest.approx(5.0, rel=0.0101)


def test_long_epochs_and_cumulative_averages_stay_as_they_are() -> None:
    network = nn.Sequential(nn.BatchNorm2d(1), nn.BatchNorm2d(1, momentum=None), nn.BatchNorm1d(1, momentum=0.9))

    quicken_batch_norm(network, 44)

    assert [module.momentum for module in network] == [0.1, None, 0.9]
