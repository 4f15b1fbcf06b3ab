"""Data sets by name, and the one way to load them: decoded once, the test split left out of every training.

Validation picks, test reports: a search trains and judges by `load_data` alone, and `load_test_split` is for a refit,
which counts its reads. A further data set is a file with an `ImageSource`, a row in `DATA_SETS` and a row in its
conformance test; a user's own is a function by its dotted path.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ecoNAS.architecture import Problem
from ecoNAS.config import DataConfig
from ecoNAS.data.cache import SMALL_BYTES, DecodedCache
from ecoNAS.data.decoding import Decoded, Decoding
from ecoNAS.data.digits import Digits
from ecoNAS.data.huggingface import HuggingFaceSet
from ecoNAS.data.image_folder import ImageFolder
from ecoNAS.data.images import ImageSource, ImageSplit, Normalisation
from ecoNAS.data.npz import NpzFile
from ecoNAS.data.own_function import OwnFunction
from ecoNAS.data.share_reader import ShareReader, gather
from ecoNAS.data.splits import DataSplit
from ecoNAS.data.torchvision_sets import TorchvisionSet
from ecoNAS.errors import DataError, unknown_name

DATA_SETS: dict[str, Callable[[DataConfig], ImageSource]] = {
    "digits": Digits,
    "huggingface": HuggingFaceSet,
    "image_folder": ImageFolder,
    "npz": NpzFile,
    "torchvision": TorchvisionSet,
}
NUM_HELD: Final = 2  # decoded images may be large: one data set in use, one beside it


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """What a search may see of a data set: its training and validation splits.

    Attributes:
        name: As in `DATA_SETS`.
        class_names: In the order of the labels.
        normalisation: Of the training split.
        split: Which images each split holds, for `split.json`.
        fingerprint: SHA-256 of pixels and labels of both splits; part of the key of a training.
        cached_in: The folder of decoded images that they are mapped from; None where they are in memory.
    """

    name: str
    train: ImageSplit
    validation: ImageSplit
    class_names: tuple[str, ...]
    normalisation: Normalisation
    split: DataSplit
    fingerprint: str
    cached_in: Path | None = None

    def problem(self) -> Problem:
        """Return what every network for these images must fit."""
        _, resolution, _, channels = self.train.images.shape
        return Problem(input_channels=channels, resolution=resolution, num_classes=len(self.class_names))


def load_data(config: DataConfig, digest: str = "") -> DataSet:
    """Return the training and validation splits of a data set; the second call in a process returns the same object.

    Args:
        config: Which images.
        digest: The fingerprint that they must have, where it is known: decoded images with it that lie on this machine
            are taken as they are, and their source is not looked at. The caller compares what it gets.

    Raises:
        DataError: if the name is unknown, or the files are missing, empty or broken.
    """
    key = (config, _stamp(config))
    if key not in _HELD:
        cache = DecodedCache(config)
        found = cache.find(digest) if digest else None
        _HELD[key] = _data_set(config, found, cache.root) if found is not None else _load(config)
        if len(_HELD) > NUM_HELD:
            _HELD.popitem(last=False)
    _HELD.move_to_end(key)
    return _HELD[key]


def load_test_split(config: DataConfig) -> ImageSplit:
    """Return the test split, in the channels and resolution of the training split; for a refit, never for a search.

    Raises:
        DataError: if there is none, or its files are broken.
    """
    data = load_data(config)
    reader = read_test_split(config, data)
    if reader is None:
        raise DataError(f"data set '{config.name}' brings no test images and split.test is 0; set split.test above 0")
    images = gather(reader)
    return ImageSplit(images, reader.labels)


def read_test_split(config: DataConfig, data: DataSet) -> ShareReader | None:
    """Return what reads the test split some images at a time; None where there is none."""
    if data.split.test is None:
        return None
    _, height, width, channels = data.train.images.shape
    return ShareReader(open_source(config), "test", data.split.test, config, like=(height, width, channels))


def open_source(config: DataConfig) -> ImageSource:
    """Return the data set that a configuration names, as it lies on disk.

    Raises:
        DataError: if the name is unknown, or its files are missing or broken.
    """
    if ":" in config.name:
        return OwnFunction(config)
    if config.name not in DATA_SETS:
        raise DataError(f"{unknown_name('data set', config.name, DATA_SETS)}; your own: package.module:function")
    return DATA_SETS[config.name](config)


_HELD: OrderedDict[tuple[DataConfig, tuple[int, int] | None], DataSet] = OrderedDict()  # what this process has loaded


def _stamp(config: DataConfig) -> tuple[int, int] | None:
    """Return what changes when a file is replaced, so that this process lets go of the old one."""
    if config.path is None or not config.path.exists():
        return None
    status = config.path.stat()
    return status.st_mtime_ns, status.st_size


def _load(config: DataConfig) -> DataSet:
    """Decode the images of a data set, or find those that were decoded before."""
    source, cache = open_source(config), DecodedCache(config)
    mark = source.stamp
    found = cache.find(mark) if mark else None
    if found is not None:
        return _data_set(config, found, cache.root)
    decoding = Decoding(config, source)
    if decoding.num_bytes <= SMALL_BYTES:
        return _data_set(config, decoding.decode(lambda _, chunks: gather(chunks)), None)
    with cache.making(mark):
        found = cache.find(mark) if mark else None  # another process may have been faster
        return _data_set(config, found or cache.keep(mark, decoding.num_bytes, decoding.decode), cache.root)


def _data_set(config: DataConfig, decoded: Decoded, cached_in: Path | None) -> DataSet:
    record = decoded.record
    return DataSet(
        name=config.name,
        train=decoded.train,
        validation=decoded.validation,
        class_names=record.class_names,
        normalisation=record.normalisation,
        split=record.split,
        fingerprint=record.fingerprint,
        cached_in=cached_in,
    )
