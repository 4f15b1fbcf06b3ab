"""Data sets by name, and the one way to load them: decoded once per process, the test split left closed.

Validation picks, test reports: a search reads `load_data` alone, and `load_test_split` is for a refit, which counts its
reads. A further data set is a file with an `ImageSource`, a row in `DATA_SETS` and a row in its conformance test.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ecoNAS.architecture import Problem
from ecoNAS.config import DataConfig
from ecoNAS.data.digits import Digits
from ecoNAS.data.image_folder import ImageFolder
from ecoNAS.data.images import ImageSource, ImageSplit, Normalisation, Pixels, measure_normalisation, resize_images
from ecoNAS.data.npz import NpzFile
from ecoNAS.data.splits import DataSplit, Share, fingerprint, make_split
from ecoNAS.errors import DataError, unknown_name

DATA_SETS: dict[str, Callable[[DataConfig], ImageSource]] = {
    "digits": Digits,
    "image_folder": ImageFolder,
    "npz": NpzFile,
}


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """What a search may see of a data set: its training and validation splits.

    Attributes:
        name: As in `DATA_SETS`.
        class_names: In the order of the labels.
        normalisation: Of the training split.
        split: Which images each split holds, for `split.json`.
        fingerprint: SHA-256 of pixels and labels of both splits; part of the key of a training.
    """

    name: str
    train: ImageSplit
    validation: ImageSplit
    class_names: tuple[str, ...]
    normalisation: Normalisation
    split: DataSplit
    fingerprint: str

    def problem(self) -> Problem:
        """Return what every network for these images must fit."""
        _, resolution, _, channels = self.train.images.shape
        return Problem(input_channels=channels, resolution=resolution, num_classes=len(self.class_names))


def load_data(config: DataConfig) -> DataSet:
    """Return the training and validation splits of a data set; the second call in a process returns the same object.

    Raises:
        DataError: if the name is unknown, or the files are missing, empty or broken.
    """
    return _load(config, _stamp(config))


def load_test_split(config: DataConfig) -> ImageSplit:
    """Return the test split, in the channels and resolution of the training split; for a refit, never for a search.

    Raises:
        DataError: if there is none, or its files are broken.
    """
    data = load_data(config)
    if data.split.test is None:
        raise DataError(f"data set '{config.name}' brings no test images and split.test is 0; set split.test above 0")
    problem = data.problem()
    return _read(open_source(config), data.split.test, config, problem.input_channels, problem.resolution)


def open_source(config: DataConfig) -> ImageSource:
    """Return the data set that a configuration names, as it lies on disk.

    Raises:
        DataError: if the name is unknown, or its files are missing or broken.
    """
    if config.name not in DATA_SETS:
        raise DataError(unknown_name("data set", config.name, DATA_SETS))
    return DATA_SETS[config.name](config)


def _stamp(config: DataConfig) -> tuple[int, int] | None:
    """Return what changes when a file is replaced, so that the cache lets go of the old one."""
    if config.path is None or not config.path.exists():
        return None
    status = config.path.stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=2)  # decoded images are large: one data set in use, one beside it
def _load(config: DataConfig, _: tuple[int, int] | None) -> DataSet:
    source = open_source(config)
    names = source.class_names
    try:
        split = make_split(source.labels("train"), source.num_images, config.split, names)
    except DataError as error:
        raise DataError(f"{_where(config)}: {error}") from None
    train = _read(source, split.train, config)
    _, height, width, channels = train.images.shape
    if height != width:
        raise DataError(
            f"{_where(config)}: images are {width}x{height} pixels and networks take square ones; set data.resolution, "
            "which crops the centre and resizes"
        )
    validation = _read(source, split.validation, config, channels, height)
    return DataSet(
        name=config.name,
        train=train,
        validation=validation,
        class_names=names,
        normalisation=measure_normalisation(train.images),
        split=split,
        fingerprint=fingerprint(train, validation, len(names)),
    )


def _read(
    source: ImageSource, share: Share, config: DataConfig, channels: int | None = None, size: int | None = None
) -> ImageSplit:
    """Return the images and labels of a share, checked against channels and size (pixels) of the training split."""
    labels = source.labels(share.part)
    indices = np.arange(len(labels)) if share.indices is None else np.asarray(share.indices, dtype=np.int64)
    images = source.images(share.part, indices)
    if config.resolution is not None:
        images = resize_images(images, config.resolution)
    if channels is not None and size is not None:
        images = _fit(images, channels, size, f"{_where(config)}: {share.part}")
    return ImageSplit(images, labels[indices])


def _fit(images: Pixels, channels: int, size: int, where: str) -> Pixels:
    if images.shape[3] == 1 and channels == 3:  # only grey images among the few of a split of colour ones
        images = np.repeat(images, 3, axis=3)
    if images.shape[1:] != (size, size, channels):
        height, width, given = images.shape[1:]
        raise DataError(
            f"{where} images are {width}x{height} pixels of {given} channels, those to train on {size}x{size} of "
            f"{channels}; convert them, or set data.resolution"
        )
    return images


def _where(config: DataConfig) -> str:
    return f"data set '{config.name}'" if config.path is None else str(config.path.absolute())
