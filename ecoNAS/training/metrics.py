"""What a network's outputs on a split are worth: accuracy as a score with its standard error, and the loss."""

from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ecoNAS.data.images import Ints
from ecoNAS.records import Score

Z_95: Final = 1.959964  # two-sided 95 % of a normal distribution


def score_accuracy(predictions: Ints, labels: Ints, split: Literal["train", "validation", "test"]) -> Score:
    """Return the share of images read right, a fraction, with its standard error.

    The error is that of Agresti and Coull's adjusted estimate (The American Statistician 52, 1998, p. 119), which adds
    z^2 trials, half of them successes: the textbook formula says that 100 % of 20 images is exact.

    Args:
        predictions: Classes (N,), N of one or more.
        labels: True classes (N,).
        split: Where the images come from.
    """
    num_images = len(labels)
    num_right = int(np.sum(predictions == labels))
    trials = num_images + Z_95**2
    adjusted = (num_right + Z_95**2 / 2) / trials
    return Score(
        value=num_right / num_images,
        standard_error=float(np.sqrt(adjusted * (1 - adjusted) / trials)),
        num_samples=num_images,
        split=split,
        kind="measured",
    )


def balanced_weights(labels: Ints, num_classes: int) -> Tensor:
    """Return what each class counts in the loss, (K,), so that all together count alike and an image 1 on average.

    Args:
        labels: Of the training images, (N,); a class without images counts 1.
        num_classes: K.
    """
    counts = np.bincount(labels, minlength=num_classes)
    weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return torch.tensor(np.where(counts > 0, weights, 1.0), dtype=torch.float32)


def mean_loss(logits_nk: Tensor, labels_n: Tensor) -> float:
    """Return the mean cross-entropy in nats, without label smoothing, so that recipes compare."""
    return float(functional.cross_entropy(logits_nk, labels_n))
