"""What each epoch of a recipe does: how many images it sees and how large, whether it is validated, what is frozen.

Early epochs need less: fewer images, and smaller ones (progressive resolution: Touvron et al., "Fixing the train-test
resolution discrepancy", 2019; Tan and Le, "EfficientNetV2", 2021). Late ones can leave the first layers as they are
(Brock et al., "FreezeOut", 2017). Each is optional, since each may cost accuracy.
"""

from dataclasses import dataclass
from typing import Final

from ecoNAS.data.datasets import DataSet
from ecoNAS.recipe import TrainingConfig

LATE: Final = 0.75  # share of the epochs after which each is validated where only late ones are


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """One epoch.

    Attributes:
        num_updates: How many batches are trained on.
        updates_before: How many were in the epochs before.
        begins_at: How many updates of whole epochs have passed before, which the learning rate follows.
        resolution: Of the images, in pixels.
        is_validated: Whether the validation split is looked at after it.
        num_frozen: How many of the first parts of the network are not trained.
    """

    num_updates: int
    updates_before: int
    begins_at: int
    resolution: int
    is_validated: bool
    num_frozen: int


def plan_epochs(recipe: TrainingConfig, updates_per_epoch: int, resolution: int, until: int | None) -> list[EpochPlan]:
    """Return what every epoch of a recipe does, the first epoch first.

    Args:
        recipe: Of the training.
        updates_per_epoch: Batches of all training images.
        resolution: Of the images in full, in pixels.
        until: The epoch at which the training pauses, which is validated; None for its end.
    """
    found, before = list[EpochPlan](), 0
    for epoch in range(1, recipe.epochs + 1):
        early = recipe.early if recipe.early is not None and epoch <= recipe.early.until * recipe.epochs else None
        is_looked_at = recipe.validation == "every" or epoch > LATE * recipe.epochs
        freeze = recipe.freeze
        plan = EpochPlan(
            num_updates=max(1, round(early.data * updates_per_epoch)) if early else updates_per_epoch,
            updates_before=before,
            begins_at=(epoch - 1) * updates_per_epoch,
            resolution=early_resolution(resolution, early.resolution) if early else resolution,
            is_validated=is_looked_at or epoch in (*recipe.restarts, until, recipe.epochs),
            num_frozen=freeze.parts if freeze is not None and epoch > freeze.after * recipe.epochs else 0,
        )
        found.append(plan)
        before += plan.num_updates
    return found


def early_resolution(resolution: int, share: float) -> int:
    """Return a share of a resolution in pixels: even, so that strides of 2 divide it."""
    return max(2, 2 * round(share * resolution / 2)) if share < 1 else resolution


def images_of(recipe: TrainingConfig, data: DataSet, since: int = 0, until: int | None = None) -> tuple[int, int]:
    """Return how many images a training, or a part of it, trains on and validates on.

    A smaller image counts as the share of the pixels that it has, which is about its share of the work.

    Args:
        recipe: Of the training.
        data: Its splits.
        since: The epoch after which the part begins.
        until: The epoch after which it ends; None for the last.
    """
    batch, resolution = min(recipe.batch_size, len(data.train)), data.problem().resolution
    plans = plan_epochs(recipe, len(data.train) // batch, resolution, until)[since:until]
    trained = sum(plan.num_updates * batch * (plan.resolution / resolution) ** 2 for plan in plans)
    return round(trained), sum(plan.is_validated for plan in plans) * len(data.validation)
