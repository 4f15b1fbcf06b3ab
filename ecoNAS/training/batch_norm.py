"""Running statistics of batch norm that keep up with a short training.

At torch's momentum of 0.1, the statistics that a network starts with still weigh 19 % after 16 updates, which is an
epoch of the digits: three hybrids read 0.10, 0.10 and 0.35 of the validation images after it, where up-to-date
statistics give 0.86 to all of them. A rung would have thrown them out for that.
"""

from typing import Final

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

MAX_START_SHARE: Final = 0.01


def quicken_batch_norm(network: nn.Module, updates_per_epoch: int) -> None:
    """Raise the momentum of each batch norm until its start weighs 1 % at most after one epoch.

    Longer epochs (44 updates and more at a momentum of 0.1) change nothing. After n updates the start weighs
    (1 - momentum)^n.
    """
    momentum = 1 - MAX_START_SHARE ** (1 / updates_per_epoch)
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.momentum is not None:
            module.momentum = max(module.momentum, momentum)
