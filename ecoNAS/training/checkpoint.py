"""Weights on disk as safetensors: whole or not at all, and no pickle, so that a file from elsewhere can run no code."""

from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from ecoNAS.errors import RunFolderError
from ecoNAS.run_folder import write_atomically

WEIGHTS_VERSION: Final = "1"
_VERSION_KEY: Final = "econas_weights"


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
    state = _read(path)
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
