"""Attention blocks: timm's on the positions of a feature map of any size, 1x1 included.

The adapter class is copied into exported definitions as it stands, so it may use torch and timm only.
"""

from functools import partial

import torch
from timm.layers.pos_embed_rel import RelPosBias
from timm.models._efficientnet_blocks import MobileAttention, UniversalInvertedResidual
from timm.models.efficientvit_mit import EfficientVitBlock
from timm.models.maxxvit import MaxxVitTransformerCfg, TransformerBlock2d
from timm.models.vision_transformer import Block
from torch import nn

from ecoNAS.block_specs import AttentionSpec, LinearAttentionSpec, MobileAttentionSpec, RelativeAttentionSpec
from ecoNAS.models.constructor import Constructor, call, sequence
from ecoNAS.models.conv_blocks import inner_width, reshaped, strided


class TokenBlock(nn.Module):
    """A transformer block on a feature map: every position is a token.

    Attention alone cannot tell positions apart. A depthwise 3x3 convolution, added to its input, tells each token
    where it is from its neighbours and from the zeros around the map (conditional position encoding, arXiv 2102.10882),
    so that one set of weights serves every resolution.
    """

    def __init__(self, width: int, block: nn.Module) -> None:
        super().__init__()
        self.position = nn.Conv2d(width, width, kernel_size=3, padding=1, groups=width)
        self.block = block

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        """Return a feature map of the same shape."""
        x_bchw = x_bchw + self.position(x_bchw)
        tokens_bnc: torch.Tensor = self.block(x_bchw.flatten(2).transpose(1, 2))
        return tokens_bnc.transpose(1, 2).reshape(x_bchw.shape)


def attention(spec: AttentionSpec, in_width: int, out_width: int, stride: int, in_size: int) -> Constructor:
    """Return a pre-norm transformer block (arXiv 2010.11929), after a convolution where width or stride change."""
    inner_width(out_width, spec.mlp_ratio, "mlp_ratio")
    block = call(Block, out_width, num_heads=spec.num_heads, mlp_ratio=spec.mlp_ratio, qkv_bias=True)
    return reshaped(call(TokenBlock, out_width, block), in_width, out_width, stride)


def relative_attention(
    spec: RelativeAttentionSpec, in_width: int, out_width: int, stride: int, in_size: int
) -> Constructor:
    """Return a transformer block with a learned bias for each offset between two positions (arXiv 2106.04803, eq. 3).

    The table of biases has (2 n - 1)^2 entries a head for n x n positions, so the block reads maps of that size only.
    timm's own stride pools, and drops the last row of an odd size: a convolution in front strides instead.
    """
    inner_width(out_width, spec.mlp_ratio, "mlp_ratio")
    size = strided(in_size, stride)
    block = call(
        TransformerBlock2d,
        out_width,
        out_width,
        rel_pos_cls=call(partial, RelPosBias, window_size=(size, size)),
        cfg=call(
            MaxxVitTransformerCfg,
            dim_head=out_width // spec.num_heads,
            expand_ratio=spec.mlp_ratio,
            act_layer="silu",
        ),
    )
    return reshaped(block, in_width, out_width, stride)


def mobile_attention(
    spec: MobileAttentionSpec, in_width: int, out_width: int, stride: int, in_size: int
) -> Constructor:
    """Return multi-query attention (arXiv 2404.10518, section 4) and the perceptron form of the inverted bottleneck.

    timm's block ignores a stride and drops its skip where the width changes: a convolution in front does both. Its
    position encoding is a depthwise convolution added to its input, as in `TokenBlock`.
    """
    query = call(
        MobileAttention,
        out_width,
        out_width,
        num_heads=spec.num_heads,
        key_dim=spec.key_width,
        value_dim=spec.key_width,
        use_multi_query=True,
        kv_stride=spec.kv_stride,
        act_layer=nn.SiLU,
        layer_scale_init_value=None,  # it would start at 1e-5: in a short training the block would stay the identity
        use_cpe=True,
    )
    perceptron = call(
        UniversalInvertedResidual,
        out_width,
        out_width,
        dw_kernel_size_mid=0,
        exp_ratio=spec.expansion,
        act_layer=nn.SiLU,
        layer_scale_init_value=None,
    )
    return reshaped(sequence(query, perceptron), in_width, out_width, stride)


def linear_attention(
    spec: LinearAttentionSpec, in_width: int, out_width: int, stride: int, in_size: int
) -> Constructor:
    """Return EfficientViT's block (arXiv 2205.14756, figure 2), after a convolution where width or stride change."""
    inner_width(out_width, spec.expansion, "expansion")
    block = call(EfficientVitBlock, out_width, head_dim=spec.head_width, expand_ratio=spec.expansion, act_layer=nn.SiLU)
    return reshaped(block, in_width, out_width, stride)
