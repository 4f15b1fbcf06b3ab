"""The form in which a network is deployed: branches added up, batch norm folded into the convolutions before it.

Both are exact once the statistics of batch norm are fixed, up to rounding: what several linear maps add up to is one
linear map (RepVGG, arXiv 2101.03697, section 3.3). timm's blocks fuse their own branches. Which convolution stands
before which norm is read from a symbolic trace (torch.fx); a module that cannot be traced is left as it is, and what
stands in it is looked at part by part. That the result computes the same is not assumed but checked.
"""

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Final

import torch
from timm.layers.norm_act import BatchNormAct2d
from timm.models._features_fx import is_notrace_module
from timm.utils.model import reparameterize_model
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ecoNAS.errors import ArchitectureError
from ecoNAS.models.dry_run import dry_run

# Of the largest output. Rounding in another order made up to 1e-6 in timm's networks of a hundred layers.
RELATIVE_TOLERANCE: Final = 1e-4


def fused(network: nn.Module) -> nn.Module:
    """Return the deployment form of a network, in evaluation mode; the network itself stays as it is."""
    whole = nn.Sequential(copy.deepcopy(network)).eval()  # timm converts children only, so the network becomes one
    with torch.no_grad():
        reparameterize_model(whole, inplace=True)
        places = Counter(id(module) for _, module in whole.named_modules(remove_duplicate=False))
        _fold_norms(whole, {key for key, count in places.items() if count > 1})
    deployed: nn.Module = whole[0]
    return deployed


def fused_alike(network: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """Return the deployment form of a network, held against the network on random images.

    Args:
        network: In float32; anything that timm or torch builds.
        shape: Of the images: (batch, channels, height, width).

    Raises:
        ArchitectureError: if the two forms compute different things.
    """
    deployed = fused(network)
    x_bchw = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with dry_run(network), dry_run(deployed):
        expected, found = network(x_bchw), deployed(x_bchw)
    difference = float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-12))
    if not difference <= RELATIVE_TOLERANCE:  # a NaN is not
        raise ArchitectureError(
            f"the fused form of this network computes something else: outputs differ by {difference:.1e} of the "
            f"largest, allowed are {RELATIVE_TOLERANCE:.0e}; choose deployment.form training"
        )
    return deployed


class _Tracer(fx.Tracer):
    """Follows the data into whatever holds a batch norm, and takes everything else as one step."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether the trace does not go into `m`; timm marks those that cannot be traced."""
        return isinstance(m, nn.BatchNorm2d) or not _holds_norm(m) or is_notrace_module(type(m))


def _holds_norm(module: nn.Module) -> bool:
    return any(isinstance(inner, nn.BatchNorm2d) for inner in module.modules())


def _fold_norms(module: nn.Module, shared: set[int]) -> None:
    """Fold every norm in `module` that directly follows a convolution; `shared` modules stand in several places."""
    if isinstance(module, nn.BatchNorm2d) or not _holds_norm(module):
        return
    try:
        graph = None if is_notrace_module(type(module)) else _Tracer().trace(module)
    except Exception:  # what Python does with a traced value may raise anything; its parts may do without
        graph = None
    if graph is None:
        for child in module.children():
            _fold_norms(child, shared)
        return
    for node in graph.nodes:
        if node.op == "call_module":
            _fold_norms(module.get_submodule(str(node.target)), shared)
    for conv_name, norm_name in _pairs(graph):
        conv, norm = module.get_submodule(conv_name), module.get_submodule(norm_name)
        # A child of a convolution may do more with its weights, so that only the plain kinds are folded.
        if type(conv) is not nn.Conv2d or not isinstance(norm, nn.BatchNorm2d) or {id(conv), id(norm)} & shared:
            continue
        if type(norm) not in (nn.BatchNorm2d, BatchNormAct2d) or norm.running_mean is None or norm.running_var is None:
            continue
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        parent, _, name = norm_name.rpartition(".")
        setattr(module.get_submodule(parent), name, _rest(norm))


def _pairs(graph: fx.Graph) -> Iterator[tuple[str, str]]:
    """Yield the names of two modules of which the second alone reads what the first makes; each is called once."""
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        if node.op != "call_module" or not node.args or not isinstance(node.args[0], fx.Node):
            continue
        before = node.args[0]
        if before.op == "call_module" and len(before.users) == 1 and calls[node.target] == calls[before.target] == 1:
            yield str(before.target), str(node.target)


def _rest(norm: nn.Module) -> nn.Module:
    """Return what is left of a norm without its arithmetic: timm's holds the activation."""
    return nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()
