"""Ready timm models, never pretrained: what a searched network has to beat, and what can be searched among."""

import difflib
from collections.abc import Iterable
from typing import Final

import timm
import torch
from torch import nn

from ecoNAS.architecture import Problem
from ecoNAS.errors import ArchitectureError, unknown_name
from ecoNAS.models.constructor import Constructor, call
from ecoNAS.models.dry_run import dry_run

# What timm's models raise on images that are too small for them, or not of their size.
UNFIT: Final = (AssertionError, IndexError, RuntimeError, TypeError, ValueError, ZeroDivisionError)


def ready_constructor(timm_name: str, problem: Problem) -> Constructor:
    """Return the call that makes a timm model for the images and classes of `problem`.

    Raises:
        ArchitectureError: if timm knows no such model.
    """
    size = {"img_size": problem.resolution} if has_fixed_size(timm_name) else {}
    return call(
        timm.create_model,
        timm_name,
        pretrained=False,
        in_chans=problem.input_channels,
        num_classes=problem.num_classes,
        **size,
    )


def build_baseline(timm_name: str, problem: Problem) -> nn.Module:
    """Return a new timm model for the images and classes of `problem`, in training mode.

    Args:
        timm_name: A name of `timm.list_models()`; weights are drawn from torch's global generator.
        problem: What the model must fit.

    Raises:
        ArchitectureError: if timm knows no such model, or it cannot be made for images of this size.
    """
    constructor = ready_constructor(timm_name, problem)
    try:
        return constructor.build()
    except UNFIT as error:
        raise unfit_baseline(timm_name, problem, error) from None


def has_fixed_size(timm_name: str) -> bool:
    """Return whether a timm model is made for images of one size and reads no others.

    Raises:
        ArchitectureError: if timm knows no such model, with the nearest names, or no such weights of it.
    """
    check_known(timm_name)
    try:
        config = timm.get_pretrained_cfg(timm_name)
    except RuntimeError as error:
        raise ArchitectureError(f"timm model '{timm_name}': {error}; leave out what follows the dot") from None
    return config is not None and bool(config.fixed_input_size)


def check_known(timm_name: str) -> None:
    """Raise ArchitectureError, with the nearest names, unless timm knows a model."""
    if not timm.is_model(timm_name):
        raise ArchitectureError(unknown_name("timm model", timm_name, _similar(timm_name)))


def read_by(model: nn.Module, timm_name: str, problem: Problem) -> None:
    """Send one empty image through a model: timm makes many for sizes that they fail on.

    Raises:
        ArchitectureError: if it cannot read such images.
    """
    try:
        with dry_run(model):
            logits_bk = model(torch.zeros(problem.input_shape(batch=1)))
        if logits_bk.shape != (1, problem.num_classes):
            raise ValueError(f"it makes {tuple(logits_bk.shape)} of one image, not (1, {problem.num_classes})")
    except UNFIT as error:
        raise unfit_baseline(timm_name, problem, error) from None


def check_reads(timm_name: str, made_for: Problem, others: Iterable[Problem], remedy: str) -> None:
    """Raise ArchitectureError, with the remedy, unless a model made for images of one size reads the others, too."""
    model = build_baseline(timm_name, made_for)
    for other in others:
        if other != made_for and has_fixed_size(timm_name):
            raise ArchitectureError(
                f"timm model '{timm_name}' reads images of {made_for.resolution} pixels only, and not of "
                f"{other.resolution}; {remedy}"
            )
        read_by(model, timm_name, other)


def unfit_baseline(timm_name: str, problem: Problem, error: Exception) -> ArchitectureError:
    """Return the error for a timm model that failed on the images of `problem`."""
    size = f"{problem.input_channels}x{problem.resolution}x{problem.resolution}"
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return ArchitectureError(
        f"timm model '{timm_name}' cannot read images of {size}: {reason}; choose a model for small images, such as "
        "mobilenetv3_small_050"
    )


def _similar(name: str) -> list[str]:
    """Return the few names nearest to `name`: all of timm's would fill pages."""
    return difflib.get_close_matches(name, timm.list_models(), n=6, cutoff=0.4) or timm.list_models(
        "mobilenetv3_small*"
    )
