"""Images as arrays, and the contract of a data set that others plug in.

A source says which parts it brings and what their labels are, and opens images only when they are asked for by index,
so an image that belongs to the test split is not read by a training. How the parts become splits is decided by
`splits`, how they are decoded and kept by `decoding` and `cache`, which sources there are by `datasets`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from ecoNAS.errors import DataError
from ecoNAS.frozen import Frozen

Part = Literal["train", "validation", "test"]
Pixels = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

CHUNK_BYTES: Final = 32 * 1024**2  # of pixels that are worked on at a time


class BrokenImage(Frozen):
    """An image that cannot be read.

    Attributes:
        part: The part that it belongs to.
        index: Its position there.
        name: Of its file, where it has one.
        reason: Why it cannot be read.
    """

    part: Part
    index: int
    name: str
    reason: str


class BrokenImagesError(DataError):
    """Some images cannot be read, others may; whoever asked for them may leave those out.

    Attributes:
        broken: All of those that were asked for and cannot be read.
    """

    def __init__(self, broken: tuple[BrokenImage, ...]) -> None:
        super().__init__("; ".join(f"{image.name}: {image.reason}" for image in broken))
        self.broken = broken


@dataclass(frozen=True, slots=True, eq=False)
class ImageSplit:
    """The images of one split with their classes.

    Attributes:
        images: uint8 (N, H, W, C), read-only since all trainings share them: those of a process or, mapped from the
            cache of decoded images, of a machine.
        labels: int64 (N,), classes counted from 0.
    """

    images: Pixels
    labels: Ints

    def __post_init__(self) -> None:
        assert self.images.ndim == 4, self.images.shape
        assert self.images.dtype == np.uint8, self.images.dtype
        assert self.labels.shape == self.images.shape[:1], self.labels.shape
        assert self.labels.dtype == np.int64, self.labels.dtype
        self.images.setflags(write=False)
        self.labels.setflags(write=False)

    def __len__(self) -> int:
        return len(self.labels)


class ImageSource(Protocol):
    """A data set as it lies on disk; a plug-in implements these."""

    @property
    def stamp(self) -> str:
        """What changes whenever an image or a label may have changed; empty where that cannot be told."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of their labels; two or more."""
        ...

    @property
    def num_images(self) -> Mapping[Part, int]:
        """Sizes of the parts that the data set brings; 'train' is one of them, and missing ones are split off it."""
        ...

    def labels(self, part: Part) -> Ints:
        """Return the int64 labels (N,) of a part, without opening an image.

        Raises:
            DataError: if the labels are missing, broken or out of range.
        """
        ...

    def images(self, part: Part, indices: Ints) -> Pixels:
        """Return the uint8 images (len(indices), H, W, C) of a part, in the order of `indices`.

        Where each image is a file of its own, no other is opened.

        Raises:
            BrokenImagesError: with each of these images that cannot be read, if others may be.
            DataError: if none can be read, or they do not fit together.
        """
        ...

    def name(self, part: Part, index: int) -> str:
        """Return what a user calls one image: its file, where it has one."""
        ...


class Normalisation(Frozen):
    """Mean and standard deviation per channel of the training split, for pixels scaled to 0..1.

    A network sees (pixel / 255 - mean) / std; an export must do the same.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


def chunks_of(images: Pixels) -> Iterator[Pixels]:
    """Yield images (N, ...) some at a time, so that arrays larger than the memory can be gone through."""
    step = max(1, CHUNK_BYTES // max(1, images[:1].nbytes))
    for start in range(0, len(images), step):
        yield images[start : start + step]


def numbered(part: Part, index: int) -> str:
    """Return the name of an image that has no file of its own."""
    return f"{part}[{index}]"


def measure_normalisation(images: Pixels) -> Normalisation:
    """Return mean and standard deviation per channel of uint8 images (N, H, W, C)."""
    values = np.arange(256) / 255
    means, stds = [], []
    # A histogram makes the sums exact, so that the result depends on no order of summation and needs no float copy.
    counts = np.zeros((images.shape[3], 256), dtype=np.int64)
    for chunk in chunks_of(images):
        for channel in range(images.shape[3]):
            counts[channel] += np.bincount(chunk[..., channel].ravel(), minlength=256)
    for count in counts:
        share = count / count.sum()
        mean = float(share @ values)
        std = float(np.sqrt(share @ (values - mean) ** 2))
        means.append(mean)
        stds.append(std or 1.0)  # a constant channel carries nothing; 1 keeps it finite
    return Normalisation(mean=tuple(means), std=tuple(stds))


def resize_image(image: Image.Image, resolution: int) -> Image.Image:
    """Return the largest centred square of an image, resized to `resolution` pixels with antialiasing."""
    return ImageOps.fit(image, (resolution, resolution), method=Image.Resampling.BICUBIC)


def resize_images(images: Pixels, resolution: int) -> Pixels:
    """Return uint8 images (N, H, W, C) as (N, resolution, resolution, C); unchanged where they have that size."""
    num_images, height, width, channels = images.shape
    if (height, width) == (resolution, resolution):
        return images
    resized = np.empty((num_images, resolution, resolution, channels), dtype=np.uint8)
    for index in range(num_images):
        for channel in range(channels):  # one by one, since Pillow knows no images of two or five channels
            plane = Image.fromarray(np.ascontiguousarray(images[index, :, :, channel]))
            resized[index, :, :, channel] = np.asarray(resize_image(plane, resolution))
    return resized
