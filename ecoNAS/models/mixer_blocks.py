"""The block of perceptrons alone, on the positions of a feature map of one size.

The adapter class is copied into exported definitions as it stands, so it may use torch and timm only.
"""

import torch
from timm.models.mlp_mixer import MixerBlock
from torch import nn

from ecoNAS.block_specs import MixerSpec
from ecoNAS.models.constructor import Constructor, call
from ecoNAS.models.conv_blocks import inner_width, reshaped, strided


class PositionMixer(nn.Module):
    """A block over tokens on a feature map: every position is a token, and the block itself tells them apart."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        """Return a feature map of the same shape."""
        tokens_bnc: torch.Tensor = self.block(x_bchw.flatten(2).transpose(1, 2))
        return tokens_bnc.transpose(1, 2).reshape(x_bchw.shape)


def mixer(spec: MixerSpec, in_width: int, out_width: int, stride: int, in_size: int) -> Constructor:
    """Return a mixer block (arXiv 2105.01601, figure 1), after a convolution where width or stride change.

    The weights of its first perceptron belong to positions, so the block reads maps of one size only.
    """
    inner_width(out_width, spec.token_ratio, "token_ratio")
    inner_width(out_width, spec.mlp_ratio, "mlp_ratio")
    block = call(
        MixerBlock,
        out_width,
        strided(in_size, stride) ** 2,
        mlp_ratio=(spec.token_ratio, spec.mlp_ratio),
        act_layer=nn.SiLU,
    )
    return reshaped(call(PositionMixer, block), in_width, out_width, stride)
