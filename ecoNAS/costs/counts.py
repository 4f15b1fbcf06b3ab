"""Exact costs of a network: parameters, MACs and activation memory, without data and without a device.

A network is a row of parts, and what a part costs depends on nothing but its spec and the shape that enters it. So a
`CostTable` counts each part once and adds up; thousands of candidates are screened in well under a second. A ready
model of timm is one part. `count_network` counts a whole network in one go and must agree. Bounds on costs are decided
by `constraints`.
"""

import warnings
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

with warnings.catch_warnings():
    # `import fvcore.nn` uses torch.jit.script, which torch deprecates.
    warnings.simplefilter("ignore")
    from fvcore.nn.jit_analysis import JitModelAnalysis

from ecoNAS.architecture import AnyArchitecture, Problem, ReadyArchitecture
from ecoNAS.costs.operators import MAC_OPERATORS, is_mac_free
from ecoNAS.errors import EcoNASError
from ecoNAS.models.baseline import UNFIT, build_baseline, unfit_baseline
from ecoNAS.models.constructor import Constructor
from ecoNAS.models.dry_run import dry_run
from ecoNAS.models.fused import fused
from ecoNAS.models.plan import stage_places
from ecoNAS.models.registry import block
from ecoNAS.models.stem_head import head, stem
from ecoNAS.records import Costs

FLOAT_BYTES = 4

Form = Literal["training", "fused"]

_Shape = tuple[int, ...]  # without the batch


class UncountedOperatorError(EcoNASError):
    """A network uses an operator of which it is not known whether it does multiply-adds."""


class CostTable:
    """The costs of every architecture for one problem; each part is counted once and remembered.

    Args:
        problem: What all networks fit.
        form: That in which they are counted; `fused` is what is deployed, `training` what is trained and exported.
    """

    def __init__(self, problem: Problem, form: Form = "training") -> None:
        self.problem, self._form = problem, form
        self._parts: dict[Hashable, Costs] = {}
        self._modules: dict[tuple[Constructor, _Shape], _Counted] = {}

    def costs(self, architecture: AnyArchitecture, resolution: int | None = None) -> Costs:
        """Return the exact costs for one image.

        Args:
            architecture: Of the network.
            resolution: Height and width of the image in pixels; None for those of the problem.

        Raises:
            ArchitectureError: if a block is of an unknown kind or cannot have the width of its stage; if timm knows no
                such model, or it cannot read such images.
            UncountedOperatorError: if a block or model uses an operator that nobody has looked at.
        """
        architecture.check()
        problem = self.problem.at(resolution)
        if isinstance(architecture, ReadyArchitecture):
            return self._ready(architecture.timm, problem)
        parts = [(self._part(problem.input_shape(1)[1:], stem, architecture.stem, problem.input_channels), 1)]
        for place in stage_places(architecture, problem):
            spec, width, size = place.spec, place.spec.width, place.size
            in_shape = (place.in_width, place.in_size, place.in_size)
            first = (spec.block, place.in_width, width, spec.stride, place.in_size)
            parts.append((self._part(in_shape, block, *first), 1))
            if spec.depth > 1:
                rest = self._part((width, size, size), block, spec.block, width, width, 1, size)
                parts.append((rest, spec.depth - 1))
        parts.append((self._part((width, size, size), head, architecture.head, width, problem.num_classes), 1))
        return _sum(parts)

    def _ready(self, timm_name: str, problem: Problem) -> Costs:
        """Return the costs of a ready model, which is counted as a whole."""
        key = (baseline_costs, timm_name, problem)
        if key not in self._parts:
            self._parts[key] = baseline_costs(timm_name, problem, self._form)
        return self._parts[key]

    def _part(self, in_shape: _Shape, function: Callable[..., Constructor], *arguments: Hashable) -> Costs:
        """Return the costs of the module that `function` makes of `arguments`, for one input of `in_shape`."""
        key = (in_shape, function, arguments)
        found = self._parts.get(key)
        if found is None:
            found = self._parts[key] = self._count(function(*arguments), in_shape).costs
        return found

    def _count(self, constructor: Constructor, in_shape: _Shape) -> "_Counted":
        """Count a module, or each module of a sequence: the convolution before a block often serves many blocks."""
        if constructor.target is nn.Sequential and self._form == "training":  # fusion may join two parts
            parts, shape = [], in_shape
            for part in constructor.args:
                assert isinstance(part, Constructor)
                counted = self._count(part, shape)
                parts.append((counted.costs, 1))
                shape = counted.out_shape
            return _Counted(_sum(parts), shape)
        key = (constructor, in_shape)
        if key not in self._modules:
            with torch.random.fork_rng(devices=[]):
                module = constructor.build()
            self._modules[key] = _count(fused(module) if self._form == "fused" else module, in_shape)
        return self._modules[key]


