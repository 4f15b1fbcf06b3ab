"""A user's own data set: a function by its dotted path, `data: {name: my_package.my_module:my_images}`.

The function takes the data section of the experiment (`ecoNAS.config.DataConfig`, whose path and other keys it may use
or not) and returns a dictionary:

    def my_images(config):
        return {
            "train": (images, labels),        # uint8 (N, H, W) or (N, H, W, C); whole numbers (N,) from 0
            "validation": (images, labels),   # left out: split off the training images
            "test": (images, labels),         # likewise
            "class_names": ["cat", "dog"],    # left out: the numbers
        }

Arrays may be mapped from files (`numpy.memmap`): images are read some hundred at a time, those of the test part last.
What it returns is checked here, once. Nobody can tell whether it would return the same again, so each search calls it
anew; workers share what the search got.
"""

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np

from ecoNAS.config import DataConfig
from ecoNAS.data.arrays import AnyArray, check_images, check_labels, check_range, choose, count_classes
from ecoNAS.data.images import Ints, Part, Pixels, numbered
from ecoNAS.dotted_path import import_named
from ecoNAS.errors import DataError

PARTS: Final[tuple[Part, ...]] = get_args(Part)
CLASS_NAMES: Final = "class_names"
FORM: Final = (
    "return a dictionary such as {'train': (images, labels)}, with 'validation', 'test' and 'class_names' if any"
)


class OwnFunction:
    """What a user's function returned."""

    stamp = ""

    def __init__(self, config: DataConfig) -> None:
        self._where = f"data set '{config.name}'"
        self._arrays = self._checked(_call(_find(config), config, self._where))
        train = self._labels("train")
        num_classes = count_classes(train, "labels of train", self._where)
        self.class_names = self._names(num_classes)
        self.num_images: dict[Part, int] = {part: len(self.labels(part)) for part in PARTS if part in self._arrays}

    def labels(self, part: Part) -> Ints:
        """Return the labels (N,) of a part."""
        labels = self._labels(part)
        check_range(labels, f"labels of {part}", len(self.class_names), "train", self._where)
        return labels

    def images(self, part: Part, indices: Ints) -> Pixels:
        """Return the images (len(indices), H, W, C) of a part."""
        images = np.asanyarray(self._arrays[part][0])
        check_images(images, f"images of {part}", "there are", self.num_images[part], self._where)
        return choose(images, indices)

    def name(self, part: Part, index: int) -> str:
        """Return the place of an image in its part."""
        return numbered(part, index)

    def _labels(self, part: Part) -> Ints:
        return check_labels(np.asarray(self._arrays[part][1]), f"labels of {part}", self._where)

    def _checked(self, given: object) -> dict[str, tuple[AnyArray, AnyArray]]:
        """Return the arrays by part, where the form is right."""
        if not isinstance(given, Mapping):
            raise DataError(f"{self._where} returned {type(given).__name__}; {FORM}")
        unknown = [str(key) for key in given if key not in (*PARTS, CLASS_NAMES)]
        if unknown or "train" not in given:
            what = f"holds '{unknown[0]}'" if unknown else "holds no 'train'"
            raise DataError(f"{self._where}: what it returned {what}; {FORM}")
        self._given_names = given.get(CLASS_NAMES)
        arrays = {}
        for part in (part for part in PARTS if part in given):
            pair = given[part]
            if not isinstance(pair, tuple | list) or len(pair) != 2 or not hasattr(pair[0], "shape"):
                raise DataError(f"{self._where}: '{part}' must be (images, labels) as NumPy arrays; {FORM}")
            arrays[str(part)] = (pair[0], pair[1])
        return arrays

    def _names(self, num_classes: int) -> tuple[str, ...]:
        if self._given_names is None:
            return tuple(str(label) for label in range(num_classes))
        names = tuple(str(name) for name in self._given_names)
        if len(names) != num_classes:
            raise DataError(
                f"{self._where} returned {len(names)} class_names, but labels of train tell of {num_classes} classes; "
                "give one name for each, and images of each"
            )
        return names


def _find(config: DataConfig) -> Callable[[DataConfig], Any]:  # Any: what it returns is checked
    found = import_named(config.name, "data set", DataError)
    if not callable(found):
        kind = type(found).__name__
        raise DataError(f"data set '{config.name}' is {kind}; name a function that takes the data section")
    checked: Callable[[DataConfig], Any] = found
    return checked


def _call(function: Callable[[DataConfig], Any], config: DataConfig, where: str) -> object:
    try:
        return function(config)
    except DataError:
        raise
    except Exception as error:  # whatever a user's code raises is told with its place, and stops here
        last = traceback.extract_tb(error.__traceback__)[-1]
        reason = " ".join(str(error).split())
        raise DataError(
            f"{where} raised {type(error).__name__} in {Path(last.filename).name}, line {last.lineno}: {reason}"
        ) from error
