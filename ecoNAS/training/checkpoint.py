"""Weights, and trainings that are to go on, on disk as safetensors.

Whole or not at all, and no pickle, so that a file from elsewhere can run no code. A training draws its order of images,
augmentation and dropout from its seed and epoch, so a checkpoint needs no random state: the epoch says it.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn
from torch.optim import Optimizer

from ecoNAS.errors import ConfigError, RunFolderError
from ecoNAS.run_folder import write_atomically

WEIGHTS_VERSION: Final = "1"
_VERSION_KEY: Final = "econas_weights"
_WEIGHTS: Final = "weights/"
_OPTIMIZER: Final = "optimizer/"
_AVERAGE: Final = "average/"
_SCALARS: Final = "optimizer"


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the weights and buffers of a network, in contiguous layout whatever the network's is.

    Raises:
        RunFolderError: if the file cannot be written.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_atomically(path, save(state, metadata={_VERSION_KEY: WEIGHTS_VERSION}))


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill a network with the weights of a file, on the device where the network lies.

    Raises:
        RunFolderError: if the file is missing, broken, of another version, or belongs to another architecture.
    """
    weights, _ = _read(path)
    _fill(network, weights, path)


def save_checkpoint(network: nn.Module, optimizer: Optimizer, average: nn.Module | None, path: Path) -> None:
    """Write all that a training needs to go on.

    Args:
        network: With its weights.
        optimizer: With its moments.
        average: The network of the averaged weights; None where there is none.
        path: Of the file.

    Raises:
        RunFolderError: if the file cannot be written.
    """
    state = {f"{_WEIGHTS}{name}": tensor for name, tensor in network.state_dict().items()}
    if average is not None:
        state |= {f"{_AVERAGE}{name}": tensor for name, tensor in average.state_dict().items()}
    held, scalars = optimizer.state_dict(), dict[str, dict[str, float]]()
    for place, moments in held["state"].items():
        for key, moment in moments.items():
            if isinstance(moment, torch.Tensor):
                state[f"{_OPTIMIZER}{place}/{key}"] = moment
            else:
                scalars.setdefault(str(place), {})[key] = moment
    # Some of timm's optimisers count their steps in the groups.
    groups = [
        {key: _plain(value) for key, value in group.items() if isinstance(value, int | float | torch.Tensor)}
        for group in held["param_groups"]
    ]
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    metadata = {_VERSION_KEY: WEIGHTS_VERSION, _SCALARS: json.dumps([groups, scalars])}
    write_atomically(path, save(plain, metadata=metadata))


def check_kept(optimizer: Optimizer) -> None:
    """Raise ConfigError unless all that an optimiser remembers can be written to a checkpoint; it takes a step."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            weight.grad = torch.ones_like(weight)
    optimizer.step()
    for moments in optimizer.state_dict()["state"].values():
        if any(not isinstance(moment, torch.Tensor | int | float) for moment in moments.values()):
            name = type(optimizer).__name__
            raise ConfigError(f"{name} remembers what no checkpoint of ours can hold; choose another, such as adamw")


def load_checkpoint(network: nn.Module, optimizer: Optimizer, average: nn.Module | None, path: Path) -> None:
    """Fill a network, its optimiser and the network of its averaged weights with what a training had come to.

    Raises:
        RunFolderError: if the file is missing, broken, of another version, or belongs to another training.
    """
    state, metadata = _read(path)
    for module, prefix in ((network, _WEIGHTS), (average, _AVERAGE)):
        if module is not None:
            _fill(module, {name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)}, path)
    groups, scalars = json.loads(metadata[_SCALARS])
    moments = defaultdict[int, dict[str, torch.Tensor | float]](dict)
    for place, values in scalars.items():
        moments[int(place)] |= values
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for name, tensor in state.items():
        if name.startswith(_OPTIMIZER):
            place, _, key = name.removeprefix(_OPTIMIZER).partition("/")
            like = weights[int(place)]  # moments lie in memory as their weights do
            moments[int(place)][key] = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
    held = optimizer.state_dict()["param_groups"]
    settings = [
        {**own, **{key: _restored(value) for key, value in group.items()}}
        for group, own in zip(groups, held, strict=True)
    ]
    optimizer.load_state_dict({"state": dict(moments), "param_groups": settings})


def _plain(value: float | torch.Tensor) -> float | list[float]:
    """Return a number as JSON: that of a tensor in a list."""
    return [float(value)] if isinstance(value, torch.Tensor) else value


def _restored(value: float | list[float]) -> float | torch.Tensor:
    return torch.tensor(value[0]) if isinstance(value, list) else value


def _fill(network: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split()[:30])
        raise RunFolderError(f"{path} does not fit this architecture: {reason} ...") from None


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return tensors and metadata."""
    if not path.exists():
        raise RunFolderError(f"{path}: no such weights; a run with `keep_weights: front` keeps those of its front only")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            version = metadata.get(_VERSION_KEY)
            if version != WEIGHTS_VERSION:
                raise RunFolderError(f"{path} holds weights of version {version}; this ecoNAS reads {WEIGHTS_VERSION}")
            return {name: file.get_tensor(name) for name in list(file.keys())}, metadata
    except (OSError, SafetensorError) as error:
        raise RunFolderError(f"{path} is not a safetensors file: {error}") from None
