"""Images that are in two splits at once, identical or nearly so: accuracy on them is memory, not skill.

Identical images are found by the SHA-256 of their pixels. For the others, each image becomes a thumbnail of 8x8 grey
pixels without its mean and of unit length (after A. Torralba, R. Fergus and W. T. Freeman, "80 Million Tiny Images",
IEEE PAMI 30(11), 2008), all pairs across two splits are compared by matrix products, and the nearest is verified:
the Pearson correlation of both images at 16x16 pixels in colour must reach `NEAR`. That finds
copies that were encoded, scaled or brightened anew; not those that were cropped, turned or mirrored, so what is found
is a lower bound. Why it matters: B. Barz and J. Denzler, "Do We Train on Test Data?", J. Imaging 6(6), 2020.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from ecoNAS.data.images import Ints, Pixels, chunks_of
from ecoNAS.frozen import Frozen

Floats = npt.NDArray[np.float32]

# Of copies of CIFAR-10 images at JPEG quality 75, 99 in 100 correlate by more than this, and of handwritten digits of
# different writers one in 700 does.
NEAR: Final = 0.99
THUMBNAIL: Final = 8
SKETCH: Final = 16  # pixels at which a pair is verified: noise of encoding and scaling averages out
FLAT: Final = 1.0  # grey levels of deviation below which an image has nothing to compare
BLOCK: Final = 4096  # images of each split in one matrix product, 64 MiB of results


@dataclass(frozen=True, slots=True, eq=False)
class Sketches:
    """What is kept of the images of a split to find twins: about 1 kB each.

    Attributes:
        digests: SHA-256 of each image.
        thumbnails: float32 (N, 64), of unit length, or zeros for a flat image.
        details: uint8 (N, 16 * 16 * C), for verification.
    """

    digests: tuple[bytes, ...]
    thumbnails: Floats
    details: npt.NDArray[np.uint8]


class Twin(Frozen):
    """An image and another of the other split that is the same or nearly so.

    Attributes:
        kind: Equal pixels, or a correlation of at least `NEAR`.
        place: Position in the later split, among its images.
        other: Position in the earlier split.
        correlation: Of their pixels; 1 for identical ones.
    """

    kind: Literal["identical", "near"]
    place: int
    other: int
    correlation: float


def sketch(chunks: Iterable[Pixels]) -> Sketches:
    """Return the sketches of uint8 images (N, H, W, C), which may come some at a time."""
    digests, thumbnails, details = list[bytes](), list[Floats](), list[npt.NDArray[np.uint8]]()
    for chunk in _small(chunks):
        digests += [sha256(np.ascontiguousarray(image).data).digest() for image in chunk]
        detail = _shrink(chunk, SKETCH)
        details.append(np.rint(detail).astype(np.uint8).reshape(len(chunk), -1))
        thumbnails.append(_unit(_shrink(detail, THUMBNAIL).mean(axis=3).reshape(len(chunk), -1)))
    return Sketches(tuple(digests), np.concatenate(thumbnails), np.concatenate(details))


def find_twins(earlier: Sketches, later: Sketches) -> list[Twin]:
    """Return each image of the later split that has a twin in the earlier one, with the nearest of those."""
    first = {digest: place for place, digest in reversed(list(enumerate(earlier.digests)))}
    found = {
        place: Twin(kind="identical", place=place, other=first[digest], correlation=1.0)
        for place, digest in enumerate(later.digests)
        if digest in first
    }
    rest = np.array([place for place in range(len(later.digests)) if place not in found], dtype=np.int64)
    for place, other in zip(rest, _nearest(earlier.thumbnails, later.thumbnails[rest]), strict=True):
        correlation = _correlation(earlier.details[other], later.details[place]) if other >= 0 else 0.0
        if correlation >= NEAR:
            found[int(place)] = Twin(kind="near", place=int(place), other=int(other), correlation=correlation)
    return [found[place] for place in sorted(found)]


def _small(chunks: Iterable[Pixels]) -> Iterator[Pixels]:
    for chunk in chunks:
        yield from chunks_of(chunk)


def _shrink(images: npt.NDArray[np.uint8] | Floats, size: int) -> Floats:
    """Return square images (N, H, H, C) averaged over areas to (N, size, size, C); smaller ones as they are."""
    num_images, height, _, channels = images.shape
    if height <= size:
        return images.astype(np.float32)
    edges = np.linspace(0, height, size + 1)[:, None]
    pixels = np.arange(height)
    weights = np.clip(np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels), 0, 1)  # (size, H), of overlap
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    rows = weights @ images.reshape(num_images, height, -1).astype(np.float32)
    columns = rows.reshape(num_images, size, height, channels).transpose(0, 1, 3, 2) @ weights.T
    return np.ascontiguousarray(columns.transpose(0, 1, 3, 2))


def _unit(vectors_nd: Floats) -> Floats:
    """Return vectors without their mean and of unit length; zeros for flat ones."""
    centred = vectors_nd - vectors_nd.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    is_flat = lengths < FLAT * np.sqrt(vectors_nd.shape[1])
    unit: Floats = np.where(is_flat, 0, centred / np.maximum(lengths, 1e-6)).astype(np.float32)
    return unit


def _nearest(earlier_nd: Floats, later_md: Floats) -> Ints:
    """Return for each later thumbnail the place (M,) of the most similar earlier one; -1 where none is `NEAR`."""
    nearest, similarity = np.full(len(later_md), -1, dtype=np.int64), np.full(len(later_md), NEAR, dtype=np.float32)
    for start in range(0, len(later_md), BLOCK):
        block = slice(start, start + BLOCK)
        for begin in range(0, len(earlier_nd), BLOCK):
            products = later_md[block] @ earlier_nd[begin : begin + BLOCK].T
            best = products.max(axis=1)  # where the maximum lies is asked of few: finding that takes longer
            rows = np.flatnonzero(best >= similarity[block])
            nearest[start + rows] = products[rows].argmax(axis=1) + begin
            similarity[start + rows] = best[rows]
    return nearest


def _correlation(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    return float(_unit(one[None].astype(np.float32))[0] @ _unit(other[None].astype(np.float32))[0])
