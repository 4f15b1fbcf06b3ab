"""Running a network to learn about it: for its shapes, its costs or its outputs, without leaving a trace."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def dry_run(module: nn.Module) -> Iterator[None]:
    """Within: evaluation mode, no gradients, one thread. Afterwards every submodule is in the mode that it had.

    In training mode a single image would change the statistics of batch norm. Several threads do not help tiny networks
    and wait for each other where others use the cores: 0.88 s instead of 0.02 s for one block, on two busy cores.
    """
    modes = [(inner, inner.training) for inner in module.modules()]
    threads = torch.get_num_threads()
    module.eval()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_num_threads(threads)
        for inner, mode in modes:
            inner.training = mode
