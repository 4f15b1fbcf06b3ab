"""The optimiser and its schedule: AdamW (arXiv 1711.05101), a linear warm-up, then a cosine to zero (arXiv 1608.03983).

A training that a rung may stop has a cosine to each rung and starts anew after it, as in that paper: whoever is judged
at a rung has cooled down, and whoever goes on is warm again. Other optimisers are left out until a measurement asks for
one.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
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


class Schedule:
    """The learning rate of a whole training, one cosine after another.

    Args:
        cosines: Of the parts of the training.
        ends: The update after which each is over.
    """

    def __init__(self, cosines: Sequence[CosineLRScheduler], ends: Sequence[int]) -> None:
        self._cosines, self._ends = cosines, ends

    def step_update(self, num_updates: int) -> None:
        """Set the rate of the next update, after so many since the training began."""
        place = min(bisect_right(self._ends, num_updates), len(self._ends) - 1)
        self._cosines[place].step_update(num_updates - (self._ends[place - 1] if place else 0))


def build_schedule(optimizer: AdamW, recipe: TrainingConfig, updates_per_epoch: int, epoch: int = 0) -> Schedule:
    """Return the schedule of the learning rate, to be told after each update how many there have been.

    Args:
        optimizer: Gets the rate of the next update at once.
        recipe: Its warm-up takes at most 30 % of the first part, so that one of a single epoch learns something.
        updates_per_epoch: At least 1.
        epoch: How many epochs are over.
    """
    ends = [end * updates_per_epoch for end in (*recipe.restarts, recipe.epochs)]
    cosines = []
    for start, end in pairwise((0, *ends)):
        longest = MAX_WARMUP_SHARE * (end - start)
        warmup = round(min(recipe.warmup_epochs * updates_per_epoch, longest)) if start == 0 else 0
        cosine = CosineLRScheduler(
            optimizer,
            t_initial=end - start - warmup,
            warmup_t=warmup,
            warmup_lr_init=recipe.lr / max(warmup, 1),  # not 0, or the first update would change nothing
            warmup_prefix=True,
            t_in_epochs=False,
        )
        cosines.append(cosine)
    schedule = Schedule(cosines, ends)
    schedule.step_update(epoch * updates_per_epoch)
    return schedule
