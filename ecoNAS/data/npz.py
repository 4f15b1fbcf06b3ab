"""A data set in one NumPy archive: `x_train` and `y_train`, beside them `x_val`, `y_val`, `x_test`, `y_test` if any.

Images are uint8 (N, H, W) or (N, H, W, C), labels whole numbers (N,) from 0 without gaps. An array is read only when
its part is asked for.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ecoNAS.config import DataConfig
from ecoNAS.data.images import Ints, Part, Pixels
from ecoNAS.data.paths import existing_file
from ecoNAS.errors import DataError

SUFFIXES: Final[dict[Part, str]] = {"train": "train", "validation": "val", "test": "test"}


class NpzFile:
    """The parts of one `.npz` file."""

    def __init__(self, config: DataConfig) -> None:
        self._path = existing_file(config, "an .npz file")
        with self._opened() as archive:
            names = set(archive.files)
        brought = [part for part in SUFFIXES if self._is_brought(part, names)]
        labels = self._labels("train")
        self.class_names = tuple(str(label) for label in range(int(labels.max()) + 1))
        missing = np.setdiff1d(np.arange(len(self.class_names)), labels)
        if len(missing):
            raise DataError(
                f"{self._path}: y_train goes up to {labels.max()} but holds no {missing[0]}; number the classes from 0 "
                "without gaps"
            )
        if len(self.class_names) < 2:
            raise DataError(f"{self._path}: y_train holds one class only; a classification needs two or more")
        self.num_images: dict[Part, int] = {part: len(self.labels(part)) for part in brought}

    def labels(self, part: Part) -> Ints:
        """Return the labels (N,) of a part."""
        labels = self._labels(part)
        if labels.max() >= len(self.class_names):
            raise DataError(
                f"{self._path}: {_name('y', part)} holds label {labels.max()}; y_train has classes 0 to "
                f"{len(self.class_names) - 1} only"
            )
        return labels

    def images(self, part: Part, indices: Ints) -> Pixels:
        """Return the images (len(indices), H, W, C) of a part."""
        name = _name("x", part)
        images = self._read(name)
        if images.dtype != np.uint8:
            raise DataError(f"{self._path}: {name} is {images.dtype}; images must be uint8, with pixels from 0 to 255")
        if images.ndim not in {3, 4} or 0 in images.shape:
            raise DataError(f"{self._path}: {name} has shape {images.shape}; it must be (N, H, W) or (N, H, W, C)")
        if len(images) != self.num_images[part]:
            raise DataError(
                f"{self._path}: {name} holds {len(images)} images but {_name('y', part)} {self.num_images[part]} "
                "labels; each image needs one"
            )
        chosen: Pixels = images[indices]
        return chosen[..., np.newaxis] if chosen.ndim == 3 else chosen

    def _is_brought(self, part: Part, names: set[str]) -> bool:
        needed = {_name("x", part), _name("y", part)}
        if needed <= names:
            return True
        if part == "train" or needed & names:
            held = ", ".join(sorted(names)) or "nothing"
            raise DataError(
                f"{self._path}: array '{min(needed - names)}' is missing; x_train and y_train are needed, x_val with "
                f"y_val and x_test with y_test are optional; the file holds {held}"
            )
        return False

    def _labels(self, part: Part) -> Ints:
        name = _name("y", part)
        labels = self._read(name)
        if not np.issubdtype(labels.dtype, np.integer):
            raise DataError(f"{self._path}: {name} is {labels.dtype}; labels must be whole numbers")
        if labels.ndim != 1:
            raise DataError(f"{self._path}: {name} has shape {labels.shape}; labels must be (N,), one for each image")
        if len(labels) == 0:
            raise DataError(f"{self._path}: {name} is empty; a part needs images, or must be left out of the file")
        if labels.min() < 0:
            raise DataError(f"{self._path}: {name} holds label {labels.min()}; labels count from 0")
        return labels.astype(np.int64)

    def _read(self, name: str) -> npt.NDArray[Any]:  # Any: the dtype is what gets checked
        with self._opened() as archive:
            try:
                array: npt.NDArray[Any] = archive[name]
            except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                raise DataError(f"{self._path}: array '{name}' cannot be read: {error}") from None
        return array

    @contextmanager
    def _opened(self) -> Iterator[Any]:  # Any: NumPy's own NpzFile is no public name of every supported version
        remedy = "write one with numpy.savez(path, x_train=..., y_train=...)"
        with self._path.open("rb") as file:  # given a path, numpy leaves files open that turn out to be broken
            try:
                archive = np.load(file, allow_pickle=False)
            except (OSError, ValueError, EOFError, zipfile.BadZipFile):
                raise DataError(f"{self._path} is not an .npz file; {remedy}") from None
            if isinstance(archive, np.ndarray):
                raise DataError(f"{self._path} holds one bare array; {remedy}")
            with archive:
                yield archive


def _name(letter: str, part: Part) -> str:
    return f"{letter}_{SUFFIXES[part]}"
