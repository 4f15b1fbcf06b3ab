"""Zero-cost proxies: what one mini-batch says of an untrained network.

They cost a forward pass, at most a backward pass too, and nothing is learned. How well they foretell accuracy differs
from space to space (White et al., "A deeper look at zero-cost proxies for lightweight NAS", ICLR Blog Track 2022), so
the sampler takes them as inputs of its surrogate and not as an order.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ecoNAS.architecture import derive_seed
from ecoNAS.data.datasets import DataSet
from ecoNAS.data.transforms import Normaliser

BATCH: Final = 64
FLOOR: Final = 1e-6  # added to eigenvalues, so that images which a network cannot tell apart leave it finite
ACTIVATIONS: Final = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.LeakyReLU, nn.ELU, nn.Mish, nn.Tanh)

Proxy = Callable[[nn.Module, Tensor, Tensor], float]


def naswot(network: nn.Module, images_bchw: Tensor, labels_b: Tensor) -> float:
    """Return how well activations tell the images of a batch apart, (no unit): more is better.

    The logarithm of the determinant of the kernel of their binary codes, over the number of images; a code is the signs
    of what goes into the activations (Mellor et al., "Neural architecture search without training", ICML 2021).
    """
    kernel = torch.zeros(len(images_bchw), len(images_bchw), dtype=torch.float64)
    num_units = 0

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal kernel, num_units
        codes = (inputs[0].detach().flatten(1) > 0).double()
        kernel += codes @ codes.T + (1 - codes) @ (1 - codes).T
        num_units += codes.shape[1]

    hooks = [module.register_forward_hook(add) for module in network.modules() if isinstance(module, ACTIVATIONS)]
    network.train()
    with torch.no_grad():
        network(images_bchw)
    for hook in hooks:
        hook.remove()
    if not num_units:
        return 0.0
    kernel = kernel / num_units + FLOOR * torch.eye(len(kernel), dtype=torch.float64)
    return float(torch.linalg.slogdet(kernel).logabsdet) / len(kernel)


def snip(network: nn.Module, images_bchw: Tensor, labels_b: Tensor) -> float:
    """Return the logarithm of how much the loss depends on all weights together, (no unit): more is better.

    The sum of |weight x gradient| (Lee et al., "SNIP: single-shot network pruning based on connection sensitivity",
    ICLR 2019), as a score of whole networks (Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021).
    """
    network.train()
    weights = [weight for weight in network.parameters() if weight.dim() > 1]
    loss = functional.cross_entropy(network(images_bchw), labels_b)
    gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    pairs = zip(weights, gradients, strict=True)
    total = sum(float((weight.detach() * gradient).abs().sum()) for weight, gradient in pairs if gradient is not None)
    return math.log(max(total, 1e-12))


PROXIES: Final[Mapping[str, Proxy]] = {"naswot": naswot, "snip": snip}


def mini_batch(data: DataSet, seed: int) -> tuple[Tensor, Tensor]:
    """Return images (B, C, H, W) of the training split, as networks see them, and their labels (B,).

    Args:
        data: Its training split.
        seed: Decides which images.
    """
    rng = np.random.default_rng(derive_seed(seed, "proxies"))
    places = rng.permutation(len(data.train.labels))[:BATCH]
    normaliser = Normaliser(data.normalisation, data.problem().resolution, "cpu")
    return normaliser(torch.tensor(data.train.images[places])), torch.tensor(data.train.labels[places])


def score(network: nn.Module, batch: tuple[Tensor, Tensor], names: Sequence[str]) -> dict[str, float]:
    """Return proxies of an untrained network, by name; what is not finite counts as 0."""
    found = {name: PROXIES[name](network, *batch) for name in names}
    return {name: value if math.isfinite(value) else 0.0 for name, value in found.items()}
