"""A block as a user would bring it, with a helper, a constant and an import of its own."""

import math as maths

import torch
from torch import nn
from torch.nn import functional

LEAST = 2


def narrowed(width: int) -> int:
    return max(LEAST, maths.isqrt(width))


class Bottleneck(nn.Module):
    """Squeezes the width through its square root."""

    def __init__(self, in_width: int, out_width: int, stride: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(in_width, narrowed(in_width), 1, stride=stride)
        self.up = nn.Conv2d(narrowed(in_width), out_width, 1)

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        return self.up(functional.silu(self.down(x_bchw)))  # type: ignore[no-any-return]


class NeedsMore(nn.Module):
    """Cannot be exported: it needs a package that an export may not import."""

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        return sampled(x_bchw)


import hypothesis.strategies as sampled  # noqa: E402  # any package that is neither torch nor timm
