from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ecoNAS.config import DataConfig
from ecoNAS.data.datasets import DataSet, load_data
from ecoNAS.data.images import Normalisation, measure_normalisation, resize_images
from ecoNAS.data.transforms import Augmentation, Normaliser, augment, choose_augmentation
from ecoNAS.errors import DataError
from ecoNAS.recipe import TrainingConfig


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """The brute-force twin: pad by repeating the border, then cut out."""
    height, width, _ = image.shape
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="edge")
    return padded[4 + down : 4 + down + height, 4 + right : 4 + right + width]


def every_variant(image: np.ndarray, reach: int) -> dict[bytes, tuple[int, int, bool]]:
    steps = range(-reach, reach + 1)
    variants = {}
    for down in steps:
        for right in steps:
            moved = shifted(image, down, right)
            variants[moved.tobytes()] = (down, right, False)
            variants[np.ascontiguousarray(moved[:, ::-1]).tobytes()] = (down, right, True)
    return variants


@pytest.fixture
def images() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (400, 8, 8, 3), dtype=np.uint8))


def test_each_image_is_shifted_on_its_own_in_all_directions_and_never_mirrored(images: torch.Tensor) -> None:
    moved = augment(images, Augmentation(max_shift=1), seeded(0)).numpy()

    found = [every_variant(before.numpy(), 1)[after.tobytes()] for before, after in zip(images, moved, strict=True)]
    assert {variant[:2] for variant in found} == {(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)}
    assert not any(mirrored for _, _, mirrored in found)


def test_half_of_the_images_stay_in_place(images: torch.Tensor) -> None:
    moved = augment(images, Augmentation(max_shift=2), seeded(0))

    stayed = (moved == images).flatten(1).all(dim=1).float().mean()
    # Half are never shifted, and of the others one in 25; 400 images leave 2.5 points of standard error.
    assert float(stayed) == pytest.approx(0.52, abs=0.08)


def test_mirroring_turns_about_half_of_the_images(images: torch.Tensor) -> None:
    moved = augment(images, Augmentation(max_shift=2, mirrors=True), seeded(0)).numpy()

    found = [every_variant(before.numpy(), 2)[after.tobytes()] for before, after in zip(images, moved, strict=True)]
    assert np.mean([mirrored for _, _, mirrored in found]) == pytest.approx(0.5, abs=0.08)


def test_augmentation_depends_on_its_generator_alone(images: torch.Tensor) -> None:
    policy = Augmentation(max_shift=1, mirrors=True)
    first = augment(images, policy, seeded(3))
    torch.rand(10)

    assert torch.equal(augment(images, policy, seeded(3)), first)
    assert not torch.equal(augment(images, policy, seeded(4)), first)


def test_no_augmentation_changes_nothing_and_draws_nothing(images: torch.Tensor) -> None:
    generator = seeded(0)
    before = generator.get_state()

    assert augment(images, Augmentation(), generator) is images
    assert torch.equal(generator.get_state(), before)


@pytest.fixture
def digits() -> DataSet:
    return load_data(DataConfig(name="digits"))


@pytest.fixture
def colour(tmp_path: Path) -> DataSet:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "colour.npz", x_train=x, y_train=np.arange(40) % 2)
    return load_data(DataConfig(name="npz", path=tmp_path / "colour.npz"))


def test_auto_shifts_grey_images_and_mirrors_colour_ones_too(digits: DataSet, colour: DataSet) -> None:
    assert choose_augmentation(TrainingConfig(), digits) == Augmentation(max_shift=1)
    assert choose_augmentation(TrainingConfig(), colour) == Augmentation(max_shift=4, mirrors=True)
    assert choose_augmentation(TrainingConfig(augment="shift"), colour) == Augmentation(max_shift=4)
    assert choose_augmentation(TrainingConfig(augment="none"), colour) == Augmentation()


def test_digits_are_never_mirrored(digits: DataSet) -> None:
    with pytest.raises(DataError, match=r"crop_flip mirrors images, .* choose shift"):
        choose_augmentation(TrainingConfig(augment="crop_flip"), digits)


def test_digits_in_colour_would_not_be_mirrored_either(colour: DataSet) -> None:
    assert not choose_augmentation(TrainingConfig(), replace(colour, name="digits")).mirrors


def test_a_network_sees_pixels_less_their_mean_over_their_deviation(images: torch.Tensor) -> None:
    normalisation = Normalisation(mean=(0.1, 0.5, 0.9), std=(0.2, 0.3, 0.4))

    seen = Normaliser(normalisation, resolution=8)(images)

    pixels = images.numpy().astype(np.float64) / 255
    expected = (pixels - [0.1, 0.5, 0.9]) / [0.2, 0.3, 0.4]
    np.testing.assert_allclose(seen.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-6)
    assert seen.is_contiguous(memory_format=torch.channels_last)


def test_mean_and_deviation_are_those_of_numpy(images: torch.Tensor) -> None:
    normalisation = measure_normalisation(images.numpy())

    pixels = images.numpy() / 255
    assert normalisation.mean == pytest.approx(pixels.mean(axis=(0, 1, 2)))
    assert normalisation.std == pytest.approx(pixels.std(axis=(0, 1, 2)))


def test_a_constant_channel_stays_finite() -> None:
    assert measure_normalisation(np.full((2, 4, 4, 1), 7, dtype=np.uint8)).std == (1.0,)


def test_resizing_keeps_a_constant_image_and_crops_the_centre_of_an_oblong_one() -> None:
    images = np.zeros((1, 8, 32, 2), dtype=np.uint8)
    images[:, :, 8:24, 0] = 200  # the centred square is 12:20; the filter looks four pixels further
    images[..., 1] = 9

    resized = resize_images(images, 4)

    assert resized.shape == (1, 4, 4, 2)
    assert (resized[..., 0] == 200).all()
    assert (resized[..., 1] == 9).all()
