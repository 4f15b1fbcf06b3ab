"""A data set on its way from its source to two splits of decoded images, wherever these are put.

The test split is not touched. Whether images go to memory or to files is decided by `datasets`, which hands in where to
put them; what a split holds is decided by `splits`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np

from ecoNAS.config import DataConfig
from ecoNAS.data.images import ImageSource, ImageSplit, Normalisation, Pixels, measure_normalisation
from ecoNAS.data.share_reader import ShareReader, describe_place
from ecoNAS.data.splits import DataSplit, fingerprint, make_split
from ecoNAS.errors import DataError
from ecoNAS.frozen import Frozen

Store = Callable[[str, Iterable[Pixels]], Pixels]  # from the name of a split and its images, in chunks, to one array


class DecodedRecord(Frozen):
    """What is known of decoded images beside their pixels.

    Attributes:
        shape: Height, width and channels of each image.
        fingerprint: SHA-256 of pixels and labels of both splits.
    """

    version: Literal[1] = 1
    class_names: tuple[str, ...]
    normalisation: Normalisation
    split: DataSplit
    shape: tuple[int, int, int]
    fingerprint: str


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Decoded images, in memory or mapped into it."""

    record: DecodedRecord
    train: ImageSplit
    validation: ImageSplit


class Decoding:
    """Splits a data set, looks at its first images, and decodes all of training and validation once."""

    def __init__(self, config: DataConfig, source: ImageSource) -> None:
        """Split, and decode the first images.

        Raises:
            DataError: if the data set cannot be split, or those images cannot be read.
        """
        self._config, self._source = config, source
        try:
            self._split = make_split(source.labels("train"), source.num_images, config.split, source.class_names)
        except DataError as error:
            raise DataError(f"{describe_place(config)}: {error}") from None
        self._train = ShareReader(source, "train", self._split.train, config)
        chunks = iter(self._train)
        first = next(chunks)
        self._chunks = chain([first], chunks)
        self.num_bytes = first[0].nbytes * (self._split.train.num_images + self._split.validation.num_images)

    def decode(self, store: Store) -> Decoded:
        """Decode all images, once.

        Args:
            store: Where they go.

        Raises:
            DataError: if they do not fit together, or more than are allowed cannot be read.
        """
        source, config = self._source, self._config
        images = store("train", self._chunks)
        height, width, channels = images.shape[1:]
        if height != width:
            raise DataError(
                f"{describe_place(config)}: images are {width}x{height} pixels and networks take square ones; set "
                "data.resolution, which crops the centre and resizes"
            )
        train = ImageSplit(images, self._train.labels)
        self._check_classes(train)
        reader = ShareReader(source, "validation", self._split.validation, config, like=(height, width, channels))
        validation = ImageSplit(store("validation", reader), reader.labels)
        broken = (*self._train.broken, *reader.broken)
        split = self._split.model_copy(
            update={"train": self._train.share, "validation": reader.share, "broken": broken}
        )
        record = DecodedRecord(
            class_names=source.class_names,
            normalisation=measure_normalisation(images),
            split=split,
            shape=(height, width, channels),
            fingerprint=fingerprint(train, validation, len(source.class_names)),
        )
        return Decoded(record, train, validation)

    def _check_classes(self, train: ImageSplit) -> None:
        """Raise DataError if leaving out broken images has emptied a class."""
        names = self._source.class_names
        counts = np.bincount(train.labels, minlength=len(names))
        if not counts.all():
            raise DataError(
                f"{describe_place(self._config)}: no training image of class '{names[int(np.argmin(counts))]}' can be "
                "read; repair them, add others, or remove the class"
            )
