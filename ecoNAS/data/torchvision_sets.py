"""torchvision's data sets for classification by name: `data: {name: torchvision, dataset: CIFAR10, path: data}`.

Files are where torchvision looks for them below `path`; nothing is fetched unless `download: true` is set. Labels and
pictures are taken from torchvision, which knows the formats; what is missing is told here, with the files that are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image

from ecoNAS.config import DataConfig
from ecoNAS.data.arrays import check_labels, check_range, count_classes
from ecoNAS.data.images import Ints, Part, Pixels, numbered
from ecoNAS.data.paths import refuse_keys, stamp_files
from ecoNAS.data.pictures import read_pictures
from ecoNAS.errors import DataError, unknown_name

_Parts = Mapping[Part, Mapping[str, object]]  # by part: how torchvision's class is called for it

_BY_FLAG: Final[_Parts] = {"train": {"train": True}, "test": {"train": False}}
_BY_NAME: Final[_Parts] = {"train": {"split": "train"}, "test": {"split": "test"}}
_ALL_THREE: Final[_Parts] = {**_BY_NAME, "validation": {"split": "val"}}


@dataclass(frozen=True, slots=True)
class _Layout:
    """How torchvision calls the parts of a data set, and which files it looks for below the path.

    Attributes:
        files: Relative to the path, as torchvision 0.29 has them.
        label: Where its object keeps the labels, or pairs that end in one.
    """

    parts: _Parts
    files: tuple[str, ...]
    label: str = "targets"


def _idx_files(name: str) -> _Layout:
    """Return the layout of MNIST and of those that took its format."""
    files = (f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1"))
    return _Layout(_BY_FLAG, tuple(f"{name}/raw/{file}" for file in files))


LAYOUTS: Final[Mapping[str, _Layout]] = {
    **{name: _idx_files(name) for name in ("MNIST", "FashionMNIST", "KMNIST")},
    "CIFAR10": _Layout(_BY_FLAG, ("cifar-10-batches-py",)),
    "CIFAR100": _Layout(_BY_FLAG, ("cifar-100-python",)),
    "USPS": _Layout(_BY_FLAG, ("usps.bz2", "usps.t.bz2")),
    "SVHN": _Layout(_BY_NAME, ("train_32x32.mat", "test_32x32.mat"), "labels"),
    "STL10": _Layout(_BY_NAME, ("stl10_binary",), "labels"),
    "GTSRB": _Layout(_BY_NAME, ("gtsrb",), "_samples"),
    "Food101": _Layout(_BY_NAME, ("food-101",), "_labels"),
    "DTD": _Layout(_ALL_THREE, ("dtd/dtd",), "_labels"),
    "Flowers102": _Layout(_ALL_THREE, ("flowers-102",), "_labels"),
    "FGVCAircraft": _Layout(_ALL_THREE, ("fgvc-aircraft-2013b",), "_labels"),
    "Country211": _Layout({**_BY_NAME, "validation": {"split": "valid"}}, ("country211",)),
    "OxfordIIITPet": _Layout({**_BY_NAME, "train": {"split": "trainval"}}, ("oxford-iiit-pet",), "_labels"),
    "EuroSAT": _Layout({"train": {}}, ("eurosat/2750",)),
}


class TorchvisionSet:
    """One of torchvision's data sets, its parts as torchvision splits it."""

    def __init__(self, config: DataConfig) -> None:
        refuse_keys(config, "label")
        if config.dataset is None:
            raise DataError(
                f"data set 'torchvision' needs to know which; set data.dataset to one of {', '.join(LAYOUTS)}"
            )
        if config.dataset not in LAYOUTS:
            raise DataError(unknown_name("data.dataset of torchvision", config.dataset, LAYOUTS))
        if config.path is None:
            raise DataError(
                "data set 'torchvision' needs a folder for its files; set data.path, such as ${ECONAS_DATA:-data}"
            )
        self._config, self._name, self._root = config, config.dataset, config.path.absolute()
        self._layout = LAYOUTS[self._name]
        self._where = f"torchvision's {self._name} in {self._root}"
        self._sets = {part: self._open(arguments) for part, arguments in self._layout.parts.items()}
        train = self._labels("train")
        num_classes = count_classes(train, "labels of train", self._where)
        names = getattr(self._sets["train"], "classes", None) or range(num_classes)
        self.class_names = tuple(str(name) for name in names)[:num_classes]
        self.num_images: dict[Part, int] = {part: len(self.labels(part)) for part in self._sets}

    @property
    def stamp(self) -> str:
        """Names, sizes and times of change of its files."""
        return stamp_files(*(self._root / file for file in self._layout.files))

    def labels(self, part: Part) -> Ints:
        """Return the labels (N,) of a part."""
        labels = self._labels(part)
        check_range(labels, f"labels of {part}", len(self.class_names), "train", self._where)
        return labels

    def images(self, part: Part, indices: Ints) -> Pixels:
        """Return the images (len(indices), H, W, 1 or 3) of a part."""

        def open_picture(index: int) -> Image.Image:
            picture: Image.Image = self._sets[part][index][0]
            return picture

        return read_pictures(part, indices, lambda index: self.name(part, index), open_picture, self._config.resolution)

    def name(self, part: Part, index: int) -> str:
        """Return the number of an image: most of these data sets have no file for each."""
        return numbered(part, index)

    def _labels(self, part: Part) -> Ints:
        found = getattr(self._sets[part], self._layout.label)
        if self._layout.label == "_samples":
            found = [label for _, label in found]
        return check_labels(np.asarray(found), f"labels of {part}", self._where)

    def _open(self, arguments: Mapping[str, object]) -> Any:  # Any: torchvision's classes share no contract of labels
        from torchvision import datasets  # noqa: PLC0415  slow, and only this data set needs it

        files = ", ".join(self._layout.files)
        try:
            return getattr(datasets, self._name)(root=str(self._root), download=self._config.download, **arguments)
        except (RuntimeError, OSError, EOFError, ValueError) as error:
            reason = " ".join(str(error).split())
            if self._config.download:
                raise DataError(f"{self._where} could not be fetched: {reason}; put {files} there by hand") from None
            missing = [file for file in self._layout.files if not (self._root / file).exists()]
            state = f"lacks {', '.join(missing)}" if missing else f"is not complete or broken ({reason})"
            raise DataError(
                f"{self._where} {state}; put {files} there, unpacked, or set data.download to true"
            ) from None
