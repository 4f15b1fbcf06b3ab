"""Blocks of several branches in training that are one convolution each when they are deployed.

Parallel convolutions and batch norms add up to one convolution once the statistics are fixed (RepVGG, arXiv
2101.03697). The training form is built here; `fused` makes the other one of it.
"""

from timm.models.fastvit import MobileOneBlock, RepMixerBlock
from torch import nn

from ecoNAS.block_specs import MobileOneSpec, RepMixerSpec
from ecoNAS.models.constructor import Constructor, call, sequence
from ecoNAS.models.conv_blocks import inner_width, reshaped


def mobileone(spec: MobileOneSpec, in_width: int, out_width: int, stride: int, in_size: int) -> Constructor:
    """Return a depthwise and a pointwise convolution, each with its branches (arXiv 2206.04040, figure 3)."""
    branches = {"num_conv_branches": spec.num_branches, "act_layer": nn.SiLU}
    return sequence(
        call(MobileOneBlock, in_width, in_width, spec.kernel_size, stride=stride, group_size=1, **branches),
        call(MobileOneBlock, in_width, out_width, 1, **branches),
    )


def repmixer(spec: RepMixerSpec, in_width: int, out_width: int, stride: int, in_size: int) -> Constructor:
    """Return FastViT's block (arXiv 2303.14189, figure 2), after a convolution where width or stride change."""
    inner_width(out_width, spec.expansion, "expansion")
    block = call(
        RepMixerBlock,
        out_width,
        kernel_size=spec.kernel_size,
        mlp_ratio=spec.expansion,
        act_layer=nn.SiLU,
        layer_scale_init_value=None,  # it would start at 1e-5: in a short training the block would stay the identity
    )
    return reshaped(block, in_width, out_width, stride)
