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

from ecoNAS.config import DataConfig
from ecoNAS.data.arrays import AnyArray, check_images, check_labels, check_range, choose, count_classes
from ecoNAS.data.images import Ints, Part, Pixels
from ecoNAS.data.paths import existing_file, refuse_keys, stamp_files
from ecoNAS.errors import DataError

SUFFIXES: Final[dict[Part, str]] = {"train": "train", "validation": "val", "test": "test"}


class NpzFile:
    """The parts of one `.npz` file."""

    def __init__(self, config: DataConfig) -> None:
        refuse_keys(config, "dataset", "download", "label")
        self._path = existing_file(config, "an .npz file")
        self._held: tuple[str, AnyArray] | None = None
        with self._opened() as archive:
            names = set(archive.files)
        brought = [part for part in SUFFIXES if self._is_brought(part, names)]
        num_classes = count_classes(self._labels("train"), _name("y", "train"), str(self._path))
        self.class_names = tuple(str(label) for label in range(num_classes))
        self.num_images: dict[Part, int] = {part: len(self.labels(part)) for part in brought}

    @property
    def stamp(self) -> str:
        """Size and time of change of the file."""
        return stamp_files(self._path)

    def labels(self, part: Part) -> Ints:
        """Return the labels (N,) of a part."""
        labels = self._labels(part)
        check_range(labels, _name("y", part), len(self.class_names), _name("y", "train"), str(self._path))
        return labels

    def images(self, part: Part, indices: Ints) -> Pixels:
        """Return the images (len(indices), H, W, C) of a part."""
        name = _name("x", part)
        if self._held is None or self._held[0] != name:  # one array at a time: it is asked for chunk by chunk
            images = self._read(name)
            check_images(images, name, _name("y", part), self.num_images[part], str(self._path))
            self._held = (name, images)
        return choose(self._held[1], indices)

    def name(self, part: Part, index: int) -> str:
        """Return the place of an image in its array."""
        return f"{_name('x', part)}[{index}]"

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
        return check_labels(self._read(name), name, str(self._path))

    def _read(self, name: str) -> AnyArray:
        with self._opened() as archive:
            try:
                array: AnyArray = archive[name]
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