def count_network(network: nn.Module, problem: Problem) -> Costs:
    """Return the costs of a whole network for one image; its mode and its batch-norm statistics stay as they are.

    Raises:
        UncountedOperatorError: if the network uses an operator that nobody has looked at.
    """
    return _count(network, problem.input_shape(batch=1)[1:]).costs


def baseline_costs(timm_name: str, problem: Problem, form: Form = "training") -> Costs:
    """Return the costs of a ready timm model in one of its forms, never pretrained, for one image of `problem`.

    Raises:
        ArchitectureError: if timm knows no such model, or it cannot read such images.
        UncountedOperatorError: if the model uses an operator that nobody has looked at.
    """
    with torch.random.fork_rng(devices=[]):
        network = build_baseline(timm_name, problem)
    try:
        return count_network(fused(network) if form == "fused" else network, problem)
    except UNFIT as error:
        raise unfit_baseline(timm_name, problem, error) from None


@dataclass(frozen=True, slots=True)
class _Counted:
    costs: Costs
    out_shape: _Shape


def _sum(parts: list[tuple[Costs, int]]) -> Costs:
    """Return the sum of costs, each taken so many times; plain integers, since this is what screening waits for."""
    return Costs(
        params=sum(times * part.params for part, times in parts),
        macs=sum(times * part.macs for part, times in parts),
        activation_memory_bytes=sum(times * part.activation_memory_bytes for part, times in parts),
    )


def _count(module: nn.Module, in_shape: _Shape) -> _Counted:
    """Count `module` on one input of `in_shape`."""
    first = next(module.parameters(), torch.empty(0))
    x = torch.zeros((1, *in_shape), device=first.device, dtype=first.dtype)
    with dry_run(module):
        activations, out_shape = _count_activations(module, x)
        costs = Costs(
            params=sum(parameter.numel() for parameter in module.parameters()),
            macs=_count_macs(module, x),
            activation_memory_bytes=FLOAT_BYTES * activations,
        )
    return _Counted(costs, out_shape)


def _count_macs(module: nn.Module, x: torch.Tensor) -> int:
    # Not fvcore's FlopCountAnalysis: its handlers of norms stay on even where they are set to None.
    analysis = JitModelAnalysis(module, x).set_op_handle(**MAC_OPERATORS)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    macs = int(analysis.total())
    unknown = sorted(name for name in analysis.unsupported_ops() if not is_mac_free(name))
    if unknown:
        raise UncountedOperatorError(
            f"cannot count the MACs of operator {', '.join(unknown)} in {type(module).__name__}; list it in "
            "ecoNAS/costs/operators.py, with a handler or as free of MACs"
        )
    return macs


def _count_activations(module: nn.Module, x: torch.Tensor) -> tuple[int, _Shape]:
    """Return how many numbers the layers of `module` put out, each tensor once, and the shape of its own output.

    A layer is a module without children or with weights of its own (timm's norm with its activation inside). One that
    hands its input on, or overwrites it in place, needs no memory and adds nothing.
    """
    sizes: dict[int, int] = {}
    kept = []  # as long as a tensor lives, no other can have its address

    def note(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:  # Any: modules take and return what they like
        taken = {_address(given) for given in inputs if isinstance(given, torch.Tensor)}
        for made in output if isinstance(output, tuple | list) else (output,):
            if isinstance(made, torch.Tensor) and _address(made) not in taken:
                kept.append(made)
                sizes.setdefault(_address(made), made.numel())

    layers = [m for m in module.modules() if not list(m.children()) or list(m.parameters(recurse=False))]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        out_shape = tuple(module(x).shape[1:])
    finally:
        for hook in hooks:
            hook.remove()
    return sum(sizes.values()), out_shape


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
