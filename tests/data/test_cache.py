"""Decoded images on disk: found again, shared, and never wrong."""

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import numpy as np
import pytest
from folders import load_afresh, write_folder
from PIL import Image

from ecoNAS.config import DataConfig, TrainingConfig
from ecoNAS.data.cache import TEMPORARY, cache_root
from ecoNAS.data.image_folder import ImageFolder
from ecoNAS.errors import DataError
from ecoNAS.training.feed import Feed


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataConfig:
    """A folder of images that is cached, small as it is."""
    monkeypatch.setattr("ecoNAS.data.datasets.SMALL_BYTES", 0)
    return DataConfig(name="image_folder", path=write_folder(tmp_path / "images"), cache=tmp_path / "cache")


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("an image was decoded")

    monkeypatch.setattr(ImageFolder, "images", refuse)


def kept_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_cached_images_are_those_that_are_held_in_memory(
    config: DataConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cached = load_afresh(config)
    monkeypatch.undo()
    held = load_afresh(config.model_copy(update={"cache": tmp_path / "other"}))

    assert (cached.cached_in, held.cached_in) == (config.cache, None)
    assert cached.fingerprint == held.fingerprint
    assert cached.normalisation == held.normalisation
    assert cached.split == held.split
    np.testing.assert_array_equal(cached.train.images, held.train.images)
    np.testing.assert_array_equal(cached.validation.labels, held.validation.labels)


def test_the_next_search_decodes_nothing(config: DataConfig, request: pytest.FixtureRequest) -> None:
    first = load_afresh(config)
    request.getfixturevalue("no_decoding")

    second = load_afresh(config)

    assert second is not first
    assert second.fingerprint == first.fingerprint
    assert second.split == first.split


def test_a_worker_that_knows_the_fingerprint_needs_no_source(config: DataConfig) -> None:
    first = load_afresh(config)
    assert config.path is not None
    shutil.rmtree(config.path)

    found = load_afresh(config, first.fingerprint)

    np.testing.assert_array_equal(found.train.images, first.train.images)


def test_a_changed_file_is_decoded_anew(config: DataConfig) -> None:
    first = load_afresh(config)
    assert config.path is not None
    for path in config.path.rglob("*.png"):
        Image.new("RGB", (12, 12), (1, 2, 3)).save(path)

    second = load_afresh(config)

    assert second.fingerprint != first.fingerprint
    assert (second.train.images == [1, 2, 3]).all()


@pytest.mark.parametrize("change", [{"resolution": 6}, {"split": {"validation": 0.4}}, {"max_broken": 0.5}])
def test_whatever_may_change_what_is_kept_has_a_place_of_its_own(
    config: DataConfig, change: dict[str, object], request: pytest.FixtureRequest
) -> None:
    load_afresh(config)
    request.getfixturevalue("no_decoding")

    with pytest.raises(AssertionError, match="an image was decoded"):
        load_afresh(DataConfig.model_validate({**config.model_dump(), **change}))


@pytest.mark.parametrize(
    ("name", "num_bytes"),
    [("train.u8", -10), ("validation.u8", -10), ("train_labels.npy", -10), ("train_labels.npy", 0)],
)
def test_what_is_torn_is_decoded_anew(config: DataConfig, name: str, num_bytes: int) -> None:
    first = load_afresh(config)
    pixels = first.train.images.copy()
    assert config.cache is not None
    path = config.cache / first.fingerprint / name
    path.write_bytes(path.read_bytes()[:num_bytes])

    second = load_afresh(config)

    np.testing.assert_array_equal(second.train.images, pixels)
    assert len(kept_in(config.cache)) == 3  # two records, and one folder


def test_a_record_that_is_torn_is_written_anew(config: DataConfig) -> None:
    first = load_afresh(config)
    assert config.cache is not None
    for path in config.cache.glob("*.json"):
        path.write_text(path.read_text()[:100])

    assert load_afresh(config).fingerprint == first.fingerprint


def test_processes_that_start_at_once_decode_once(config: DataConfig) -> None:
    program = (
        "import sys, logging; logging.basicConfig(level=logging.INFO)\n"
        "from ecoNAS.config import DataConfig; from ecoNAS.data import datasets\n"
        "datasets.SMALL_BYTES = 0\n"
        "print(datasets.load_data(DataConfig.model_validate_json(sys.argv[1])).fingerprint)"
    )
    command = [sys.executable, "-c", program, config.model_dump_json()]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ended = [process.communicate(timeout=120) for process in started]

    assert [process.returncode for process in started] == [0, 0, 0], ended
    assert len({out for out, _ in ended}) == 1
    assert sum("decoded images of image_folder" in error for _, error in ended) == 1
    assert config.cache is not None
    assert len(kept_in(config.cache)) == 3


def test_grey_images_before_colour_ones_become_colour(
    config: DataConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ecoNAS.data.share_reader.CHUNK_IMAGES", 4)
    for number in range(20):
        (tmp_path / "mixed" / "train" / "a").mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(tmp_path / "mixed" / "train" / "a" / f"{number:02}.png")
    shutil.copytree(write_folder(tmp_path / "other", size=8) / "train" / "bee", tmp_path / "mixed" / "train" / "b")

    cached = load_afresh(config.model_copy(update={"path": tmp_path / "mixed"}))
    monkeypatch.setattr("ecoNAS.data.datasets.SMALL_BYTES", 1e9)
    held = load_afresh(config.model_copy(update={"path": tmp_path / "mixed", "cache": tmp_path / "no"}))

    assert cached.problem().input_channels == 3
    assert (np.ptp(cached.train.images[cached.train.labels == 0], axis=3) == 0).all()
    assert cached.fingerprint == held.fingerprint


def test_training_copies_no_page_of_the_images(config: DataConfig) -> None:
    if not Path("/proc/self/smaps").exists():
        pytest.skip("only Linux says which pages of a map are private")
    import torch

    data = load_afresh(config)
    feed = Feed(data.train, "cpu")
    images, labels = feed.take(torch.randperm(len(feed)))
    images.zero_()

    assert len(labels) == len(data.train)
    assert data.train.images.any()
    dirty = _private_dirty_bytes("train.u8")
    assert dirty
    assert set(dirty) == {0}


def _private_dirty_bytes(name: str) -> list[int]:
    found, is_inside = [], False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            is_inside = line.endswith(name)
        elif is_inside and line.startswith("Private_Dirty:"):
            found.append(int(line.split()[1]) * 1024)
    return found


def test_too_little_room_is_said_before_anything_is_written(
    config: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))

    with pytest.raises(
        DataError, match=r"take about 0.00 GB and 0.00 GB are free in .*; free space, or set ECONAS_CACHE"
    ):
        load_afresh(config)


def test_a_disk_that_fills_up_leaves_nothing_behind(config: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DataError, match=r"cannot be written to .*: No space left on device; .* ECONAS_CACHE") as caught:
        load_afresh(config)

    assert "\n" not in str(caught.value)
    assert config.cache is not None
    assert kept_in(config.cache) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 12 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk needs the right to mount; the injected error covers the same path")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_really_full_is_one_line(
    config: DataConfig, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**9))  # as if others filled it meanwhile

    with pytest.raises(DataError, match=r"No space left on device; free space"):
        load_afresh(config.model_copy(update={"cache": small_disk}))


