from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecoNAS.config import DataConfig
from ecoNAS.data.datasets import load_data, load_test_split
from ecoNAS.errors import DataError

SHARED_NPZ = Path(__file__).parents[3] / "shared" / "data" / "flowers17_16x16.npz"

X = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
Y = np.arange(30) % 3


def write(folder: Path, **arrays: Any) -> DataConfig:
    np.savez(folder / "data.npz", **arrays)
    return DataConfig(name="npz", path=folder / "data.npz")


def refused(config: DataConfig, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_data(config)
    assert "\n" not in str(caught.value)


def test_parts_are_taken_as_the_file_has_them(tmp_path: Path) -> None:
    config = write(tmp_path, x_train=X, y_train=Y, x_val=X[:6], y_val=Y[:6], x_test=X[6:9], y_test=Y[6:9])

    data = load_data(config)

    np.testing.assert_array_equal(data.train.images, X)
    np.testing.assert_array_equal(data.validation.labels, Y[:6])
    np.testing.assert_array_equal(load_test_split(config).images, X[6:9])
    assert data.class_names == ("0", "1", "2")


def test_images_without_channels_get_one(tmp_path: Path) -> None:
    assert load_data(write(tmp_path, x_train=X[..., 0], y_train=Y)).train.images.shape == (18, 8, 8, 1)


def test_images_of_any_number_of_channels_are_resized(tmp_path: Path) -> None:
    config = write(tmp_path, x_train=np.repeat(X, 2, axis=3)[..., :5], y_train=Y)

    data = load_data(config.model_copy(update={"resolution": 4}))

    assert (data.problem().input_channels, data.problem().resolution) == (5, 4)


def test_a_search_reads_no_test_image(tmp_path: Path) -> None:
    config = write(tmp_path, x_train=X, y_train=Y, x_test=X[:3].astype(np.float32), y_test=Y[:3])

    load_data(config)
    with pytest.raises(DataError, match="x_test is float32; images must be uint8"):
        load_test_split(config)


def test_a_file_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    before = load_data(write(tmp_path, x_train=X, y_train=Y))
    after = load_data(write(tmp_path, x_train=X[:24], y_train=Y[:24]))

    assert (len(before.train), len(after.train)) == (18, 14)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": X}, r"array 'y_train' is missing; x_train and y_train are needed, .* the file holds x_train"),
        ({}, r"array 'x_train' is missing; .* the file holds nothing"),
        ({"x_train": X, "y_train": Y, "x_test": X}, r"array 'y_test' is missing; .* x_test with y_test are optional"),
        ({"x_train": X.astype(np.float32), "y_train": Y}, r"x_train is float32; images must be uint8, .* 0 to 255"),
        ({"x_train": X[..., 0, 0], "y_train": Y}, r"x_train has shape \(30, 8\); it must be \(N, H, W\) or"),
        ({"x_train": X[:, :0], "y_train": Y}, r"x_train has shape \(30, 0, 8, 3\)"),
        ({"x_train": X, "y_train": Y[:29]}, r"x_train holds 30 images but y_train 29 labels; each image needs one"),
        ({"x_train": X, "y_train": Y / 2}, r"y_train is float64; labels must be whole numbers"),
        ({"x_train": X, "y_train": Y[:, None]}, r"y_train has shape \(30, 1\); labels must be \(N,\)"),
        ({"x_train": X[:0], "y_train": Y[:0]}, r"y_train is empty; a part needs images"),
        ({"x_train": X, "y_train": Y - 1}, r"y_train holds label -1; labels count from 0"),
        (
            {"x_train": X, "y_train": Y * 2},
            r"y_train goes up to 4 but holds no 1; number the classes from 0 without gaps",
        ),
        ({"x_train": X, "y_train": Y * 0}, r"y_train holds one class only"),
        (
            {"x_train": X.transpose(0, 3, 1, 2), "y_train": Y},
            r"shape \(30, 3, 8, 8\).*channels come last: give x.transpose",
        ),
        ({"x_train": X, "y_train": Y, "x_val": X, "y_val": Y + 1}, r"y_val holds label 3; y_train has classes 0 to 2"),
        ({"x_train": X, "y_train": np.array(["a"] * 30)}, r"y_train is <U1; labels must be whole numbers"),
        ({"x_train": X, "y_train": Y.astype(object)}, r"array 'y_train' cannot be read: Object arrays"),
        ({"x_train": X, "y_train": Y, "x_val": X[..., :1], "y_val": Y}, None),  # grey fits colour: see below
        (
            {"x_train": X[..., :1], "y_train": Y, "x_val": X, "y_val": Y},
            r"validation images are 8x8 pixels of 3 channels",
        ),
        (
            {"x_train": X[:, :4], "y_train": Y},
            r"images are 8x4 pixels and networks take square ones; set data.resolution",
        ),
    ],
)
def test_a_mistake_in_a_file_is_one_line(tmp_path: Path, arrays: dict[str, Any], message: str | None) -> None:
    config = write(tmp_path, **arrays)
    if message is None:
        assert load_data(config).validation.images.shape[3] == 3
    else:
        refused(config, message)


@pytest.mark.parametrize("content", [b"hello", b"PK\x03\x04 and no more", b"\x93NUMPY"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)

    refused(DataConfig(name="npz", path=path), r"data.npz is not an .npz file; write one with numpy.savez")


def test_a_bare_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", X)

    refused(DataConfig(name="npz", path=tmp_path / "data.npy"), r"data.npy holds one bare array; write one with")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    refused(DataConfig(name="npz", path=tmp_path), r"is a folder; data set 'npz' needs an .npz file")


@pytest.mark.skipif(not SHARED_NPZ.exists(), reason=f"{SHARED_NPZ} is missing")
def test_the_shared_flowers_load_with_their_own_splits() -> None:
    config = DataConfig(name="npz", path=SHARED_NPZ)
    data = load_data(config)

    assert (len(data.train), len(data.validation), len(load_test_split(config))) == (680, 340, 340)
    assert data.problem().model_dump() == {
        "task": "classification",
        "input_channels": 3,
        "resolution": 16,
        "num_classes": 17,
    }
