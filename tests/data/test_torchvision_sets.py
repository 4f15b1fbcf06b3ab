"""torchvision's data sets: files where it looks for them, and what is said where they are not."""

import bz2
import pickle
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from ecoNAS.config import DataConfig
from ecoNAS.data.datasets import load_data, load_test_split, open_source
from ecoNAS.data.torchvision_sets import LAYOUTS
from ecoNAS.errors import DataError


def refused(config: DataConfig, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_data(config)
    assert "\n" not in str(caught.value)


def write_usps(folder: Path) -> None:
    """Write USPS as LIBSVM has it: a line an image, labels from 1, pixels from -1 to 1."""
    for name, size in (("usps.bz2", 40), ("usps.t.bz2", 10)):
        lines = []
        for number in range(size):
            shade = -1 + 2 * (number + 0.5) / 255  # torchvision cuts off what is behind the point
            lines.append(f"{number % 2 + 1} " + " ".join(f"{place + 1}:{shade}" for place in range(256)) + " \n")
        (folder / name).write_bytes(bz2.compress("".join(lines).encode()))


def write_cifar10(folder: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Write CIFAR-10's pickles with ten images in each batch; torchvision's checksums are those of the real ones."""
    monkeypatch.setattr(datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    root = folder / "cifar-10-batches-py"
    root.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (60, 3, 32, 32), dtype=np.uint8)
    for number, name in enumerate([*(f"data_batch_{count}" for count in range(1, 6)), "test_batch"]):
        batch = {"data": pixels[10 * number : 10 * number + 10].reshape(10, -1), "labels": list(range(10))}
        (root / name).write_bytes(pickle.dumps(batch))
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (root / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    return pixels.transpose(0, 2, 3, 1)


def test_usps_has_the_pixels_and_labels_of_its_file(tmp_path: Path) -> None:
    write_usps(tmp_path)
    config = DataConfig(name="torchvision", dataset="USPS", path=tmp_path)

    data = load_data(config)

    numbers = data.train.images[:, 0, 0, 0]  # as each image has its number as shade
    np.testing.assert_array_equal(np.sort(numbers), np.array(data.split.train.indices))
    np.testing.assert_array_equal(numbers % 2, data.train.labels)
    assert len(load_test_split(config)) == 10


def test_cifar10_has_the_pixels_classes_and_test_split_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = write_cifar10(tmp_path, monkeypatch)
    config = DataConfig(name="torchvision", dataset="CIFAR10", path=tmp_path)

    source = open_source(config)

    np.testing.assert_array_equal(source.images("train", np.arange(50)), pixels[:50])
    np.testing.assert_array_equal(source.images("test", np.arange(10)), pixels[50:])
    assert source.class_names[:2] == ("airplane", "automobile")


def test_a_changed_file_changes_the_stamp(tmp_path: Path) -> None:
    write_usps(tmp_path)
    config = DataConfig(name="torchvision", dataset="USPS", path=tmp_path)
    before = open_source(config).stamp
    (tmp_path / "unrelated").touch()
    assert open_source(config).stamp == before

    path = tmp_path / "usps.bz2"
    path.write_bytes(path.read_bytes() + b"")
    assert open_source(config).stamp != before


@pytest.mark.parametrize(
    ("dataset", "files"),
    [
        ("CIFAR10", "cifar-10-batches-py"),
        ("MNIST", "MNIST/raw/train-images-idx3-ubyte, MNIST/raw/train-labels-idx1-ubyte, MNIST/raw/t10k-images"),
        ("SVHN", "train_32x32.mat, test_32x32.mat"),
        ("USPS", "usps.bz2, usps.t.bz2"),
        ("DTD", "dtd/dtd"),
        ("EuroSAT", "eurosat/2750"),
    ],
)
def test_without_download_a_missing_data_set_says_which_files_belong_where(
    tmp_path: Path, dataset: str, files: str
) -> None:
    config = DataConfig(name="torchvision", dataset=dataset, path=tmp_path)

    refused(
        config,
        rf"torchvision's {dataset} in {tmp_path} lacks {files}.*; put {files}.* there, unpacked, or set data.down",
    )
    assert list(tmp_path.iterdir()) == []


def test_every_layout_is_one_of_torchvision_and_finds_nothing_in_an_empty_folder(tmp_path: Path) -> None:
    for name in LAYOUTS:
        assert hasattr(datasets, name)
        refused(DataConfig(name="torchvision", dataset=name, path=tmp_path), rf"torchvision's {name} in .* lacks")


def test_broken_files_are_told_from_missing_ones(tmp_path: Path) -> None:
    (tmp_path / "usps.bz2").write_bytes(b"no bz2")
    (tmp_path / "usps.t.bz2").write_bytes(b"no bz2")

    refused(DataConfig(name="torchvision", dataset="USPS", path=tmp_path), r"is not complete or broken \(Invalid data")


def test_a_download_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.usps.download_url", offline)
    config = DataConfig(name="torchvision", dataset="USPS", path=tmp_path, download=True)

    refused(config, r"could not be fetched: no route to host; put usps.bz2, usps.t.bz2 there by hand")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, r"needs to know which; set data.dataset to one of MNIST, .*CIFAR10"),
        (
            {"dataset": "CIFAR11"},
            r"unknown data.dataset of torchvision 'CIFAR11'; known: .* \(did you mean 'CIFAR10'\?\)",
        ),
        ({"dataset": "CIFAR10"}, r"needs a folder for its files; set data.path, such as \$\{ECONAS_DATA:-data\}"),
        ({"dataset": "CIFAR10", "label": "x"}, r"data set 'torchvision' takes no data.label; remove it"),
    ],
)
def test_keys_that_are_wrong_are_one_line(keys: dict[str, str], message: str) -> None:
    refused(DataConfig(name="torchvision", **keys), message)


@pytest.mark.parametrize("name", ["digits", "npz", "image_folder"])
@pytest.mark.parametrize("keys", [{"dataset": "CIFAR10"}, {"download": True}, {"label": "x"}])
def test_keys_that_a_data_set_does_not_take_are_refused(name: str, keys: dict[str, object]) -> None:
    refused(DataConfig(name=name, **keys), rf"data set '{name}' takes no data.{next(iter(keys))}; remove it")
