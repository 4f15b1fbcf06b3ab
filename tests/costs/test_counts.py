import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from networks import EXAMPLE_SPECS, architectures, problems, small_hybrid
from timm.layers import ConvNormAct
from timm.models.vision_transformer import Block
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ecoNAS.architecture import Architecture, HeadSpec, Problem, StageSpec, StemSpec
from ecoNAS.costs import counts
from ecoNAS.costs.counts import CostTable, UncountedOperatorError, baseline_costs, count_network
from ecoNAS.costs.operators import MAC_FREE, MAC_OPERATORS, is_mac_free
from ecoNAS.errors import ArchitectureError, EcoNASError
from ecoNAS.models.baseline import build_baseline
from ecoNAS.models.network import build_network

CIFAR = Problem(input_channels=3, resolution=32, num_classes=10)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny networks on several threads mostly wait, the more so where other tests run beside these."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Tokens(nn.Module):
    """64 tokens of width 96 made of an image of 96 channels and 8x8 positions."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        return self.block(x_bchw.flatten(2).transpose(1, 2))  # type: ignore[no-any-return]


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        return self.function(x_bchw)


def image(channels: int, size: int) -> Problem:
    return Problem(input_channels=channels, resolution=size, num_classes=2)


def macs_by_torch(network: nn.Module, problem: Problem) -> float:
    """A second counter: it looks at what is dispatched, and counts two FLOPs for a multiply-add."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(problem.input_shape(batch=1)))
    return counter.get_total_flops() / 2


def test_a_transformer_block_by_hand() -> None:
    """Of each token: qkv 3 x 96^2, projection 96^2, two layers of 4 x 96^2. Of each pair of tokens: QK^T and AV, 96."""
    by_hand = 64 * (3 + 1 + 4 + 4) * 96**2 + 2 * 64**2 * 96

    assert by_hand == 7_864_320
    assert count_network(Tokens(Block(96, 4, qkv_bias=True)), image(96, 8)).macs == by_hand


def test_a_convolution_by_hand() -> None:
    """8 filters of 3 x 3 x 3 at 16 x 16 positions; 8 biases; 8 x 16 x 16 outputs of 4 bytes."""
    costs = count_network(nn.Conv2d(3, 8, 3, stride=2, padding=1), image(3, 32))

    assert (costs.macs, costs.params, costs.activation_memory_bytes) == (55_296, 224, 8_192)
    assert costs.flops == 110_592


def test_a_grouped_convolution_by_hand() -> None:
    """4 filters of 5 x 5 x 1 at 8 x 8 positions, depthwise."""
    assert count_network(nn.Conv2d(4, 4, 5, padding=2, groups=4), image(4, 8)).macs == 4 * 25 * 64


def test_a_convolution_padded_by_a_word_by_hand() -> None:
    assert count_network(nn.Conv2d(4, 6, 3, padding="same"), image(4, 8)).macs == 6 * 4 * 9 * 64


def test_norms_and_activations_are_no_macs() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.SiLU(), nn.GroupNorm(1, 3), nn.AdaptiveAvgPool2d(1))

    assert count_network(network, image(3, 8)).macs == 0


def test_memory_counts_each_tensor_once() -> None:
    """Convolution and norm put out 8 x 8 x 8 numbers each; the activation works in place, the identity hands on."""
    network = nn.Sequential(ConvNormAct(3, 8, 3, act_layer=nn.SiLU), nn.Identity(), nn.Flatten())

    assert count_network(network, image(3, 8)).activation_memory_bytes == 4 * (512 + 512)


@given(architecture=architectures(), problem=problems())
@settings(max_examples=25, deadline=None)
def test_sums_of_parts_are_the_whole_and_a_second_counter_agrees(architecture: Architecture, problem: Problem) -> None:
    network = build_network(architecture, problem)
    whole = count_network(network, problem)

    assert CostTable(problem).costs(architecture) == whole
    assert whole.macs == macs_by_torch(network, problem)
    assert whole.params == sum(parameter.numel() for parameter in network.parameters())


def test_counting_changes_nothing() -> None:
    network = build_network(small_hybrid(), CIFAR)
    network.head.eval()  # type: ignore[union-attr]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    threads, random_state = torch.get_num_threads(), torch.random.get_rng_state()

    count_network(network, CIFAR)
    CostTable(CIFAR).costs(small_hybrid())
    baseline_costs("mobilenetv3_small_050", CIFAR)

    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert torch.get_num_threads() == threads
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_each_part_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two networks that share the stem and the kind of block: what the second adds is what differs."""
    counted: list[nn.Module] = []
    count = counts._count
    monkeypatch.setattr(counts, "_count", lambda module, shape: counted.append(module) or count(module, shape))
    stage = StageSpec(width=8, depth=3, stride=1, block=EXAMPLE_SPECS["mbconv"])
    architecture = Architecture(stem=StemSpec(width=8), stages=(stage,))
    table = CostTable(CIFAR)

    table.costs(architecture)
    first = len(counted)
    assert first == 5  # stem, one block for all three places, and the head's pooling, flattening and linear layer
    table.costs(architecture)
    assert len(counted) == first
    table.costs(architecture.model_copy(update={"head": HeadSpec(width=16)}))
    assert [type(module) for module in counted[first:]] == [ConvNormAct, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear]


def test_an_operator_that_nobody_has_looked_at_is_an_error() -> None:
    with pytest.raises(UncountedOperatorError, match=r"operator aten::fft_fft2 in Function; list it in ecoNAS/costs"):
        count_network(Function(torch.fft.fft2), image(3, 8))

    assert issubclass(UncountedOperatorError, EcoNASError)


def test_in_place_forms_are_as_free_as_the_others() -> None:
    assert is_mac_free("aten::silu_")
    assert is_mac_free("aten::silu")
    assert not is_mac_free("aten::lstm")
    assert not is_mac_free("prim::PythonOp.Mine")
    assert not {f"aten::{name}" for name in MAC_FREE} & set(MAC_OPERATORS)


@pytest.mark.parametrize("equation", ["bchw,bdhw->bcd", "bchw,bchw->bhw"])
def test_a_contraction_of_two_tensors_agrees_with_the_second_counter(equation: str) -> None:
    network = Function(lambda x: torch.einsum(equation, x, x))

    assert count_network(network, image(5, 7)).macs == macs_by_torch(network, image(5, 7))


def test_a_wrong_width_is_refused_before_anything_is_built() -> None:
    stage = StageSpec(width=10, depth=1, stride=1, block=EXAMPLE_SPECS["attention"])

    with pytest.raises(ArchitectureError, match="stage 1: width 10 is not divisible by num_heads 4"):
        CostTable(CIFAR).costs(Architecture(stem=StemSpec(width=8), stages=(stage,)))


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "vit_tiny_patch16_224", "convmixer_768_32", "mvitv2_tiny"])
def test_baselines_agree_with_the_second_counter(name: str) -> None:
    problem = Problem(input_channels=3, resolution=64, num_classes=10)
    costs = baseline_costs(name, problem)
    network = build_baseline(name, problem).requires_grad_(False)

    assert costs.macs == macs_by_torch(network, problem)
    assert costs.params == sum(parameter.numel() for parameter in network.parameters())


def test_a_baseline_that_cannot_read_such_images_is_refused() -> None:
    with pytest.raises(ArchitectureError, match=r"timm model 'inception_v3' cannot read images of 3x32x32: .*choose"):
        baseline_costs("inception_v3", CIFAR)


def test_counting_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CostTable(CIFAR).costs(small_hybrid())
