"""A data set as a folder of images or a zip of one: `train/<class>/*.jpg`, beside it `validation` and `test` if any.

The layout may lie below one top-level folder. Listing opens no image; decoding opens those that were asked for. Grey
images stay at one channel as long as every image that is asked for together is grey.
"""

import io
import struct
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from ecoNAS.config import DataConfig
from ecoNAS.data.image_files import open_files
from ecoNAS.data.images import Ints, Part, Pixels, resize_image
from ecoNAS.data.paths import existing_path
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

_GREY_MODES: Final = frozenset({"1", "L", "LA"})
_COLOUR_MODES: Final = frozenset({"RGB", "RGBA", "P", "PA", "CMYK", "YCbCr"})
_DECODE_ERRORS: Final = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


class ImageFolder:
    """Images sorted into parts and classes by the folders that they lie in."""

    def __init__(self, config: DataConfig) -> None:
        self._path = existing_path(config, "a folder of images or a zip of one")
        self._files = open_files(self._path)
        self._resolution = config.resolution
        self._classes = self._find_classes()
        self.class_names = tuple(sorted(self._classes["train"]))
        self._check_classes()
        self.num_images: dict[Part, int] = {part: len(self.labels(part)) for part in self._classes}

    def labels(self, part: Part) -> Ints:
        """Return the labels (N,) of a part, class after class."""
        counts = [len(self._classes[part].get(name, ())) for name in self.class_names]
        return np.repeat(np.arange(len(counts), dtype=np.int64), counts)

    def images(self, part: Part, indices: Ints) -> Pixels:
        """Return the images (len(indices), H, W, 1 or 3) of a part."""
        every = [image for name in self.class_names for image in self._classes[part].get(name, ())]
        names = [every[index] for index in indices]
        arrays: list[Pixels] = []
        for name, content in zip(names, self._files.read(names), strict=True):
            array = self._decode(name, content)
            if arrays and array.shape[:2] != arrays[0].shape[:2]:
                raise DataError(
                    f"{self._path}: {name} is {_size(array)} pixels but {names[0]} {_size(arrays[0])}; "
                    "set data.resolution, which brings all images to one size"
                )
            arrays.append(array)
        channels = max(array.shape[2] for array in arrays)
        return np.stack([np.broadcast_to(array, (*array.shape[:2], channels)) for array in arrays])

    def _decode(self, name: str, content: bytes) -> Pixels:
        try:
            with Image.open(io.BytesIO(content)) as opened:
                if opened.mode not in _GREY_MODES | _COLOUR_MODES:
                    raise ValueError(f"its mode {opened.mode} is neither grey nor colour of 8 bits a channel")
                image = ImageOps.exif_transpose(opened)
                if image.mode in {"P", "PA"}:
                    image = image.convert("RGBA")  # else Pillow warns about palettes with transparency
                image = image.convert("L" if image.mode in _GREY_MODES else "RGB")
        except _DECODE_ERRORS as error:
            raise DataError(f"{self._path}: {name} is not a readable image ({error}); repair or remove it") from None
        if self._resolution is not None and image.size != (self._resolution, self._resolution):
            image = resize_image(image, self._resolution)
        return np.atleast_3d(np.asarray(image))

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


def _size(array: Pixels) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
