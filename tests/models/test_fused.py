"""The deployment form computes what the training form computes, and nothing is folded that may not be."""

import copy
from collections.abc import Callable

import pytest
import timm
import torch
from networks import EXAMPLE_SPECS, one_of_every_kind, randomise_statistics
from torch import nn

from ecoNAS.architecture import Architecture, Problem, StageSpec, StemSpec
from ecoNAS.costs.counts import CostTable, count_network
from ecoNAS.errors import ArchitectureError
from ecoNAS.models.fused import fused, fused_alike
from ecoNAS.models.network import build_network

PROBLEM = Problem(input_channels=3, resolution=9, num_classes=4)


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def check_alike(network: nn.Module, size: int = 9) -> nn.Module:
    randomise_statistics(network)
    network.eval()
    x_bchw = torch.randn(2, 3, size, size)
    deployed = fused(network)
    with torch.no_grad():
        torch.testing.assert_close(deployed(x_bchw), network(x_bchw), rtol=1e-4, atol=1e-4)
    return deployed


def test_a_network_of_every_kind_keeps_what_it_computes() -> None:
    torch.manual_seed(0)
    network = build_network(one_of_every_kind(), PROBLEM)
    state = copy.deepcopy(network.state_dict())
    deployed = check_alike(network)

    assert not deployed.training
    # What is left stands in front of multi-query attention, where three convolutions read it.
    assert norms(deployed) == 1 < norms(network)
    assert list(network.state_dict()) == list(state)


def test_branches_become_one_convolution() -> None:
    stage = StageSpec(width=8, depth=2, stride=1, block=EXAMPLE_SPECS["mobileone"])
    network = build_network(Architecture(stem=StemSpec(width=8), stages=(stage,)), PROBLEM)
    deployed = check_alike(network)

    # By hand: the stem, and in each of two blocks one depthwise and one pointwise convolution, with their biases.
    assert sum(isinstance(module, nn.Conv2d) for module in deployed.modules()) == 1 + 2 * 2
    by_hand = (8 * 3 * 9 + 8) + 2 * (8 * 9 + 8 + 8 * 8 + 8) + (8 * 4 + 4)
    assert count_network(deployed, PROBLEM).params == by_hand
    assert count_network(network, PROBLEM).params > by_hand


def test_costs_of_the_fused_form_are_those_of_the_fused_network() -> None:
    architecture = one_of_every_kind()
    torch.manual_seed(0)
    deployed = fused(build_network(architecture, PROBLEM))

    costs = CostTable(PROBLEM, "fused").costs(architecture)
    assert costs == count_network(deployed, PROBLEM)
    assert costs.params < CostTable(PROBLEM).costs(architecture).params
    assert costs.macs < CostTable(PROBLEM).costs(architecture).macs


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "resnet18"])
def test_ready_models_are_fused_without_a_norm_left(name: str) -> None:
    torch.manual_seed(0)
    assert norms(check_alike(timm.create_model(name, num_classes=4), size=32)) == 0


class SkipsTheNorm(nn.Module):
    """What the convolution makes is read twice, so that the norm cannot be folded into it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        y_bchw = self.conv(x_bchw)
        return y_bchw + self.norm(y_bchw)  # type: ignore[no-any-return]


class CallsTwice(nn.Module):
    """One convolution and one norm, each called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(self.norm(self.conv(x_bchw))))  # type: ignore[no-any-return]


class Standardised(nn.Conv2d):
    """A convolution that does more with its weights."""

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return nn.functional.conv2d(x_bchw, weight, self.bias, padding=1)


def shares_a_convolution() -> nn.Module:
    conv = nn.Conv2d(3, 3, 3, padding=1)
    return nn.Sequential(nn.Sequential(conv, nn.BatchNorm2d(3)), nn.Sequential(conv, nn.BatchNorm2d(3)))


@pytest.mark.parametrize(
    "make",
    [
        SkipsTheNorm,
        CallsTwice,
        lambda: nn.Sequential(Standardised(3, 3, 3), nn.BatchNorm2d(3)),
        lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3)),
        shares_a_convolution,
    ],
    ids=["read twice", "called twice", "another convolution", "norm in front", "shared"],
)
def test_a_norm_that_may_not_be_folded_stays(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network = make()

    assert norms(check_alike(network)) == norms(network)


class DecidesByValue(nn.Module):
    """Cannot be traced; what stands in it can."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        return self.part(x_bchw) if x_bchw.sum() > 0 else -self.part(x_bchw)  # type: ignore[no-any-return]


def test_parts_of_what_cannot_be_traced_are_folded() -> None:
    assert norms(check_alike(DecidesByValue())) == 0


def test_a_form_that_computes_something_else_is_refused() -> None:
    class Wrong(nn.Conv2d):
        def fuse(self) -> nn.Module:
            return nn.Conv2d(3, 3, 1)

    with pytest.raises(ArchitectureError, match=r"outputs differ by .* choose deployment.form training"):
        fused_alike(nn.Sequential(Wrong(3, 3, 1)), (1, 3, 4, 4))
