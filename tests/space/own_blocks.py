"""Blocks as users bring them: one that keeps every promise, and others that each break one."""

from typing import Literal

import torch
from torch import nn

from ecoNAS.block_kinds import UserBlock
from ecoNAS.block_specs import BlockSpec
from ecoNAS.models.constructor import Constructor, call


class GhostSpec(BlockSpec):
    ratio: Literal[2, 4]


class Ghost(nn.Module):
    """Half of the channels by a convolution, the rest by cheap ones from these (GhostNet, arXiv 1911.11907)."""

    def __init__(self, in_width: int, out_width: int, ratio: int, stride: int) -> None:
        super().__init__()
        own = -(-out_width // ratio)
        self.primary = nn.Sequential(
            nn.Conv2d(in_width, own, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(own), nn.SiLU()
        )
        self.cheap = nn.Conv2d(own, own * (ratio - 1), 3, padding=1, groups=own)
        self.out_width = out_width

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        y_bchw = self.primary(x_bchw)
        return torch.cat([y_bchw, self.cheap(y_bchw)], dim=1)[:, : self.out_width]


def make_ghost(spec: GhostSpec, in_width: int, out_width: int, stride: int, in_size: int) -> Constructor:
    return call(Ghost, in_width, out_width, ratio=spec.ratio, stride=stride)


ghost = UserBlock(GhostSpec, make_ghost)


class PlainSpec(BlockSpec):
    pass


class Broken(nn.Module):
    """A convolution that breaks one promise."""

    def __init__(self, in_width: int, out_width: int, stride: int, mistake: str) -> None:
        super().__init__()
        self.mistake = mistake
        self.conv = nn.Conv2d(in_width, out_width, 3, stride=stride, padding=1)
        self.unused = nn.Linear(2, 2) if mistake == "unused" else nn.Identity()
        self.calls = 0

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        if self.mistake == "too small" and x_bchw.shape[-1] < 3:
            raise RuntimeError("kernel size can't be greater\nthan actual input size")
        x_bchw = x_bchw.detach() if self.mistake == "detached" else x_bchw
        y_bchw = self.conv(x_bchw)
        if self.mistake == "batch":
            y_bchw = y_bchw - y_bchw.mean(dim=0, keepdim=True)
        if self.mistake == "forgets":
            self.calls += self.training
            y_bchw = y_bchw * (1 + self.calls)
        if self.mistake == "uncounted":
            y_bchw = y_bchw + torch.fft.fft2(y_bchw).abs()
        return y_bchw

    def reparameterize(self) -> None:
        if self.mistake == "fused":
            nn.init.zeros_(self.conv.weight)


def breaking(mistake: str) -> UserBlock:
    def make(spec: PlainSpec, in_width: int, out_width: int, stride: int, in_size: int) -> Constructor:
        return call(Broken, in_width, out_width, 1 if mistake == "stride" else stride, mistake)

    return UserBlock(PlainSpec, make)


stride, too_small, unused, detached = (breaking(name) for name in ("stride", "too small", "unused", "detached"))
batch, forgets, uncounted, fused = (breaking(name) for name in ("batch", "forgets", "uncounted", "fused"))
no_constructor = UserBlock(PlainSpec, lambda spec, in_width, out_width, stride, in_size: nn.Identity())  # type: ignore[arg-type]
anew = UserBlock(PlainSpec, lambda spec, i, o, s, n: call(Broken, i, o, s, mistake=object()))
no_block = PlainSpec
no_spec = UserBlock(dict, make_ghost)  # type: ignore[arg-type]
