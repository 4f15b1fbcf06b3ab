"""Weights that a training begins with instead of new ones: those of a file, wherever name and shape fit.

What fits is copied, the rest stays as it was drawn; how much was copied is recorded with the training, since a network
of which little fits is nearly one from scratch.
"""

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from timm.models import load_state_dict
from torch import nn

from ecoNAS.errors import RunFolderError


def fill_from(network: nn.Module, path: Path) -> float:
    """Fill a network with weights of a file that fit; return the share of its numbers that were filled.

    Args:
        network: With new weights.
        path: A .safetensors file, or a checkpoint of torch or timm that holds tensors alone.

    Raises:
        RunFolderError: if the file is missing or no such file.
    """
    held = read_weights(path)
    own = network.state_dict()
    fitting = {name: held[name] for name, tensor in own.items() if name in held and held[name].shape == tensor.shape}
    network.load_state_dict(fitting, strict=False)
    num_filled, num_all = (sum(tensor.numel() for tensor in state.values()) for state in (fitting, own))
    return float(num_filled / num_all)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file by name; no code in it is run.

    Raises:
        RunFolderError: if the file is missing or holds anything else.
    """
    if not path.exists():
        raise RunFolderError(f"{path}: no such file of weights")
    try:
        state = load_state_dict(str(path), weights_only=True)
    except (OSError, RuntimeError, KeyError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise RunFolderError(
            f"{path} holds no weights that can be read safely ({reason}); give a .safetensors file, or a checkpoint of "
            "torch that holds tensors alone"
        ) from None
    return {name: tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}
