"""Random small architectures and problems, for the tests of what is built, counted and exported."""

import torch
from hypothesis import strategies as st
from torch import nn

from ecoNAS.architecture import Architecture, HeadSpec, Problem, StageSpec, StemSpec
from ecoNAS.block_specs import (
    AttentionSpec,
    BlockSpec,
    ConvNeXtSpec,
    FusedMBConvSpec,
    LinearAttentionSpec,
    MBConvSpec,
    MixerSpec,
    MobileAttentionSpec,
    MobileOneSpec,
    RelativeAttentionSpec,
    RepMixerSpec,
    UIBSpec,
)

WIDTHS = (4, 8, 12, 20, 33)  # timm rounds inner widths to multiples of 8: take some that are none
RATIOS = (0.5, 1.0, 2.5, 4.0)

EXAMPLE_SPECS: dict[str, BlockSpec] = {
    "attention": AttentionSpec(num_heads=4, mlp_ratio=2.0),
    "convnext": ConvNeXtSpec(kernel_size=5, expansion=2.0),
    "fused_mbconv": FusedMBConvSpec(kernel_size=3, expansion=2.0),
    "linear_attention": LinearAttentionSpec(head_width=4, expansion=2.0),
    "mbconv": MBConvSpec(kernel_size=5, expansion=4.0, squeeze_excite=True),
    "mixer": MixerSpec(token_ratio=0.5, mlp_ratio=2.0),
    "mobile_attention": MobileAttentionSpec(num_heads=3, key_width=8, kv_stride=2, expansion=2.0),
    "mobileone": MobileOneSpec(kernel_size=3, num_branches=2),
    "relative_attention": RelativeAttentionSpec(num_heads=4, mlp_ratio=2.0),
    "repmixer": RepMixerSpec(kernel_size=3, expansion=2.0),
    "uib": UIBSpec(start_kernel_size=3, mid_kernel_size=5, expansion=2.0),
}


def small_hybrid() -> Architecture:
    """Return a network of four kinds, of 32 pixels or more down to 2 positions a side."""
    stages = [
        StageSpec(width=12 + 4 * place, depth=1 + place % 2, stride=1 + place % 2, block=EXAMPLE_SPECS[kind])
        for place, kind in enumerate(("mbconv", "fused_mbconv", "convnext", "attention"))
    ]
    return Architecture(stem=StemSpec(width=8, stride=2), stages=tuple(stages), head=HeadSpec(width=32))


def one_of_every_kind() -> Architecture:
    """Return a network with a stage of every kind; the strided ones leave 1 position a side of 8 pixels."""
    stages = [
        StageSpec(width=8 + 4 * (place % 3), depth=1 + place % 2, stride=1 + (place % 4 == 3), block=spec)
        for place, spec in enumerate(EXAMPLE_SPECS.values())
    ]
    return Architecture(stem=StemSpec(width=8, stride=2), stages=tuple(stages), head=HeadSpec(width=16))


def problems() -> st.SearchStrategy[Problem]:
    return st.builds(
        Problem, input_channels=st.sampled_from((1, 3)), resolution=st.integers(8, 32), num_classes=st.integers(2, 12)
    )


def blocks(width: int) -> st.SearchStrategy[BlockSpec]:
    kernels, ratios = st.sampled_from((1, 3, 5, 7)), st.sampled_from(RATIOS)
    heads = st.sampled_from([n for n in range(1, 9) if width % n == 0])
    optional = st.sampled_from((0, 3, 5))
    return st.one_of(
        st.builds(MBConvSpec, kernel_size=kernels, expansion=ratios, squeeze_excite=st.booleans()),
        st.builds(FusedMBConvSpec, kernel_size=kernels, expansion=ratios),
        st.builds(ConvNeXtSpec, kernel_size=kernels, expansion=ratios),
        st.builds(AttentionSpec, num_heads=heads, mlp_ratio=ratios),
        st.builds(RelativeAttentionSpec, num_heads=heads, mlp_ratio=ratios),
        st.builds(
            MobileAttentionSpec,
            num_heads=st.integers(1, 4),
            key_width=st.sampled_from((4, 8)),
            kv_stride=st.sampled_from((1, 2)),
            expansion=ratios,
        ),
        st.builds(LinearAttentionSpec, head_width=st.sampled_from((2, 4)), expansion=ratios),
        st.builds(MixerSpec, token_ratio=ratios, mlp_ratio=ratios),
        st.builds(UIBSpec, start_kernel_size=optional, mid_kernel_size=optional, expansion=ratios),
        st.builds(MobileOneSpec, kernel_size=kernels, num_branches=st.integers(1, 3)),
        st.builds(RepMixerSpec, kernel_size=kernels, expansion=ratios),
    )


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    stages = []
    for _ in range(draw(st.integers(1, 4))):
        width = draw(st.sampled_from(WIDTHS))
        depth, stride = draw(st.integers(1, 2)), draw(st.sampled_from((1, 2)))
        stages.append(StageSpec(width=width, depth=depth, stride=stride, block=draw(blocks(width))))
    stem = StemSpec(
        width=draw(st.sampled_from(WIDTHS)),
        kernel_size=draw(st.sampled_from((1, 3, 5))),
        stride=draw(st.sampled_from((1, 2, 4))),
    )
    return Architecture(stem=stem, stages=tuple(stages), head=HeadSpec(width=draw(st.sampled_from((0, 16)))))


def randomise_statistics(network: nn.Module) -> None:
    """Let batch norm be as after a training: statistics and scales that are not those of a fresh network."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2.0)
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(std=0.3)
