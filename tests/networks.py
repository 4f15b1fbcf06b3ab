"""Random small architectures and problems, for the tests of what is built, counted and exported."""

from hypothesis import strategies as st

from ecoNAS.architecture import (
    Architecture,
    AttentionSpec,
    BlockSpec,
    ConvNeXtSpec,
    FusedMBConvSpec,
    HeadSpec,
    MBConvSpec,
    Problem,
    StageSpec,
    StemSpec,
)

WIDTHS = (4, 8, 12, 20, 33)  # timm rounds inner widths to multiples of 8: take some that are none
RATIOS = (0.5, 1.0, 2.5, 4.0)

EXAMPLE_SPECS: dict[str, BlockSpec] = {
    "attention": AttentionSpec(num_heads=4, mlp_ratio=2.0),
    "convnext": ConvNeXtSpec(kernel_size=5, expansion=2.0),
    "fused_mbconv": FusedMBConvSpec(kernel_size=3, expansion=2.0),
    "mbconv": MBConvSpec(kernel_size=5, expansion=4.0, squeeze_excite=True),
}


def one_of_each_kind() -> Architecture:
    """Return a network with a stage of every kind, of 32 pixels or more down to 2 positions a side."""
    stages = [
        StageSpec(width=12 + 4 * place, depth=1 + place % 2, stride=1 + place % 2, block=EXAMPLE_SPECS[kind])
        for place, kind in enumerate(("mbconv", "fused_mbconv", "convnext", "attention"))
    ]
    return Architecture(stem=StemSpec(width=8, stride=2), stages=tuple(stages), head=HeadSpec(width=32))


def problems() -> st.SearchStrategy[Problem]:
    return st.builds(
        Problem, input_channels=st.sampled_from((1, 3)), resolution=st.integers(8, 32), num_classes=st.integers(2, 12)
    )


def blocks(width: int) -> st.SearchStrategy[BlockSpec]:
    kernels, ratios = st.sampled_from((1, 3, 5, 7)), st.sampled_from(RATIOS)
    heads = st.sampled_from([n for n in range(1, 9) if width % n == 0])
    return st.one_of(
        st.builds(MBConvSpec, kernel_size=kernels, expansion=ratios, squeeze_excite=st.booleans()),
        st.builds(FusedMBConvSpec, kernel_size=kernels, expansion=ratios),
        st.builds(ConvNeXtSpec, kernel_size=kernels, expansion=ratios),
        st.builds(AttentionSpec, num_heads=heads, mlp_ratio=ratios),
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
        stride=draw(st.sampled_from((1, 2))),
    )
    return Architecture(stem=stem, stages=tuple(stages), head=HeadSpec(width=draw(st.sampled_from((0, 16)))))
