"""What every data set must do; a further one adds a row to `ROWS` that writes a small sample of it."""

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ecoNAS.config import DataConfig, SplitConfig
from ecoNAS.data.datasets import DATA_SETS, load_data, load_test_split, open_source


def digits(folder: Path) -> DataConfig:
    return DataConfig(name="digits")


def grey_npz(folder: Path) -> DataConfig:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 9, 9), dtype=np.uint8), np.arange(60, dtype=np.int32) % 3
    np.savez(folder / "grey.npz", x_train=x, y_train=y)
    return DataConfig(name="npz", path=folder / "grey.npz")


def colour_npz_with_all_parts(folder: Path) -> DataConfig:
    rng = np.random.default_rng(0)
    arrays = {}
    for part, size in (("train", 30), ("val", 12), ("test", 9)):
        arrays[f"x_{part}"] = rng.integers(0, 256, (size, 8, 8, 3), dtype=np.uint8)
        arrays[f"y_{part}"] = np.arange(size, dtype=np.uint8) % 3
    np.savez_compressed(folder / "colour.npz", **arrays)
    return DataConfig(name="npz", path=folder / "colour.npz")


def image_folder(folder: Path) -> DataConfig:
    rng = np.random.default_rng(0)
    for number in range(40):
        path = folder / "images" / "train" / ("ant", "bee")[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (10, 10, 3), dtype=np.uint8)).save(path)
    return DataConfig(name="image_folder", path=folder / "images")


def zipped_folder_with_test(folder: Path) -> DataConfig:
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for number in range(50):
            part = "train" if number < 40 else "test"
            with archive.open(f"top/{part}/{('ant', 'bee')[number % 2]}/{number:02}.png", "w") as file:
                Image.fromarray(rng.integers(0, 256, (10, 10), dtype=np.uint8)).save(file, format="png")
    return DataConfig(name="image_folder", path=folder / "images.zip")


def write_mnist(folder: Path, num_train: int = 60, num_test: int = 20) -> None:
    """Write noise in the format of MNIST: http://yann.lecun.com/exdb/mnist, "File formats"."""
    rng = np.random.default_rng(0)
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, size in (("train", num_train), ("t10k", num_test)):
        pixels = rng.integers(0, 256, (size, 28, 28), dtype=np.uint8)
        labels = (np.arange(size) % 10).astype(np.uint8)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 0x803, size, 28, 28) + pixels.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, size) + labels.tobytes())


def torchvision(folder: Path) -> DataConfig:
    write_mnist(folder)
    return DataConfig(name="torchvision", dataset="MNIST", path=folder)


def huggingface(folder: Path) -> DataConfig:
    datasets = pytest.importorskip("datasets", reason="needs the extra econas[huggingface]")
    rng = np.random.default_rng(0)
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=["ant", "bee"])})
    parts = {}
    for part, size in (("train", 40), ("test", 10)):
        pictures = [Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)) for _ in range(size)]
        rows = {"img": pictures, "label": [number % 2 for number in range(size)]}
        parts[part] = datasets.Dataset.from_dict(rows, features=features)
    datasets.disable_progress_bars()
    datasets.DatasetDict(parts).save_to_disk(str(folder / "saved"))
    return DataConfig(name="huggingface", path=folder / "saved")


