"""Weights, and trainings that are to go on, on disk as safetensors.

Whole or not at all, and no pickle, so that a file from elsewhere can run no code. A training draws its order of images,
augmentation and dropout from its seed and epoch, so a checkpoint needs no random state: the epoch says it.
"""

from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn
from torch.optim import Optimizer

from ecoNAS.errors import RunFolderError
from ecoNAS.run_folder import write_atomically

WEIGHTS_VERSION: Final = "1"
_VERSION_KEY: Final = "econas_weights"
_WEIGHTS: Final = "weights/"
_OPTIMIZER: Final = "optimizer/"


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
    _fill(network, _read(path), path)


def save_checkpoint(network: nn.Module, optimizer: Optimizer, path: Path) -> None:
    """Write all that a training needs to go on.

    Raises:
        RunFolderError: if the file cannot be written.
    """
    names = {id(weight): name for name, weight in network.named_parameters()}
    state = {f"{_WEIGHTS}{name}": tensor for name, tensor in network.state_dict().items()}
    for weight, moments in optimizer.state.items():
        state |= {f"{_OPTIMIZER}{key}/{names[id(weight)]}": tensor for key, tensor in moments.items()}
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    write_atomically(path, save(plain, metadata={_VERSION_KEY: WEIGHTS_VERSION}))


def load_checkpoint(network: nn.Module, optimizer: Optimizer, path: Path) -> None:
    """Fill a network and its optimiser with what a training had come to.

    Raises:
        RunFolderError: if the file is missing, broken, of another version, or belongs to another training.
    """
    state = _read(path)
    _fill(network, {name.removeprefix(_WEIGHTS): state[name] for name in state if name.startswith(_WEIGHTS)}, path)
    weights = dict(network.named_parameters())
    for name, tensor in state.items():
        if name.startswith(_OPTIMIZER):
            key, _, of = name.removeprefix(_OPTIMIZER).partition("/")
            weight = weights[of]
            # A fused optimiser counts its steps on the device; moments lie where and as their weights do.
            is_count = tensor.shape != weight.shape
            optimizer.state[weight][key] = (
                tensor.to(weight.device) if is_count else torch.empty_like(weight).copy_(tensor)
            )


def _fill(network: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split()[:30])
        raise RunFolderError(f"{path} does not fit this architecture: {reason} ...") from None


def _read(path: Path) -> dict[str, torch.Tensor]:
    if not path.exists():
        raise RunFolderError(f"{path}: no such weights; a run with `keep_weights: front` keeps those of its front only")
    try:
        with safe_open(path, framework="pt") as file:
            version = (file.metadata() or {}).get(_VERSION_KEY)
            if version != WEIGHTS_VERSION:
                raise RunFolderError(f"{path} holds weights of version {version}; this ecoNAS reads {WEIGHTS_VERSION}")
            return {name: file.get_tensor(name) for name in list(file.keys())}
    except (OSError, SafetensorError) as error:
        raise RunFolderError(f"{path} is not a safetensors file: {error}") from None
