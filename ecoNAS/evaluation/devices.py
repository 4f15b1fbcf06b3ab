"""Which device a network runs on, by an identity that does not move: for choosing its meter and its lane."""

from pathlib import Path

import torch

from ecoNAS.energy.meters.rapl import host_identity


def gpu_uuid(device: str) -> str | None:
    """Return the UUID of the GPU that `device` means in this process, as NVML writes it; None for the CPU."""
    if device == "cpu":
        return None
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"


def compute_device(device: str, root: Path) -> str:
    """Return the identity of what is computed on: the host's CPU, and the GPU with it if there is one.

    Args:
        device: "cpu" or "cuda".
        root: Where `etc` and `proc` lie.
    """
    host, uuid = host_identity(root), gpu_uuid(device)
    return host if uuid is None else f"{uuid}+{host}"
