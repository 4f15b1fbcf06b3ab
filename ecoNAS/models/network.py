"""The network of an architecture, held against its planned shapes: stem, stages and head in a row, or a ready model."""

import torch
from torch import nn

from ecoNAS.architecture import AnyArchitecture, Problem, ReadyArchitecture
from ecoNAS.errors import ArchitectureError
from ecoNAS.models.baseline import build_baseline, read_by
from ecoNAS.models.dry_run import dry_run
from ecoNAS.models.plan import Part, plan_network


class Network(nn.Module):
    """Parts in a row: `stem`, `stage1` and so on, `head`; images (B, C, H, W) become class scores (B, K)."""

    def __init__(self, parts: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        """Return logits_bk, before any softmax."""
        x = x_bchw
        for part in self.children():
            x = part(x)
        return x


def build_network(architecture: AnyArchitecture, problem: Problem) -> nn.Module:
    """Return a new network in training mode; its weights are drawn from torch's global generator, which callers seed.

    Raises:
        ArchitectureError: if a block is of an unknown kind, cannot have the width of its stage, or does not make the
            shape that its width and stride ask for; if timm knows no such model, or it cannot read such images.
    """
    if isinstance(architecture, ReadyArchitecture):
        model = build_baseline(architecture.timm, problem)
        read_by(model, architecture.timm, problem)
        return model
    parts = plan_network(architecture, problem)
    network = Network({part.name: part.constructor.build() for part in parts})
    _check_shapes(network, parts, problem)
    return network


def _check_shapes(network: Network, parts: list[Part], problem: Problem) -> None:
    """Send one empty image through; a block may accept a stride and ignore it (timm's MobileAttention does)."""
    with dry_run(network):
        x = torch.zeros(problem.input_shape(batch=1))
        for part, module in zip(parts, network.children(), strict=True):
            before, x = x, module(x)
            if x.shape[1:] != part.out_shape:
                raise ArchitectureError(
                    f"{part.name} ({part.note}) makes {tuple(x.shape[1:])} of {tuple(before.shape[1:])}, not "
                    f"{part.out_shape}; its block must change width and stride itself or behind a convolution"
                )
