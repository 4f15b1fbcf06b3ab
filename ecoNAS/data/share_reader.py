"""The images of one split, decoded some at a time, with those that cannot be read left out up to a stated share.

Nothing here holds more than some images: whether they end in memory or in a file is decided by `datasets`. Silence
about a broken image would change what is trained on, hence each is listed, and more of them than allowed is an error.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from ecoNAS.config import DataConfig
from ecoNAS.data.images import BrokenImage, BrokenImagesError, ImageSource, Ints, Part, Pixels, resize_images
from ecoNAS.data.splits import Share
from ecoNAS.errors import DataError

CHUNK_IMAGES: Final = 512  # decoded at a time: 77 MB of colour images of 224 pixels
SHOWN: Final = 3  # broken images that a message names


class ShareReader:
    """Reads the images of a share once, from first to last; then it knows which were left out.

    Attributes:
        broken: Images that cannot be read, as far as it has come.
    """

    def __init__(
        self,
        source: ImageSource,
        split: Part,
        share: Share,
        config: DataConfig,
        like: tuple[int, int, int] | None = None,
    ) -> None:
        """Prepare to read.

        Args:
            source: Of the images.
            split: What they are for.
            share: Which of them.
            config: Resolution, and how many may be broken.
            like: Height, width and channels that they must have; None for any.
        """
        self._source, self._split, self._share, self._config, self._like = source, split, share, config, like
        self._indices = np.arange(share.num_images) if share.indices is None else np.asarray(share.indices)
        self.broken: list[BrokenImage] = []

    def __len__(self) -> int:
        """How many images are asked for."""
        return len(self._indices)

    def __iter__(self) -> Iterator[Pixels]:
        """Yield images (n, H, W, C) of one size; grey ones before the first colour one may have one channel.

        Raises:
            DataError: if they do not fit together, or more than `max_broken` of them cannot be read.
        """
        first = None
        for start in range(0, len(self._indices), CHUNK_IMAGES):
            images, indices = self._readable(self._indices[start : start + CHUNK_IMAGES])
            if not len(indices):
                continue
            name = self._source.name(self._share.part, int(indices[0]))
            first = first or (name, images.shape[1:3])
            if images.shape[1:3] != first[1]:
                raise DataError(
                    f"{describe_place(self._config)}: {name} is {_size(images.shape[1:3])} pixels but {first[0]} "
                    f"{_size(first[1])}; set data.resolution, which brings all images to one size"
                )
            yield self._fit(images)
        self._check_broken()

    @property
    def left(self) -> Ints:
        """Positions in the part, ascending, of the images that can be read."""
        return np.setdiff1d(self._indices, [image.index for image in self.broken]).astype(np.int64)

    @property
    def share(self) -> Share:
        """What was read."""
        if not self.broken:
            return self._share
        left = tuple(int(index) for index in self.left)
        return Share(part=self._share.part, num_images=len(left), indices=left)

    @property
    def labels(self) -> Ints:
        """Labels (n,) of what was read."""
        return self._source.labels(self._share.part)[self.left]

    def _readable(self, indices: Ints) -> tuple[Pixels, Ints]:
        part = self._share.part
        try:
            images = self._source.images(part, indices)
        except BrokenImagesError as error:
            self.broken += error.broken
            indices = np.setdiff1d(indices, [image.index for image in error.broken])
            if not len(indices):
                return np.empty((0, 1, 1, 1), dtype=np.uint8), indices
            images = self._source.images(
                part, indices
            )  # these again: some hundred images, and only where one is broken
        if self._config.resolution is not None:
            images = resize_images(images, self._config.resolution)
        return images, indices

    def _fit(self, images: Pixels) -> Pixels:
        """Return images with the channels that they must have; raises DataError where they are of another kind."""
        if self._like is None:
            return images
        height, width, channels = self._like
        if images.shape[3] == 1 and channels == 3:  # only grey images among the few of a split of colour ones
            images = np.repeat(images, 3, axis=3)
        if images.shape[1:] != self._like:
            raise DataError(
                f"{describe_place(self._config)}: {self._split} images are {_size(images.shape[1:3])} pixels of "
                f"{images.shape[3]} channels, those to train on {_size((height, width))} of {channels}; convert them, "
                "or set data.resolution"
            )
        return images

    def _check_broken(self) -> None:
        num_broken, num_images = len(self.broken), len(self)
        if num_broken <= self._config.max_broken * num_images:
            return
        named = ", ".join(f"{image.name} ({image.reason})" for image in self.broken[:SHOWN])
        more = f" and {num_broken - SHOWN:,} more" if num_broken > SHOWN else ""
        share = math.ceil(1000 * num_broken / num_images) / 1000
        leave = f", or set data.max_broken to {share:g} to leave them out" if share < 1 else ""
        raise DataError(
            f"{describe_place(self._config)}: {num_broken:,} of {num_images:,} images for {self._split} cannot be "
            f"read: {named}{more}; repair or remove them{leave}"
        )


def gather(chunks: Iterable[Pixels]) -> Pixels:
    """Return chunks as one array in memory; grey ones become colour where some are."""
    held = list(chunks)
    channels = max(chunk.shape[3] for chunk in held)
    return np.concatenate([np.broadcast_to(chunk, (*chunk.shape[:3], channels)) for chunk in held])


def describe_place(config: DataConfig) -> str:
    """Return what a message about the images of a data set opens with."""
    if config.path is not None:
        return str(config.path.absolute())
    return f"data set '{config.name}'" + (f" {config.dataset}" if config.dataset else "")


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
