"""Randomness that depends on its seed alone, for what torch draws from its global generators: weights and dropout."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch inside the block and give its generators back as they were.

    What is drawn inside then depends on no earlier draw, and nothing outside notices.

    Args:
        seed: Any number from `derive_seed`.
        device: The device that draws, besides the CPU.
    """
    device = torch.device(device)
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(seed)
        yield
