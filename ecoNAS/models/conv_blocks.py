"""Convolution blocks: what timm offers, behind (spec, in_width, out_width, stride, in_size) -> Constructor.

All activations are SiLU (arXiv 1710.05941), as in EfficientNet. A block keeps a feature map of n x n positions at
stride 1 and makes it ceil(n / 2) x ceil(n / 2) at stride 2, whatever its kernel.
"""

from functools import partial
from typing import Final

from timm.layers.conv_bn_act import ConvNormAct
from timm.layers.squeeze_excite import SEModule
from timm.models._efficientnet_blocks import EdgeResidual, InvertedResidual, UniversalInvertedResidual
from timm.models.convnext import ConvNeXtBlock
from torch import nn

from ecoNAS.block_specs import ConvNeXtSpec, FusedMBConvSpec, MBConvSpec, UIBSpec
from ecoNAS.errors import ArchitectureError
from ecoNAS.models.constructor import Constructor, call, sequence

# Of the inner width, rounded to a multiple of 8 by timm.
SQUEEZE_RATIO: Final = 0.25


def mbconv(spec: MBConvSpec, in_width: int, out_width: int, stride: int, in_size: int) -> Constructor:
    """Return an inverted bottleneck (arXiv 1801.04381), with squeeze and excitation (1709.01507) if asked for."""
    squeeze = {"se_layer": call(partial, SEModule, rd_ratio=SQUEEZE_RATIO)} if spec.squeeze_excite else {}
    return call(
        InvertedResidual,
        in_width,
        out_width,
        dw_kernel_size=spec.kernel_size,
        exp_ratio=spec.expansion,
        **_stride(stride),
        act_layer=nn.SiLU,
        **squeeze,
    )


def fused_mbconv(spec: FusedMBConvSpec, in_width: int, out_width: int, stride: int, in_size: int) -> Constructor:
    """Return an inverted bottleneck that expands with its spatial convolution (arXiv 2104.00298, figure 2)."""
    return call(
        EdgeResidual,
        in_width,
        out_width,
        exp_kernel_size=spec.kernel_size,
        exp_ratio=spec.expansion,
        **_stride(stride),
        act_layer=nn.SiLU,
    )


def convnext(spec: ConvNeXtSpec, in_width: int, out_width: int, stride: int, in_size: int) -> Constructor:
    """Return a ConvNeXt block (arXiv 2201.03545, figure 4), after a convolution where width or stride change."""
    inner_width(out_width, spec.expansion, "expansion")
    block = call(
        ConvNeXtBlock,
        out_width,
        kernel_size=spec.kernel_size,
        mlp_ratio=spec.expansion,
        act_layer=nn.SiLU,
        ls_init_value=None,  # layer scale starts at 1e-6: in a short training the block would stay the identity
    )
    return reshaped(block, in_width, out_width, stride)


def uib(spec: UIBSpec, in_width: int, out_width: int, stride: int, in_size: int) -> Constructor:
    """Return a universal inverted bottleneck (arXiv 2404.10518); without a depthwise convolution it cannot stride."""
    has_depthwise = bool(spec.start_kernel_size or spec.mid_kernel_size)
    block = call(
        UniversalInvertedResidual,
        in_width if has_depthwise else out_width,
        out_width,
        dw_kernel_size_start=spec.start_kernel_size,
        dw_kernel_size_mid=spec.mid_kernel_size,
        exp_ratio=spec.expansion,
        **(_stride(stride) if has_depthwise else {}),
        act_layer=nn.SiLU,
        layer_scale_init_value=None,  # it would start at 1e-5: see convnext
    )
    return block if has_depthwise else reshaped(block, in_width, out_width, stride)


def conv_norm_act(in_width: int, out_width: int, kernel_size: int, stride: int = 1) -> Constructor:
    """Return a convolution, batch norm and SiLU; padding is half the kernel."""
    # timm pads by half of (kernel + stride - 2): for strides above 2 more than half the kernel, so a position too many.
    padding = {"padding": kernel_size // 2} if stride > 2 else {}
    options = {"kernel_size": kernel_size, **_stride(stride), **padding}
    return call(ConvNormAct, in_width, out_width, **options, act_layer=nn.SiLU)


def reshaped(block: Constructor, in_width: int, out_width: int, stride: int) -> Constructor:
    """Return a block that cannot change its input's shape behind a 3x3 convolution that does, where it must change."""
    if stride == 1 and in_width == out_width:
        return block
    return sequence(conv_norm_act(in_width, out_width, kernel_size=3, stride=stride), block)


def strided(size: int, stride: int) -> int:
    """Return ceil(size / stride): the positions that a strided convolution leaves."""
    return -(-size // stride)


def inner_width(width: int, ratio: float, name: str) -> int:
    """Return the inner width of a two-layer perceptron, as timm rounds it.

    Raises:
        ArchitectureError: if nothing is left of it.
    """
    inner = int(width * ratio)
    if inner == 0:
        raise ArchitectureError(
            f"{name} {ratio} of width {width} leaves no inner width; choose at least {1 / width:.3g}"
        )
    return inner


def _stride(stride: int) -> dict[str, int]:
    """Return the keyword of a stride, where it is not the default: a written network is easier to read without it."""
    return {} if stride == 1 else {"stride": stride}
