"""The optimiser and its schedule: AdamW (arXiv 1711.05101), a linear warm-up, then a cosine to zero (arXiv 1608.03983).

The schedule runs over the whole recipe, so a training that a rung stops early has not cooled down. Other optimisers are
left out until a measurement asks for one.
"""

from typing import Any, Final

from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]  # timm re-exports it silently
from timm.scheduler.cosine_lr import CosineLRScheduler
from torch import nn
from torch.optim import AdamW

from ecoNAS.config import TrainingConfig

MAX_WARMUP_SHARE: Final = 0.3


def build_optimizer(network: nn.Module, recipe: TrainingConfig) -> AdamW:
    """Return AdamW over the trainable weights, without decay of biases, norms and other vectors."""
    groups: list[dict[str, Any]] = param_groups_weight_decay(network, recipe.weight_decay)  # Any: torch's own type
    return AdamW(groups, lr=recipe.lr, fused=True)


def build_schedule(optimizer: AdamW, recipe: TrainingConfig, updates_per_epoch: int) -> CosineLRScheduler:
    """Return the schedule of the learning rate, to be told after each update how many there have been.

    Args:
        optimizer: Gets the rate of the first update at once.
        recipe: Its warm-up takes at most 30 % of the training, so that one of a single epoch learns something.
        updates_per_epoch: At least 1.
    """
    num_updates = recipe.epochs * updates_per_epoch
    warmup = round(min(recipe.warmup_epochs * updates_per_epoch, MAX_WARMUP_SHARE * num_updates))
    return CosineLRScheduler(
        optimizer,
        t_initial=num_updates - warmup,
        warmup_t=warmup,
        warmup_lr_init=recipe.lr / max(warmup, 1),  # not 0, or the first update would change nothing
        warmup_prefix=True,
        t_in_epochs=False,
    )
