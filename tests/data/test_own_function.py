"""A user's own function: what it may return, and one clear line for whatever else it does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecoNAS.config import DataConfig
from ecoNAS.data.datasets import load_data, load_test_split
from ecoNAS.errors import DataError

X = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
Y = np.arange(30) % 3


@pytest.fixture
def returning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[object], DataConfig]:
    """Let a user's module be there whose function returns a value."""
    (tmp_path / "their_images.py").write_text(
        "value, seen = None, []\n\ndef give(config):\n    seen.append(config)\n    return value\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(value: object) -> DataConfig:
        import their_images  # type: ignore[import-not-found]

        their_images.value = value
        return DataConfig(name="their_images:give", path=tmp_path / f"{id(value)}")  # the next is another data set

    yield make
    monkeypatch.delitem(__import__("sys").modules, "their_images", raising=False)


def refused(config: DataConfig, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_data(config)
    assert "\n" not in str(caught.value)


def test_parts_are_taken_as_the_function_gives_them(returning: Callable[[object], DataConfig]) -> None:
    given = {"train": (X, Y), "validation": (X[:6], Y[:6]), "test": (X[6:9], Y[6:9]), "class_names": ["a", "b", "c"]}
    config = returning(given)

    data = load_data(config)

    np.testing.assert_array_equal(data.train.images, X)
    np.testing.assert_array_equal(data.validation.labels, Y[:6])
    np.testing.assert_array_equal(load_test_split(config).images, X[6:9])
    assert data.class_names == ("a", "b", "c")


def test_it_is_told_the_data_section(returning: Callable[[object], DataConfig]) -> None:
    config = returning({"train": (X, Y)})
    load_data(config)

    import their_images  # type: ignore[import-not-found]

    assert their_images.seen[-1] == config


def test_arrays_may_be_mapped_from_files(returning: Callable[[object], DataConfig], tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)

    data = load_data(returning({"train": (np.load(tmp_path / "x.npy", mmap_mode="r"), Y.tolist())}))

    assert data.train.images.shape == (18, 8, 8, 3)
    assert type(data.train.images) is np.ndarray


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"their_images:give' returned NoneType; return a dictionary such as \{'train': \(images, labels\)\}"),
        ((X, Y), r"returned tuple; return a dictionary"),
        ({}, r"what it returned holds no 'train'; return a dictionary"),
        ({"train": (X, Y), "val": (X, Y)}, r"what it returned holds 'val'; return a dictionary .* 'validation'"),
        ({"train": X}, r"'train' must be \(images, labels\) as NumPy arrays"),
        ({"train": ([1, 2], [0, 1])}, r"'train' must be \(images, labels\) as NumPy arrays"),
        ({"train": (X / 255, Y)}, r"images of train is float64; images must be uint8, with pixels from 0 to 255"),
        ({"train": (X.transpose(0, 3, 1, 2).repeat(8, 3), Y)}, r"64 channels; channels come last: give x.transpose"),
        ({"train": (X[:, :, :4], Y)}, r"images are 4x8 pixels and networks take square ones"),
        ({"train": (X[:20], Y)}, r"images of train holds 20 images but there are 30 labels; each image needs one"),
        ({"train": (X, Y / 1)}, r"labels of train is float64; labels must be whole numbers"),
        ({"train": (X, Y - 1)}, r"labels of train holds label -1; labels count from 0"),
        ({"train": (X, Y * 2)}, r"labels of train goes up to 4 but holds no 1; number the classes from 0 without gaps"),
        ({"train": (X, Y * 0)}, r"labels of train holds one class only; a classification needs two or more"),
        ({"train": (X[:1], Y[:1])}, r"labels of train holds one class only"),
        ({"train": (X[:3], Y[:3])}, r"split.test leaves 1 image for test but there are 3 classes; raise it, or add"),
        ({"train": (X, Y), "test": (X, Y + 1)}, r"labels of test holds label 3; train has classes 0 to 2 only"),
        ({"train": (X, Y), "class_names": ["a", "b"]}, r"returned 2 class_names, but labels of train tell of 3"),
        ({"train": (X, Y), "validation": (X[..., :1], Y)}, None),
        ({"train": (X, Y), "validation": (X[..., :2], Y)}, r"validation images are 8x8 pixels of 2 channels, those to"),
    ],
)  # fmt: skip
def test_what_it_returns_is_checked_at_the_door(
    returning: Callable[[object], DataConfig], value: Any, message: str | None
) -> None:
    if message is None:
        assert load_data(returning(value)).validation.images.shape[3] == 3
    else:
        refused(returning(value), message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nowhere:give",
            r"'nowhere:give' cannot be imported: No module named 'nowhere'; write package.module:name",
        ),
        ("json:nothing", r"'json:nothing' cannot be imported: module 'json' has no attribute 'nothing'"),
        (":give", r"cannot be imported"),
        ("math:pi", r"'math:pi' is float; name a function that takes the data section"),
        ("json:loads", r"'json:loads' raised TypeError in __init__.py, line \d+: the JSON object must be str"),
    ],
)
def test_a_path_that_leads_nowhere_is_one_line(name: str, message: str) -> None:
    refused(DataConfig(name=name), message)
