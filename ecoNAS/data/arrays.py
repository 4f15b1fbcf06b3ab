"""Images and labels that a user hands over as arrays, checked at the door with one clear line for each mistake.

Images are uint8 (N, H, W) or (N, H, W, C), labels whole numbers (N,) from 0 without gaps. Where the arrays come from is
decided by `npz` and `own_function`.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ecoNAS.data.images import Ints, Pixels
from ecoNAS.errors import DataError

AnyArray = npt.NDArray[Any]  # Any: the dtype is what gets checked
MAX_CHANNELS: Final = 16  # satellites have 13; what has more has its axes in another order


def check_labels(labels: AnyArray, name: str, where: str) -> Ints:
    """Return labels as int64.

    Args:
        labels: What was given.
        name: What the user calls the array.
        where: What a message opens with.

    Raises:
        DataError: if they are not whole numbers from 0, one for each image.
    """
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{where}: {name} is {labels.dtype}; labels must be whole numbers")
    if labels.ndim != 1:
        raise DataError(f"{where}: {name} has shape {labels.shape}; labels must be (N,), one for each image")
    if len(labels) == 0:
        raise DataError(f"{where}: {name} is empty; a part needs images, or must be left out")
    if labels.min() < 0:
        raise DataError(f"{where}: {name} holds label {labels.min()}; labels count from 0")
    return labels.astype(np.int64)


def count_classes(labels: Ints, name: str, where: str) -> int:
    """Return how many classes the labels (N,) of the training part tell of.

    Args:
        labels: Checked, of the training part.
        name: What the user calls the array.
        where: What a message opens with.

    Raises:
        DataError: for a class without an image, or a single class.
    """
    num_classes = int(labels.max()) + 1
    missing = np.setdiff1d(np.arange(num_classes), labels)
    if len(missing):
        raise DataError(
            f"{where}: {name} goes up to {labels.max()} but holds no {missing[0]}; number the classes from 0 without "
            "gaps"
        )
    if num_classes < 2:
        raise DataError(f"{where}: {name} holds one class only; a classification needs two or more")
    return num_classes


def check_range(labels: Ints, name: str, num_classes: int, train_name: str, where: str) -> None:
    """Raise DataError if labels (N,) name a class that the training part does not have."""
    if labels.max() >= num_classes:
        raise DataError(
            f"{where}: {name} holds label {labels.max()}; {train_name} has classes 0 to {num_classes - 1} only"
        )


def check_images(images: AnyArray, name: str, labels_name: str, num_labels: int, where: str) -> None:
    """Raise DataError unless images are uint8 (N, H, W) or (N, H, W, C), one for each label.

    Args:
        images: What was given.
        name: What the user calls the array.
        labels_name: What the user calls that of the labels.
        num_labels: How many labels there are.
        where: What a message opens with.
    """
    if images.dtype != np.uint8:
        raise DataError(f"{where}: {name} is {images.dtype}; images must be uint8, with pixels from 0 to 255")
    if images.ndim not in {3, 4} or 0 in images.shape:
        raise DataError(f"{where}: {name} has shape {images.shape}; it must be (N, H, W) or (N, H, W, C)")
    if images.ndim == 4:
        _, height, width, channels = images.shape
        is_first = height < width == channels  # square images of few channels
        if is_first or channels > MAX_CHANNELS:
            is_first = is_first or height <= MAX_CHANNELS
            many = f"at most {MAX_CHANNELS} are taken"
            remedy = "channels come last: give x.transpose(0, 2, 3, 1)" if is_first else many
            raise DataError(f"{where}: {name} has shape {images.shape}, which is {channels} channels; {remedy}")
    if len(images) != num_labels:
        raise DataError(
            f"{where}: {name} holds {len(images)} images but {labels_name} {num_labels} labels; each image needs one"
        )


def choose(images: AnyArray, indices: Ints) -> Pixels:
    """Return the images (len(indices), H, W, C) at some positions; those without channels get one."""
    chosen: Pixels = np.asarray(images[indices])
    return chosen[..., np.newaxis] if chosen.ndim == 3 else chosen
