"""Attention blocks: timm's transformer block on the positions of a feature map of any size, 1x1 included.

The adapter class is copied into exported definitions as it stands, so it may use torch and timm only.
"""

import torch
from timm.models.vision_transformer import Block
from torch import nn

from ecoNAS.architecture import AttentionSpec
from ecoNAS.models.constructor import Constructor, call
from ecoNAS.models.conv_blocks import inner_width, reshaped


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


def attention(spec: AttentionSpec, in_width: int, out_width: int, stride: int) -> Constructor:
    """Return a pre-norm transformer block (arXiv 2010.11929), after a convolution where width or stride change."""
    inner_width(out_width, spec.mlp_ratio, "mlp_ratio")
    block = call(Block, out_width, num_heads=spec.num_heads, mlp_ratio=spec.mlp_ratio, qkv_bias=True)
    return reshaped(call(TokenBlock, out_width, block), in_width, out_width, stride)
