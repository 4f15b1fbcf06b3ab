"""Which images are for training, validation and test: fixed, stratified, and written down.

A part that the data set brings is taken whole; a missing one is split off the training part, class by class, from the
seed in the configuration alone. What is in an image is not looked at here.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np
from sklearn.model_selection import train_test_split

from ecoNAS.architecture import derive_seed
from ecoNAS.config import SplitConfig
from ecoNAS.data.images import BrokenImage, ImageSplit, Ints, Part, chunks_of
from ecoNAS.errors import DataError
from ecoNAS.frozen import Frozen

SPLIT_VERSION: Final = 1


class Share(Frozen):
    """Images of one part of a data set.

    Attributes:
        part: The part as the data set brings it.
        num_images: How many images these are.
        indices: Positions in that part, ascending; None for all of it.
    """

    part: Part
    num_images: int
    indices: tuple[int, ...] | None = None


class DataSplit(Frozen):
    """Which images each split holds; the content of `split.json` in a run folder.

    Attributes:
        test: As drawn or brought: its images are not opened for a search.
        broken: Images of the training and validation splits that cannot be read and were left out.
    """

    version: Literal[1] = SPLIT_VERSION
    train: Share
    validation: Share
    test: Share | None
    broken: tuple[BrokenImage, ...] = ()


def make_split(labels: Ints, brought: Mapping[Part, int], config: SplitConfig, class_names: Sequence[str]) -> DataSplit:
    """Decide the splits of a data set.

    Args:
        labels: Labels (N,) of its training part.
        brought: The parts that the data set brings, with their sizes.
        config: Shares of the training part that missing splits take, and the seed.
        class_names: Names of the classes, for messages.

    Raises:
        DataError: if the shares leave nothing, or a class is too small to be in each split.
    """
    shares: dict[Part, float] = {}
    if "test" not in brought and config.test:
        shares["test"] = config.test
    if "validation" not in brought:
        shares["validation"] = config.validation
    left = np.arange(len(labels))
    taken: dict[Part, Share] = {}
    for part, share in shares.items():
        count = round(share * len(labels))
        _check_share(part, count, len(left), len(class_names))
        _check_classes(labels, left, 2, shares, class_names)
        seed = derive_seed(config.seed, "split", part) % 2**32  # scikit-learn takes 32 bits
        left, chosen = train_test_split(left, test_size=count, stratify=labels[left], random_state=seed)
        taken[part] = _share_of_train(chosen)
    _check_classes(labels, left, 1, shares, class_names)
    if taken:
        taken["train"] = _share_of_train(left)
    whole = {part: Share(part=part, num_images=size) for part, size in brought.items()}
    splits = whole | taken
    return DataSplit(train=splits["train"], validation=splits["validation"], test=splits.get("test"))


def fingerprint(train: ImageSplit, validation: ImageSplit, num_classes: int) -> str:
    """Return the SHA-256 of what a training sees of its data: pixels and labels of both splits, in order.

    It is taken over decoded pixels, so a folder, its zip and an array file of the same images are the same data, and
    whatever changes a pixel (a file, the resolution, the split, a decoder) changes the key of a training.
    """
    state = hashlib.sha256(json.dumps(["data", SPLIT_VERSION, num_classes]).encode())
    for split in (train, validation):
        state.update(json.dumps(split.images.shape).encode())
        for chunk in chunks_of(split.images):
            state.update(np.ascontiguousarray(chunk).data)
        state.update(split.labels.astype("<i8").data)  # the same bytes on every machine
    return state.hexdigest()


def _check_share(part: Part, count: int, num_left: int, num_classes: int) -> None:
    """Refuse to take `count` of `num_left` images where that leaves a split with fewer images than classes."""
    for name, size in ((part, count), ("train", num_left - count)):
        if size < num_classes:
            raise DataError(
                f"split.{part} leaves {_images(size)} for {name} but there are {num_classes} classes; "
                f"{'raise' if name == part else 'lower'} it, or add images"
            )


def _check_classes(
    labels: Ints, left: Ints, least: int, shares: Mapping[Part, float], class_names: Sequence[str]
) -> None:
    """Refuse a class of which fewer than `least` images are left to be split further."""
    counts = np.bincount(labels[left], minlength=len(class_names))
    rarest = int(np.argmin(counts))
    if counts[rarest] < least:
        parts = ", ".join(["train", *shares])
        raise DataError(
            f"class '{class_names[rarest]}' has {_images(int(np.sum(labels == rarest)))}, too few to be in each "
            f"of {parts}; add images, remove the class, or change {' and '.join(f'split.{part}' for part in shares)}"
        )


def _share_of_train(indices: Ints) -> Share:
    return Share(part="train", num_images=len(indices), indices=tuple(int(index) for index in np.sort(indices)))


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"
