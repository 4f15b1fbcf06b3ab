"""Twins across splits: what is found, what is not, held against a brute-force twin."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from ecoNAS.data import twins
from ecoNAS.data.twins import find_twins, sketch


def photographs(count: int, size: int = 32, seed: int = 0) -> np.ndarray:
    """Return colour images with structure at many scales, as photographs have it: noise, softened and mixed."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        layers = []
        for radius, weight in ((size / 4, 6), (size / 10, 3), (1, 1)):
            noise = Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8))
            soft = np.asarray(noise.filter(ImageFilter.GaussianBlur(radius)), dtype=float)
            layers.append(weight * (soft - soft.mean()) / soft.std())
        mixed = sum(layers)
        images.append(np.clip(128 + 45 * mixed / mixed.std(), 0, 255).astype(np.uint8))
    return np.stack(images)


EARLIER = photographs(60)
STRANGERS = photographs(40, seed=1)


def jpeg(image: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=75)
    return np.asarray(Image.open(buffer))


def scaled(image: np.ndarray) -> np.ndarray:
    small = Image.fromarray(image).resize((24, 24), Image.Resampling.BICUBIC)
    return np.asarray(small.resize((32, 32), Image.Resampling.BICUBIC))


def brighter(image: np.ndarray) -> np.ndarray:
    return np.clip(image * 0.8 + 20, 0, 255).astype(np.uint8)


def test_strangers_are_no_twins() -> None:
    assert find_twins(sketch([EARLIER]), sketch([STRANGERS])) == []


def test_identical_images_are_found_where_they_stand() -> None:
    later = STRANGERS.copy()
    later[[3, 17]] = EARLIER[[50, 4]]

    found = find_twins(sketch([EARLIER]), sketch([later]))

    assert [(twin.kind, twin.place, twin.other) for twin in found] == [("identical", 3, 50), ("identical", 17, 4)]


@pytest.mark.parametrize("change", [jpeg, scaled, brighter])
def test_copies_that_were_made_anew_are_found(change: object) -> None:
    later = STRANGERS.copy()
    for place in range(10):
        later[2 * place] = change(EARLIER[5 * place])  # type: ignore[operator]

    found = find_twins(sketch([EARLIER]), sketch([later]))

    assert [(twin.kind, twin.place, twin.other) for twin in found] == [
        ("near", 2 * place, 5 * place) for place in range(10)
    ]
    assert all(0.99 <= twin.correlation < 1 for twin in found)


def test_another_colour_is_another_image() -> None:
    later = EARLIER[:10, :, :, [1, 2, 0]]

    assert find_twins(sketch([EARLIER]), sketch([later])) == []


def test_flat_images_are_twins_only_where_they_are_equal() -> None:
    flat = np.stack([np.full((32, 32, 3), shade, dtype=np.uint8) for shade in (0, 100, 200)])
    almost = flat.copy()
    almost[:, 0, 0, 0] += 1
    others = np.concatenate([flat[:1], almost])

    found = find_twins(sketch([flat]), sketch([others]))

    assert [(twin.kind, twin.place, twin.other) for twin in found] == [("identical", 0, 0)]


def test_the_first_of_equal_images_is_named() -> None:
    assert [twin.other for twin in find_twins(sketch([EARLIER[[1, 0, 0]]]), sketch([EARLIER[:1]]))] == [1]


@pytest.mark.parametrize("size", [5, 8, 12, 33])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_can_be_compared(size: int, channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, size, size, channels), dtype=np.uint8)

    found = find_twins(sketch([images[:10]]), sketch([images[5:]]))

    assert [(twin.place, twin.other) for twin in found] == [(place, place + 5) for place in range(5)]


def test_shrinking_keeps_the_mean_and_averages_whole_squares_as_numpy_does() -> None:
    exact = twins._shrink(EARLIER, 16)
    np.testing.assert_allclose(exact, EARLIER.reshape(60, 16, 2, 16, 2, 3).mean(axis=(2, 4)), atol=1e-3)

    uneven = twins._shrink(photographs(5, size=33), 8)
    np.testing.assert_allclose(uneven.mean(axis=(1, 2)), photographs(5, size=33).mean(axis=(1, 2)), atol=1e-2)


def test_blocks_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    later = STRANGERS.copy()
    later[7], later[30] = jpeg(EARLIER[59]), EARLIER[13]
    whole = find_twins(sketch([EARLIER]), sketch([later]))

    monkeypatch.setattr(twins, "BLOCK", 7)
    monkeypatch.setattr("ecoNAS.data.images.CHUNK_BYTES", 20_000)
    parts = find_twins(sketch([EARLIER[:11], EARLIER[11:]]), sketch([later[:5], later[5:]]))

    assert [(twin.place, twin.other, twin.kind) for twin in parts] == [
        (twin.place, twin.other, twin.kind) for twin in whole
    ]
    assert [(twin.place, twin.other) for twin in whole] == [(7, 59), (30, 13)]


def test_the_nearest_is_that_of_all_pairs_compared_one_by_one() -> None:
    later = np.stack([jpeg(image) for image in EARLIER[::3]])
    found = find_twins(sketch([EARLIER]), sketch([later]))

    flat = EARLIER.reshape(60, -1)
    for twin in found:
        each = [np.corrcoef(image, later[twin.place].ravel())[0, 1] for image in flat]
        assert int(np.argmax(each)) == twin.other
