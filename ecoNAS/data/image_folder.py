"""A data set as a folder of images or a zip of one: `train/<class>/*.jpg`, beside it `validation` and `test` if any.

The layout may lie below one top-level folder. Listing opens no image; decoding opens those that were asked for.
"""

import io
from functools import partial
from typing import Final

import numpy as np
from PIL import Image

from ecoNAS.config import DataConfig
from ecoNAS.data.image_files import open_files
from ecoNAS.data.images import Ints, Part, Pixels
from ecoNAS.data.paths import existing_path, refuse_keys, stamp_files
from ecoNAS.data.pictures import read_pictures
from ecoNAS.errors import DataError

FOLDERS: Final[dict[str, Part]] = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
}
SUFFIXES: Final = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
LAYOUT: Final = "train/<class>/*.jpg, and test/<class>/*.jpg if it has a test split, below at most one top-level folder"


class ImageFolder:
    """Images sorted into parts and classes by the folders that they lie in."""

    def __init__(self, config: DataConfig) -> None:
        refuse_keys(config, "dataset", "download", "label")
        self._path = existing_path(config, "a folder of images or a zip of one")
        self._files = open_files(self._path)
        self._resolution = config.resolution
        self._classes = self._find_classes()
        self.class_names = tuple(sorted(self._classes["train"]))
        self._check_classes()
        self._names = {
            part: [image for name in self.class_names for image in classes.get(name, ())]
            for part, classes in self._classes.items()
        }
        self.num_images: dict[Part, int] = {part: len(names) for part, names in self._names.items()}

    def labels(self, part: Part) -> Ints:
        """Return the labels (N,) of a part, class after class."""
        counts = [len(self._classes[part].get(name, ())) for name in self.class_names]
        return np.repeat(np.arange(len(counts), dtype=np.int64), counts)

    def images(self, part: Part, indices: Ints) -> Pixels:
        """Return the images (len(indices), H, W, 1 or 3) of a part."""
        return read_pictures(
            part, indices, lambda index: self.name(part, index), partial(self._open, part), self._resolution
        )

    def name(self, part: Part, index: int) -> str:
        """Return the path of an image from the root of the folder or zip."""
        return self._names[part][index]

    @property
    def stamp(self) -> str:
        """Names, sizes and times of change of all files."""
        return stamp_files(self._path)

    def _open(self, part: Part, index: int) -> Image.Image:
        return Image.open(io.BytesIO(self._files.read(self.name(part, index))))

    def _find_classes(self) -> dict[Part, dict[str, list[str]]]:
        """Return the sorted names of the images by part and class; a class folder without images has none."""
        names = [name for name in self._files.names() if not _is_hidden(name)]
        root = self._find_root(names)
        classes: dict[Part, dict[str, list[str]]] = {}
        for name in names:
            folder, _, rest = name.removeprefix(root).partition("/")
            if not name.startswith(root) or folder not in FOLDERS or not rest:
                continue
            class_name, _, file = rest.partition("/")
            is_image = "." + name.rpartition(".")[2].lower() in SUFFIXES
            if not rest.count("/"):
                if is_image:
                    raise DataError(f"{self._path}: {name} lies in no class folder; the layout is {LAYOUT}")
                continue
            images = classes.setdefault(FOLDERS[folder], {}).setdefault(class_name, [])
            if file and is_image:
                images.append(name)
        if "train" not in classes:
            raise DataError(f"{self._path}: {root}train holds no class folders; the layout is {LAYOUT}")
        return classes

    def _find_root(self, names: list[str]) -> str:
        roots = {"" for name in names if name.startswith("train/")} or {
            name.partition("/")[0] + "/" for name in names if name.partition("/")[2].startswith("train/")
        }
        if len(roots) == 1:
            return roots.pop()
        if roots:
            raise DataError(
                f"{self._path}: {' and '.join(sorted(roots))} both hold a folder train; set data.path to one"
            )
        tops = sorted({name.partition("/")[0] for name in names})
        found = ", ".join(tops[:5]) + (", ..." if len(tops) > 5 else "") or "nothing"
        raise DataError(f"{self._path}: holds no folder train, but {found}; the layout is {LAYOUT}")

    def _check_classes(self) -> None:
        for part, classes in self._classes.items():
            for name, images in sorted(classes.items()):
                if name not in self.class_names:
                    raise DataError(
                        f"{self._path}: class '{name}' of {part} is not in train; add it there or remove it"
                    )
                if not images:
                    raise DataError(
                        f"{self._path}: class folder '{name}' of {part} holds no image; add some "
                        f"({', '.join(sorted(SUFFIXES))}) or remove the folder"
                    )
        if len(self.class_names) < 2:
            raise DataError(f"{self._path}: train holds one class only; a classification needs two or more")


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
