"""Pictures as Pillow opens them, turned into arrays of one size, with those that cannot be read named one by one.

Grey pictures stay at one channel as long as every picture that is asked for together is grey. Where pictures lie is
decided by the sources: folders and zips, torchvision, Hugging Face.
"""

import struct
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ecoNAS.data.images import BrokenImage, BrokenImagesError, Ints, Part, Pixels, resize_image
from ecoNAS.errors import DataError

_GREY_MODES: Final = frozenset({"1", "L", "LA"})
_COLOUR_MODES: Final = frozenset({"RGB", "RGBA", "P", "PA", "CMYK", "YCbCr"})
_ERRORS: Final = (DataError, OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def read_pictures(
    part: Part,
    indices: Ints,
    name: Callable[[int], str],
    open_picture: Callable[[int], Image.Image],
    resolution: int | None,
) -> Pixels:
    """Return pictures as uint8 images (N, H, W, 1 or 3), upright as their camera was held.

    Args:
        part: The part that they belong to.
        indices: Their positions there.
        name: What a user calls the picture at a position.
        open_picture: Opens the picture at a position; raises DataError with the reason where its file cannot be read.
        resolution: Pixels across and down; None to leave them as they are.

    Raises:
        BrokenImagesError: with all of these that cannot be read.
        DataError: if they are not of one size.
    """
    arrays, broken = list[Pixels](), list[BrokenImage]()
    first = ""
    for index in map(int, indices):
        try:
            with open_picture(index) as picture:
                array = _to_array(picture, resolution)
        except UnidentifiedImageError:  # its own message shows an object in memory
            broken.append(BrokenImage(part=part, index=index, name=name(index), reason="no image that Pillow knows"))
            continue
        except _ERRORS as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            broken.append(BrokenImage(part=part, index=index, name=name(index), reason=reason))
            continue
        if arrays and array.shape[:2] != arrays[0].shape[:2]:
            raise DataError(
                f"{name(index)} is {_size(array)} pixels but {first} {_size(arrays[0])}; set data.resolution, which "
                "brings all images to one size"
            )
        first = first or name(index)
        arrays.append(array)
    if broken:
        raise BrokenImagesError(tuple(broken))
    channels = max(array.shape[2] for array in arrays)
    return np.stack([np.broadcast_to(array, (*array.shape[:2], channels)) for array in arrays])


def _to_array(picture: Image.Image, resolution: int | None) -> Pixels:
    """Return one picture as (H, W, 1 or 3)."""
    if picture.mode not in _GREY_MODES | _COLOUR_MODES:
        raise ValueError(f"its mode {picture.mode} is neither grey nor colour of 8 bits a channel")
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in {"P", "PA"}:
        upright = upright.convert("RGBA")  # else Pillow warns about palettes with transparency
    upright = upright.convert("L" if upright.mode in _GREY_MODES else "RGB")
    if resolution is not None and upright.size != (resolution, resolution):
        upright = resize_image(upright, resolution)
    return np.atleast_3d(np.asarray(upright))


def _size(array: Pixels) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
