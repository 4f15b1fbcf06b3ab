"""What each kind of block decides: one frozen spec a kind, with the rules that its choices keep.

A spec knows no torch and no neighbours. Which name means which spec is decided by `block_kinds`, and what a spec
becomes by the function of its kind in `ecoNAS.models`.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from ecoNAS.errors import ArchitectureError
from ecoNAS.frozen import Frozen

OddKernel = Annotated[int, Field(ge=1, le=31)]
OptionalKernel = Annotated[int, Field(ge=0, le=31, description="0: no such convolution")]
Ratio = Annotated[float, Field(gt=0, le=16)]


class BlockSpec(Frozen):
    """One decided block; each kind is a child with choices of its own.

    Attributes:
        is_sized: Whether weights of the block belong to positions, so that it reads feature maps of one size only.
    """

    is_sized: ClassVar[bool] = False

    kind: str

    def check(self, width: int) -> None:
        """Raise ArchitectureError if a block of this kind cannot have `width` output channels."""

    def describe(self) -> str:
        """Return the block in a few words, for tables and drawings."""
        choices = ", ".join(f"{name} {value}" for name, value in self.model_dump().items() if name != "kind")
        return f"{self.kind} ({choices})" if choices else self.kind


def is_odd(value: int) -> int:
    """Return a kernel size if it has a centre; pydantic tells of the ValueError otherwise."""
    if value % 2 == 0:
        raise ValueError(f"kernel_size {value} is even; choose an odd one, such as {value + 1}")
    return value


class _ConvBlockSpec(BlockSpec):
    """What convolution blocks share: an odd kernel and the ratio of inner to outer width."""

    kernel_size: OddKernel
    expansion: Ratio

    _kernel_is_odd = field_validator("kernel_size")(is_odd)


class MBConvSpec(_ConvBlockSpec):
    """Inverted bottleneck with a depthwise convolution (MobileNetV2, arXiv 1801.04381)."""

    kind: Literal["mbconv"] = "mbconv"
    squeeze_excite: bool


class FusedMBConvSpec(_ConvBlockSpec):
    """Inverted bottleneck whose first two convolutions are one (EfficientNetV2, arXiv 2104.00298)."""

    kind: Literal["fused_mbconv"] = "fused_mbconv"


class ConvNeXtSpec(_ConvBlockSpec):
    """Depthwise convolution, layer norm and a two-layer perceptron (arXiv 2201.03545)."""

    kind: Literal["convnext"] = "convnext"


class RepMixerSpec(_ConvBlockSpec):
    """Depthwise branches that fuse into one convolution, and a two-layer perceptron (FastViT, arXiv 2303.14189)."""

    kind: Literal["repmixer"] = "repmixer"


class MobileOneSpec(BlockSpec):
    """A depthwise and a 1x1 convolution, each of several branches that fuse into one (arXiv 2206.04040)."""

    kind: Literal["mobileone"] = "mobileone"
    kernel_size: OddKernel
    num_branches: Annotated[int, Field(ge=1, le=8, description="equal convolutions side by side, before fusion")]

    _kernel_is_odd = field_validator("kernel_size")(is_odd)


class UIBSpec(BlockSpec):
    """Universal inverted bottleneck (MobileNetV4, arXiv 2404.10518, section 3).

    Each of its two depthwise convolutions may be missing: with `mid_kernel_size` alone it is an inverted bottleneck,
    with `start_kernel_size` alone much like ConvNeXt, with both what the paper calls extra depthwise, with none a
    perceptron.
    """

    kind: Literal["uib"] = "uib"
    start_kernel_size: OptionalKernel
    mid_kernel_size: OptionalKernel
    expansion: Ratio

    @field_validator("start_kernel_size", "mid_kernel_size")
    @classmethod
    def _kernel_is_odd(cls, value: int) -> int:
        if value and value % 2 == 0:
            raise ValueError(f"0 or odd: {value} is even; choose one such as {value + 1}")
        return value


class _HeadsSpec(BlockSpec):
    """What transformer blocks share: heads that split the width, and the ratio of the perceptron's inner width."""

    num_heads: Annotated[int, Field(ge=1)]
    mlp_ratio: Ratio

    def check(self, width: int) -> None:
        """Raise ArchitectureError unless the heads divide the width."""
        if width % self.num_heads:
            works = ", ".join(str(n) for n in range(1, 17) if width % n == 0)
            raise ArchitectureError(
                f"width {width} is not divisible by num_heads {self.num_heads}; choose heads from {works}"
            )


class AttentionSpec(_HeadsSpec):
    """Pre-norm transformer block over all positions, with a convolutional position encoding (arXiv 2102.10882)."""

    kind: Literal["attention"] = "attention"


class RelativeAttentionSpec(_HeadsSpec):
    """Pre-norm transformer block whose attention adds a bias for each relative position (CoAtNet, arXiv 2106.04803)."""

    is_sized: ClassVar[bool] = True

    kind: Literal["relative_attention"] = "relative_attention"


class MobileAttentionSpec(BlockSpec):
    """Multi-query attention, all heads of which share keys and values, then a perceptron (arXiv 2404.10518, section 4).

    Attributes:
        key_width: Channels of a query, a key and a value; heads need not divide the width of the block.
        kv_stride: Of the positions that keys and values are taken from.
    """

    kind: Literal["mobile_attention"] = "mobile_attention"
    num_heads: Annotated[int, Field(ge=1)]
    key_width: Annotated[int, Field(ge=1, le=512)]
    kv_stride: Literal[1, 2]
    expansion: Ratio


class LinearAttentionSpec(BlockSpec):
    """Multi-scale linear attention and an inverted bottleneck (EfficientViT, arXiv 2205.14756, figure 2).

    Its work grows with the number of positions, not with its square.

    Attributes:
        head_width: Channels of a head; there are as many heads as fit into the width.
    """

    kind: Literal["linear_attention"] = "linear_attention"
    head_width: Annotated[int, Field(ge=1, le=512)]
    expansion: Ratio

    def check(self, width: int) -> None:
        """Raise ArchitectureError unless at least one head fits into the width."""
        if width < self.head_width:
            raise ArchitectureError(
                f"width {width} has no room for a head of head_width {self.head_width}; choose at most {width}"
            )


class MixerSpec(BlockSpec):
    """A perceptron across positions, then one across channels (MLP-Mixer, arXiv 2105.01601).

    Attributes:
        token_ratio: Inner width of the perceptron across positions, as a share of the width (not of the positions).
        mlp_ratio: Inner width of the other one, as a share of the width.
    """

    is_sized: ClassVar[bool] = True

    kind: Literal["mixer"] = "mixer"
    token_ratio: Ratio
    mlp_ratio: Ratio
