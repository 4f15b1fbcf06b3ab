"""Data sets of Hugging Face: `data: {name: huggingface, dataset: uoft-cs/cifar10, download: true}`.

Without `download: true` only what lies in Hugging Face's own cache on this machine is used; with `path` in the place of
`dataset`, what `save_to_disk` wrote. The package `datasets` is an extra and imported here alone. Which column holds the
pictures is seen from its type; the labels are the one column of class labels, or the one that `data.label` names.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from ecoNAS.config import DataConfig
from ecoNAS.data.arrays import check_labels, check_range
from ecoNAS.data.images import Ints, Part, Pixels, numbered
from ecoNAS.data.paths import existing_path
from ecoNAS.data.pictures import read_pictures
from ecoNAS.errors import DataError

if TYPE_CHECKING:
    from types import ModuleType

SPLITS: Final[Mapping[str, Part]] = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
INSTALL: Final = "pip install 'econas[huggingface]'"


class HuggingFaceSet:
    """A data set of Hugging Face, its parts as its authors split it."""

    def __init__(self, config: DataConfig) -> None:
        if (config.dataset is None) == (config.path is None):
            raise DataError(
                "data set 'huggingface' needs either data.dataset, such as uoft-cs/cifar10, or data.path, a folder "
                "that save_to_disk wrote; set one of them"
            )
        package = _import(config)
        self._resolution = config.resolution
        self._where = f"Hugging Face's {config.dataset or config.path}"
        self._sets = self._by_part(_load(package, config, self._where))
        self._picture, self._label = self._columns(package, config)
        self.class_names: tuple[str, ...] = tuple(self._sets["train"].features[self._label].names)
        self._leave_out_unlabelled()
        self.num_images: dict[Part, int] = {part: len(self.labels(part)) for part in self._sets}

    @property
    def stamp(self) -> str:
        """Hugging Face's own fingerprints of the parts."""
        return " ".join(f"{part}:{found._fingerprint}" for part, found in sorted(self._sets.items()))

    def labels(self, part: Part) -> Ints:
        """Return the labels (N,) of a part."""
        name = f"column '{self._label}' of {part}"
        labels = check_labels(np.asarray(self._sets[part].with_format("numpy")[self._label][:]), name, self._where)
        check_range(labels, name, len(self.class_names), "train", self._where)
        return labels

    def images(self, part: Part, indices: Ints) -> Pixels:
        """Return the images (len(indices), H, W, 1 or 3) of a part."""
        rows = self._sets[part].select_columns(self._picture)

        def open_picture(index: int) -> Image.Image:
            picture: Image.Image | None = rows[index][self._picture]
            if picture is None:
                raise DataError("there is none")
            return picture

        return read_pictures(part, indices, lambda index: self.name(part, index), open_picture, self._resolution)

    def name(self, part: Part, index: int) -> str:
        """Return the number of an image."""
        return numbered(part, index)

    def _by_part(self, found: Mapping[str, Any]) -> dict[Part, Any]:  # Any: `datasets` may not be installed
        parts = {SPLITS[str(name)]: split for name, split in found.items() if str(name) in SPLITS}
        if "train" not in parts:
            raise DataError(f"{self._where} has no split train, but {', '.join(map(str, found)) or 'none'}")
        return parts

    def _leave_out_unlabelled(self) -> None:
        """Leave out a part whose labels are withheld, as test parts of competitions have them: all are -1."""
        for part in ("test", "validation"):
            if part in self._sets:
                labels = np.asarray(self._sets[part].with_format("numpy")[self._label][:])
                if len(labels) and (labels == -1).all():
                    del self._sets[part]

    def _columns(self, package: "ModuleType", config: DataConfig) -> tuple[str, str]:
        """Return the columns of pictures and labels."""
        features = self._sets["train"].features
        pictures = [name for name, feature in features.items() if isinstance(feature, package.Image)]
        labels = [name for name, feature in features.items() if isinstance(feature, package.ClassLabel)]
        held = ", ".join(features)
        if len(pictures) != 1:
            raise DataError(
                f"{self._where}: {len(pictures)} of its columns hold pictures, one is needed; it has {held}"
            )
        if config.label is not None and config.label not in labels:
            raise DataError(
                f"{self._where}: '{config.label}' is no column of class labels; those are {', '.join(labels)}"
            )
        if config.label is None and len(labels) != 1:
            state = f"several columns of class labels; set data.label to one of {', '.join(labels)}"
            none = (
                f"no column of class labels, but {held}; cast one with class_encode_column, save_to_disk, set data.path"
            )
            raise DataError(f"{self._where} has {state if labels else none}")
        return pictures[0], config.label or labels[0]


def _import(config: DataConfig) -> "ModuleType":
    if not config.download:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read at import; else it asks the hub, again and again
    try:
        import datasets  # noqa: PLC0415  an extra, and slow
    except ImportError:
        raise DataError(
            f"data set 'huggingface' needs the package datasets, which is not installed; {INSTALL}"
        ) from None
    package: ModuleType = datasets
    return package


def _load(package: "ModuleType", config: DataConfig, where: str) -> Mapping[str, Any]:
    """Return the splits by name."""
    package.disable_progress_bars()
    try:
        if config.path is not None:
            found = package.load_from_disk(str(existing_path(config, "a folder that save_to_disk wrote")))
        else:
            offline = package.DownloadConfig(local_files_only=not config.download)
            found = package.load_dataset(config.dataset, download_config=offline)
    except DataError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # whatever is wrong with hub, cache or files
        reason = " ".join(str(error).split())
        remedy = (
            "set data.download to true to fetch it, or save_to_disk it and set data.path"
            if config.path is None and not config.download
            else "correct data.path"
            if config.path is not None
            else "check its name and the network"
        )
        raise DataError(f"{where} cannot be loaded: {reason}; {remedy}") from None
    return found if isinstance(found, Mapping) else {"train": found}