def test_a_cache_that_cannot_be_made_is_one_line(config: DataConfig, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DataError, match=r"cannot be written to .*/file/inner: Not a directory; .* data.cache"):
        load_afresh(config.model_copy(update={"cache": tmp_path / "file" / "inner"}))


def test_what_a_dead_process_left_is_removed_after_a_day(config: DataConfig) -> None:
    assert config.cache is not None
    old, new, git = (config.cache / name for name in (f"{TEMPORARY}old", f"{TEMPORARY}new", ".git"))
    for folder in (old, new, git):  # the last is a user's own: the cache may be in a home or a clone
        folder.mkdir(parents=True)
        if folder != new:
            os.utime(folder, (time.time() - 90_000, time.time() - 90_000))

    load_afresh(config)

    assert (old.exists(), new.exists(), git.exists()) == (False, True, True)


def test_the_cache_lies_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECONAS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root(DataConfig(name="digits")) == tmp_path / "xdg" / "econas"
    monkeypatch.setenv("ECONAS_CACHE", str(tmp_path / "env"))
    assert cache_root(DataConfig(name="digits")) == tmp_path / "env"
    assert cache_root(DataConfig(name="digits", cache=tmp_path / "given")) == tmp_path / "given"


def test_trainings_on_cached_and_on_held_images_are_equal(config: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from torch import nn

    from ecoNAS.training.trainer import train

    def curve() -> list[float]:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 2))
        data = load_afresh(config)
        return [epoch.record.train_loss for epoch in train(network, data, TrainingConfig(epochs=2, batch_size=8), 0)]

    cached = curve()
    monkeypatch.setattr("ecoNAS.data.datasets.SMALL_BYTES", 1e9)
    config = config.model_copy(update={"cache": config.path})

    assert curve() == cached
