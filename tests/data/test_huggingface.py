"""Hugging Face's data sets: what is said without the package, and what is taken with it."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ecoNAS.config import DataConfig
from ecoNAS.data.datasets import load_data, open_source
from ecoNAS.errors import DataError


def refused(config: DataConfig, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_data(config)
    assert "\n" not in str(caught.value)


def test_without_the_package_the_line_is_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)

    refused(
        DataConfig(name="huggingface", dataset="a/b"), r"which is not installed; pip install 'econas\[huggingface\]'"
    )


@pytest.mark.parametrize("keys", [{}, {"dataset": "a/b", "path": "x"}])
def test_either_a_name_or_a_folder_is_needed(keys: dict[str, Any]) -> None:
    refused(DataConfig(name="huggingface", **keys), r"needs either data.dataset, .* or data.path, .*; set one of them")


@pytest.fixture
def datasets() -> Any:
    """The package."""
    package = pytest.importorskip("datasets", reason="needs the extra econas[huggingface]")
    package.disable_progress_bars()
    return package


def saved(datasets: Any, folder: Path, columns: dict[str, Any], features: dict[str, Any], split: str = "train") -> Path:
    rows = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    datasets.DatasetDict({split: rows}).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def pictures(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (8, 8), (number, 100 + number, 200)) for number in range(count)]


def test_pictures_and_labels_belong_together(datasets: Any, tmp_path: Path) -> None:
    features = {"label": datasets.ClassLabel(names=["ant", "bee"]), "picture": datasets.Image()}
    columns = {"picture": pictures(30), "label": [number % 2 for number in range(30)]}

    data = load_data(DataConfig(name="huggingface", path=saved(datasets, tmp_path, columns, features)))

    assert data.class_names == ("ant", "bee")
    np.testing.assert_array_equal(data.train.images[:, 0, 0, 0] % 2, data.train.labels)
    np.testing.assert_array_equal(data.train.images[:, 0, 0, 0], np.array(data.split.train.indices))


def test_one_of_several_columns_of_labels_is_named(datasets: Any, tmp_path: Path) -> None:
    fine, coarse = datasets.ClassLabel(names=["a", "b", "c", "d"]), datasets.ClassLabel(names=["x", "y"])
    columns = {"img": pictures(40), "fine": [n % 4 for n in range(40)], "coarse": [n % 2 for n in range(40)]}
    path = saved(datasets, tmp_path, columns, {"img": datasets.Image(), "fine": fine, "coarse": coarse})
    config = DataConfig(name="huggingface", path=path)

    refused(config, r"has several columns of class labels; set data.label to one of fine, coarse")
    refused(
        config.model_copy(update={"label": "colour"}), r"'colour' is no column of class labels; those are fine, coarse"
    )
    assert load_data(config.model_copy(update={"label": "coarse"})).class_names == ("x", "y")


def test_a_data_set_without_pictures_labels_or_training_is_one_line(datasets: Any, tmp_path: Path) -> None:
    label = datasets.ClassLabel(names=["a", "b"])
    text = saved(
        datasets, tmp_path / "1", {"text": ["x"], "label": [0]}, {"text": datasets.Value("string"), "label": label}
    )
    bare = saved(datasets, tmp_path / "2", {"img": pictures(1)}, {"img": datasets.Image()})
    test = saved(
        datasets, tmp_path / "3", {"img": pictures(1), "label": [0]}, {"img": datasets.Image(), "label": label}, "test"
    )

    refused(
        DataConfig(name="huggingface", path=text), r"0 of its columns hold pictures, one is needed; it has text, label"
    )
    refused(
        DataConfig(name="huggingface", path=bare), r"has no column of class labels, but img; cast one with class_encode"
    )
    refused(DataConfig(name="huggingface", path=test), r"has no split train, but test")


def test_a_missing_label_is_refused(datasets: Any, tmp_path: Path) -> None:
    columns = {"img": pictures(4), "label": [0, 1, -1, 0]}
    path = saved(datasets, tmp_path, columns, {"img": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})

    refused(DataConfig(name="huggingface", path=path), r"column 'label' of train holds label -1; labels count from 0")


def test_a_part_whose_labels_are_withheld_is_left_out(datasets: Any, tmp_path: Path) -> None:
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    labels = {"train": [number % 2 for number in range(30)], "test": [-1] * 6}
    parts = {
        part: datasets.Dataset.from_dict({"img": pictures(len(given)), "label": given}, features=features)
        for part, given in labels.items()
    }
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    data = load_data(DataConfig(name="huggingface", path=tmp_path / "saved"))

    assert data.split.test is not None
    assert data.split.test.part == "train"


def test_a_picture_that_cannot_be_read_is_named(datasets: Any, tmp_path: Path) -> None:
    rows = [{"bytes": b"no picture", "path": None}, *pictures(29)]
    columns = {"img": rows, "label": [number % 2 for number in range(30)]}
    path = saved(datasets, tmp_path, columns, {"img": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    config = DataConfig(name="huggingface", path=path, split={"test": 0.0})

    refused(config, r"1 of \d+ images for (train|validation) cannot be read: train\[0\] \(no image that Pillow knows\)")


def test_a_folder_of_something_else_is_one_line(datasets: Any, tmp_path: Path) -> None:
    refused(DataConfig(name="huggingface", path=tmp_path), r"cannot be loaded: .*; correct data.path")


def test_nothing_is_fetched_unless_it_is_asked_for(
    datasets: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    seen = []

    def load(name: str, download_config: Any) -> None:
        seen.append((name, download_config.local_files_only))
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "load_dataset", load)
    refused(
        DataConfig(name="huggingface", dataset="a/b"), r"a/b cannot be loaded: Couldn't .*; set data.download to true"
    )
    with pytest.raises(DataError, match="check its name and the network"):
        open_source(DataConfig(name="huggingface", dataset="a/b", download=True))
    assert seen == [("a/b", True), ("a/b", False)]
