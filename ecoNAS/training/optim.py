"""The optimiser and its schedule, timm's by name: a linear warm-up, then by default AdamW and a cosine to zero.

AdamW is that of arXiv 1711.05101, the cosine that of arXiv 1608.03983. A training that a rung may stop has a schedule
to each rung and starts anew after it, as in the second paper: whoever is judged at a rung has cooled down, and whoever
goes on is warm again.
"""

from bisect import bisect_right
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, Final

from timm.optim import (  # type: ignore[attr-defined]  # timm re-exports it silently
    create_optimizer_v2,
    list_optimizers,
    param_groups_weight_decay,
)
from timm.scheduler.scheduler import Scheduler
from timm.scheduler.scheduler_factory import create_scheduler_v2
from torch import nn
from torch.optim import AdamW, Optimizer

from ecoNAS.errors import ConfigError, unknown_name
from ecoNAS.recipe import TrainingConfig

MAX_WARMUP_SHARE: Final = 0.3
# What timm calls ours, and what else its schedules take.
_SCHEDULES: Final[dict[str, dict[str, Any]]] = {  # Any: timm's own
    "cosine": {"sched": "cosine"},
    "linear": {"sched": "poly", "decay_rate": 1.0},
    "step": {"sched": "step", "decay_rate": 0.1},
    "constant": {"sched": "constant"},
    "wsd": {"sched": "wsd"},
}
# Of a schedule: between two steps, and from where a warm-up-stable-decay schedule decays (arXiv 2405.18392).
_DECAYS: Final = {"step": 1 / 3, "wsd": 0.2}


def build_optimizer(network: nn.Module, recipe: TrainingConfig) -> Optimizer:
    """Return the optimiser over the trainable weights, without decay of biases, norms and other vectors.

    Raises:
        ConfigError: if timm has no such optimiser, or needs a package for it that is not there.
    """
    if recipe.optimizer == "adamw":  # in one kernel: up to a quarter faster on small networks
        groups: list[dict[str, Any]] = param_groups_weight_decay(network, recipe.weight_decay)
        return AdamW(groups, lr=recipe.lr, fused=True)
    known = [str(name) for name in list_optimizers()]
    if recipe.optimizer not in known:
        near = get_close_matches(recipe.optimizer, known, n=6, cutoff=0.4) or ["adamw", "sgd", "lamb", "lion"]
        raise ConfigError(unknown_name("optimizer of timm", recipe.optimizer, near))
    try:
        return create_optimizer_v2(
            network,
            opt=recipe.optimizer,
            lr=recipe.lr,
            weight_decay=recipe.weight_decay,
            momentum=recipe.momentum,
        )
    except (AssertionError, ImportError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"optimizer {recipe.optimizer} cannot be had here: {reason}; choose another, such as adamw"
        ) from None


class Schedule:
    """The learning rate of a whole training, one schedule after another.

    Args:
        parts: Of the training, one schedule each.
        ends: The update after which each is over.
    """

    def __init__(self, parts: Sequence[Scheduler], ends: Sequence[int]) -> None:
        self._parts, self._ends = parts, ends

    def step_update(self, num_updates: int) -> None:
        """Set the rate of the next update, after so many since the training began."""
        place = min(bisect_right(self._ends, num_updates), len(self._ends) - 1)
        self._parts[place].step_update(num_updates - (self._ends[place - 1] if place else 0))


def build_schedule(optimizer: Optimizer, recipe: TrainingConfig, updates_per_epoch: int, epoch: int = 0) -> Schedule:
    """Return the schedule of the learning rate, to be told after each update how many there have been.

    Args:
        optimizer: Gets the rate of the next update at once.
        recipe: Its warm-up takes at most 30 % of the first part, so that one of a single epoch learns something.
        updates_per_epoch: At least 1.
        epoch: How many epochs are over.
    """
    ends = [end * updates_per_epoch for end in (*recipe.restarts, recipe.epochs)]
    parts = []
    for start, end in pairwise((0, *ends)):
        longest = MAX_WARMUP_SHARE * (end - start)
        warmup = round(min(recipe.warmup_epochs * updates_per_epoch, longest)) if start == 0 else 0
        num_after = end - start - warmup
        part, _ = create_scheduler_v2(
            optimizer,
            num_epochs=num_after,  # timm's epochs are our updates
            warmup_epochs=warmup,
            warmup_lr=recipe.lr / max(warmup, 1),  # not 0, or the first update would change nothing
            warmup_prefix=True,
            step_on_epochs=False,
            updates_per_epoch=1,
            decay_epochs=max(1, round(_DECAYS.get(recipe.schedule, 1.0) * num_after)),
            **_SCHEDULES[recipe.schedule],
        )
        assert part is not None  # as of every name but `none`
        parts.append(part)
    schedule = Schedule(parts, ends)
    schedule.step_update(epoch * updates_per_epoch)
    return schedule
