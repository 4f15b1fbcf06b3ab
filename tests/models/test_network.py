from typing import Any

import pytest
import torch
from hypothesis import given, settings
from networks import EXAMPLE_SPECS, architectures, problems, small_hybrid
from torch import nn

from ecoNAS.architecture import Architecture, HeadSpec, Problem, StageSpec, StemSpec
from ecoNAS.block_specs import AttentionSpec, ConvNeXtSpec
from ecoNAS.errors import ArchitectureError
from ecoNAS.models import registry
from ecoNAS.models.constructor import Constructor, call
from ecoNAS.models.network import build_network
from ecoNAS.models.plan import plan_network, stage_places

CIFAR = Problem(input_channels=3, resolution=32, num_classes=10)


def one_stage(stage: StageSpec) -> Architecture:
    return Architecture(stem=StemSpec(width=8), stages=(stage,))


@given(architecture=architectures(), problem=problems())
@settings(max_examples=40, deadline=None)
def test_any_architecture_builds_runs_and_learns(architecture: Architecture, problem: Problem) -> None:
    torch.manual_seed(0)
    network = build_network(architecture, problem)
    logits = network(torch.randn(problem.input_shape(batch=4)))
    nn.functional.cross_entropy(logits, torch.arange(4) % problem.num_classes).backward()

    assert logits.shape == (4, problem.num_classes)
    assert logits.isfinite().all()
    grads = [parameter.grad for parameter in network.parameters()]
    assert all(grad is not None and grad.isfinite().all() for grad in grads)
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.head.parameters())  # type: ignore[union-attr]
    assert network.stem.conv.weight.grad.abs().sum() > 0  # type: ignore[union-attr]


def test_a_built_network_is_fresh_and_in_training_mode() -> None:
    network = build_network(small_hybrid(), CIFAR)

    assert all(module.training for module in network.modules())
    counts = [value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")]
    assert counts
    assert all(value == 0 for value in counts)


def test_the_seed_decides_the_weights() -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build_network(small_hybrid(), CIFAR).state_dict())

    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_parts_are_named_for_a_reader() -> None:
    network = build_network(small_hybrid(), CIFAR)

    assert [name for name, _ in network.named_children()] == ["stem", "stage1", "stage2", "stage3", "stage4", "head"]


def test_sizes_are_rounded_up_and_may_reach_one_position() -> None:
    stage = StageSpec(width=8, depth=1, stride=2, block=EXAMPLE_SPECS["attention"])
    architecture = Architecture(stem=StemSpec(width=8, stride=2), stages=(stage,) * 4)
    problem = Problem(input_channels=1, resolution=9, num_classes=3)

    assert [place.in_size for place in stage_places(architecture, problem)] == [5, 3, 2, 1]
    assert build_network(architecture, problem)(torch.randn(2, 1, 9, 9)).shape == (2, 3)


def test_the_head_convolution_is_there_only_if_it_has_a_width() -> None:
    stage = StageSpec(width=8, depth=1, stride=1, block=EXAMPLE_SPECS["convnext"])
    narrow = Architecture(stem=StemSpec(width=8), stages=(stage,))
    wide = narrow.model_copy(update={"head": HeadSpec(width=24)})

    assert [type(m).__name__ for m in build_network(narrow, CIFAR).head.children()] == [  # type: ignore[union-attr]
        "AdaptiveAvgPool2d",
        "Flatten",
        "Linear",
    ]
    assert build_network(wide, CIFAR).head[-1].in_features == 24  # type: ignore[index,union-attr]


def test_notes_say_what_a_part_is() -> None:
    notes = [part.note for part in plan_network(small_hybrid(), CIFAR)]

    assert notes == [
        "width 8, 32x32 -> 16x16",
        "1 block of mbconv, width 12, 16x16",
        "2 blocks of fused_mbconv, width 16, 16x16 -> 8x8",
        "1 block of convnext, width 20, 8x8",
        "2 blocks of attention, width 24, 8x8 -> 4x4",
        "width 32, mean over 4x4, 10 classes",
    ]


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    stage = StageSpec(width=10, depth=1, stride=1, block=AttentionSpec(num_heads=4, mlp_ratio=2.0))

    with pytest.raises(ArchitectureError, match="stage 1: width 10 is not divisible by num_heads 4"):
        build_network(one_stage(stage), CIFAR)


@pytest.mark.parametrize(
    "spec", [ConvNeXtSpec(kernel_size=3, expansion=0.1), AttentionSpec(num_heads=1, mlp_ratio=0.1)]
)
def test_a_ratio_that_leaves_no_inner_width_is_refused(spec: Any) -> None:
    with pytest.raises(ArchitectureError, match=r"0.1 of width 8 leaves no inner width; choose at least 0.125"):
        build_network(one_stage(StageSpec(width=8, depth=1, stride=1, block=spec)), CIFAR)


def test_a_block_that_ignores_its_stride_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def ignores_stride(spec: Any, in_width: int, out_width: int, stride: int, in_size: int) -> Constructor:
        return call(nn.Conv2d, in_width, out_width, kernel_size=1)

    monkeypatch.setitem(registry.BLOCKS, "convnext", ignores_stride)
    stage = StageSpec(width=12, depth=1, stride=2, block=EXAMPLE_SPECS["convnext"])

    with pytest.raises(ArchitectureError, match=r"stage1 .* makes \(12, 32, 32\) of \(8, 32, 32\), not \(12, 16, 16\)"):
        build_network(one_stage(stage), CIFAR)


def test_an_unknown_kind_is_named_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(registry.BLOCKS, "convnext")
    stage = StageSpec(width=12, depth=1, stride=2, block=EXAMPLE_SPECS["convnext"])

    with pytest.raises(ArchitectureError, match="block kind 'convnext'; known: attention, fused_mbconv, "):
        build_network(one_stage(stage), CIFAR)
