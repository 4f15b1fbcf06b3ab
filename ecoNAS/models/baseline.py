"""Ready timm models as baselines, never pretrained: what a searched network has to beat."""

import difflib
from typing import Any

import timm
from torch import nn

from ecoNAS.architecture import Problem
from ecoNAS.errors import ConfigError, unknown_name


def build_baseline(timm_name: str, problem: Problem) -> nn.Module:
    """Return a new timm model for the images and classes of `problem`, in training mode.

    Args:
        timm_name: A name of `timm.list_models()`; weights are drawn from torch's global generator.
        problem: What the model must fit.

    Raises:
        ConfigError: if timm knows no such model, or it cannot be made for images of this size.
    """
    if not timm.is_model(timm_name):
        raise ConfigError(unknown_name("timm model", timm_name, _similar(timm_name)))
    arguments: dict[str, Any] = {"in_chans": problem.input_channels, "num_classes": problem.num_classes}
    try:
        config = timm.get_pretrained_cfg(timm_name)
    except RuntimeError as error:
        raise ConfigError(f"baseline '{timm_name}': {error}; leave out what follows the dot") from None
    if config is not None and config.fixed_input_size:
        arguments["img_size"] = problem.resolution
    try:
        return timm.create_model(timm_name, pretrained=False, **arguments)
    except (AssertionError, RuntimeError, TypeError, ValueError, ZeroDivisionError) as error:
        raise unfit_baseline(timm_name, problem, error) from None


def unfit_baseline(timm_name: str, problem: Problem, error: Exception) -> ConfigError:
    """Return the error for a timm model that failed on the images of `problem`."""
    size = f"{problem.input_channels}x{problem.resolution}x{problem.resolution}"
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return ConfigError(
        f"baseline '{timm_name}' cannot read images of {size}: {reason}; choose a model for small images, such as "
        "mobilenetv3_small_050"
    )


def _similar(name: str) -> list[str]:
    """Return the few names nearest to `name`: all of timm's would fill pages."""
    return difflib.get_close_matches(name, timm.list_models(), n=6, cutoff=0.4) or timm.list_models(
        "mobilenetv3_small*"
    )
