"""Whether a recipe can be had here: its optimiser, its precision on this device, its augmentation for these images."""

from torch import nn

from ecoNAS.config import ExperimentConfig
from ecoNAS.data.datasets import DataSet
from ecoNAS.data.transforms import choose_augmentation
from ecoNAS.errors import ConfigError, DataError
from ecoNAS.experiment.deployable import COMPILERS, has_compiler
from ecoNAS.recipe import RecipeChoice
from ecoNAS.space.search_space import SearchSpace
from ecoNAS.training.checkpoint import check_kept
from ecoNAS.training.optim import build_optimizer


def check_recipe(config: ExperimentConfig, space: SearchSpace, data: DataSet, device: str) -> None:
    """Raise ConfigError, with file and line, for what no training could be done with.

    Args:
        config: The experiment.
        space: With what it decides of the recipe.
        data: Its images.
        device: "cpu" or "cuda".
    """
    recipe = config.training
    for magnitude in space.decisions.get("recipe.randaugment", ()):
        try:
            choose_augmentation(RecipeChoice(randaugment=int(magnitude)).of(recipe), data)
        except DataError as error:
            reason = f"space '{space.file.name}': recipe.randaugment {magnitude}: {error}"
            raise config.error(("search_space",), reason) from None
    try:
        choose_augmentation(recipe, data)
    except DataError as error:
        key = "randaugment" if "randaugment" in str(error) else "augment"
        raise config.error(("training", key), str(error)) from None
    try:
        check_kept(build_optimizer(nn.Conv2d(1, 2, 3), recipe))
    except ConfigError as error:
        raise config.error(("training", "optimizer"), str(error)) from None
    if recipe.distillation is not None:
        raise config.error(
            ("training", "distillation"), "a search has no teacher; `econas refit RUN front --teacher NAME` has"
        )
    if recipe.compile and device == "cpu" and not has_compiler():
        raise config.error(("training", "compile"), f"needs a C++ compiler ({' or '.join(COMPILERS)}); install one")
    if recipe.precision == "fp16" and device == "cpu":
        raise config.error(
            ("training", "precision"), "fp16 trains on a GPU only; choose bf16, or fp32, which is faster on most CPUs"
        )
    if recipe.patience is not None and config.search.halving is not None:
        raise config.error(
            ("training", "patience"), "search.halving stops trainings already, at its rungs; keep one of the two"
        )