def my_images(config: DataConfig) -> dict[str, object]:
    """Return what a user's own function returns."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (50, 11, 11, 3), dtype=np.uint8), np.arange(50) % 2
    return {"train": (images[:40], labels[:40]), "test": (images[40:], labels[40:]), "class_names": ["ant", "bee"]}


def own_function(folder: Path) -> DataConfig:
    return DataConfig(name=f"{__name__}:my_images")


ROWS: list[Callable[[Path], DataConfig]] = [
    digits,
    grey_npz,
    colour_npz_with_all_parts,
    image_folder,
    zipped_folder_with_test,
    torchvision,
    huggingface,
    own_function,
]


@pytest.fixture(params=ROWS, ids=lambda row: row.__name__)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> DataConfig:
    return request.param(tmp_path)


def test_every_data_set_has_a_row(tmp_path: Path) -> None:
    names = {"huggingface"}  # which may not be installed
    for row in ROWS:
        if row is not huggingface:
            (tmp_path / row.__name__).mkdir()
            names.add(row(tmp_path / row.__name__).name)

    assert {name for name in names if ":" not in name} == set(DATA_SETS)


def test_it_brings_a_training_part_and_a_label_for_each_image(config: DataConfig) -> None:
    source = open_source(config)

    assert "train" in source.num_images
    for part, size in source.num_images.items():
        labels = source.labels(part)
        assert labels.shape == (size,)
        assert labels.dtype == np.int64
        assert set(labels) <= set(range(len(source.class_names)))
    assert set(source.labels("train")) == set(range(len(source.class_names)))


def test_it_gives_images_in_the_order_asked_for(config: DataConfig) -> None:
    source = open_source(config)

    every = source.images("train", np.arange(source.num_images["train"]))
    some = source.images("train", np.array([5, 0, 3]))

    assert every.dtype == np.uint8
    assert every.ndim == 4
    np.testing.assert_array_equal(some, every[[5, 0, 3]])


def test_it_loads_as_splits_that_fit_one_problem(config: DataConfig) -> None:
    data = load_data(config)
    problem = data.problem()

    shape = (problem.resolution, problem.resolution, problem.input_channels)
    for split in (data.train, data.validation, load_test_split(config)):
        assert split.images.shape[1:] == shape
        assert len(split) == len(split.images) > 0
        assert split.labels.max() < problem.num_classes == len(data.class_names)


def test_an_image_has_a_name_of_its_own(config: DataConfig) -> None:
    source = open_source(config)

    names = [source.name(part, index) for part, size in source.num_images.items() for index in range(size)]
    assert len(set(names)) == len(names)


def test_its_stamp_stays_while_nothing_changes(config: DataConfig) -> None:
    assert open_source(config).stamp == open_source(config).stamp


def test_cached_images_are_those_that_are_held_in_memory(
    config: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = load_data(config)
    monkeypatch.setattr("ecoNAS.data.datasets.SMALL_BYTES", 0)
    cached = load_data(config.model_copy(update={"cache": tmp_path / "cache"}))

    assert (held.cached_in, cached.cached_in) == (None, tmp_path / "cache")
    assert cached.fingerprint == held.fingerprint
    np.testing.assert_array_equal(cached.train.images, held.train.images)


def test_its_images_stand_where_the_split_says(config: DataConfig) -> None:
    data, source = load_data(config), open_source(config)

    for split, share in ((data.train, data.split.train), (data.validation, data.split.validation)):
        indices = np.arange(share.num_images) if share.indices is None else np.array(share.indices)
        assert len(split) == share.num_images
        np.testing.assert_array_equal(split.images, source.images(share.part, indices))
        np.testing.assert_array_equal(split.labels, source.labels(share.part)[indices])


def test_it_is_decoded_once_in_a_process(config: DataConfig) -> None:
    assert load_data(config) is load_data(config.model_copy())


def test_what_all_trainings_share_cannot_be_written(config: DataConfig) -> None:
    with pytest.raises(ValueError, match="read-only"):
        load_data(config).train.images[0] = 0


def test_its_resolution_can_be_changed(config: DataConfig) -> None:
    smaller = config.model_copy(update={"resolution": 5})

    assert load_data(smaller).problem().resolution == 5
    assert load_test_split(smaller).images.shape[1:3] == (5, 5)
    assert load_data(smaller).fingerprint != load_data(config).fingerprint


def test_its_fingerprint_tells_splits_apart_unless_it_brings_them_all(config: DataConfig) -> None:
    other = config.model_copy(update={"split": SplitConfig(seed=7)})

    brings_all = "validation" in open_source(config).num_images
    assert (load_data(other).fingerprint == load_data(config).fingerprint) == brings_all
