"""Broken images: named, counted, and left out only as far as the user allows."""

from pathlib import Path

import numpy as np
import pytest
from folders import load_afresh, write_folder

from ecoNAS.config import DataConfig, SplitConfig
from ecoNAS.data.datasets import load_test_split, open_source
from ecoNAS.errors import DataError

NONE_FOR_TEST = SplitConfig(test=0)


def spoil(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / "train" / name
        path.write_bytes(path.read_bytes()[:60])


@pytest.fixture
def config(tmp_path: Path) -> DataConfig:
    """Forty images, of which two cannot be read."""
    folder = write_folder(tmp_path / "images")
    spoil(folder, "ant/04.png", "bee/07.png")
    return DataConfig(name="image_folder", path=folder, split=NONE_FOR_TEST)


def test_by_default_a_single_broken_image_is_an_error_that_names_it(config: DataConfig) -> None:
    with pytest.raises(
        DataError, match=r"of 32 images for train cannot be read: train/(ant/04|bee/07).png \("
    ) as caught:
        load_afresh(config)

    assert "repair or remove them, or set data.max_broken to 0." in str(caught.value)
    assert "\n" not in str(caught.value)


def test_as_many_as_are_allowed_are_left_out_and_listed(config: DataConfig) -> None:
    whole = load_afresh(DataConfig(name="digits"))  # a data set without broken images lists none
    data = load_afresh(config.model_copy(update={"max_broken": 0.2}))

    assert whole.split.broken == ()
    assert sorted(image.name for image in data.split.broken) == ["train/ant/04.png", "train/bee/07.png"]
    assert all(image.reason for image in data.split.broken)
    assert len(data.train) + len(data.validation) == 38
    assert data.split.train.num_images + data.split.validation.num_images == 38
    source = open_source(config)
    for split, share in ((data.train, data.split.train), (data.validation, data.split.validation)):
        assert share.indices is not None
        indices = np.array(share.indices)
        np.testing.assert_array_equal(split.images, source.images(share.part, indices))
        np.testing.assert_array_equal(split.labels, source.labels(share.part)[indices])


def test_which_images_are_for_what_does_not_depend_on_broken_ones(config: DataConfig, tmp_path: Path) -> None:
    whole = load_afresh(config.model_copy(update={"path": write_folder(tmp_path / "whole")}))
    data = load_afresh(config.model_copy(update={"max_broken": 0.2}))

    broken = {image.index for image in data.split.broken}
    assert set(data.split.train.indices) == set(whole.split.train.indices) - broken
    assert set(data.split.validation.indices) == set(whole.split.validation.indices) - broken


def test_more_than_are_allowed_name_the_first_and_the_share_that_would_do(config: DataConfig, tmp_path: Path) -> None:
    spoil(tmp_path / "images", *(f"ant/{number:02}.png" for number in range(0, 24, 2) if number != 4))

    with pytest.raises(DataError) as caught:
        load_afresh(config.model_copy(update={"max_broken": 0.1}))

    count = int(str(caught.value).partition(" of 32 images")[0].rpartition(" ")[2])
    assert f"and {count - 3} more; repair or remove them, or set data.max_broken to " in str(caught.value)
    share = float(str(caught.value).partition("max_broken to ")[2].partition(" ")[0])
    assert count / 32 <= share < count / 32 + 0.001


def test_a_class_without_a_readable_image_is_an_error(config: DataConfig, tmp_path: Path) -> None:
    spoil(tmp_path / "images", *(f"ant/{number:02}.png" for number in range(0, 40, 2) if number != 4))

    with pytest.raises(DataError, match=r"no training image of class 'ant' can be read; repair them, add others"):
        load_afresh(config.model_copy(update={"max_broken": 0.9}))


def test_nothing_readable_is_an_error_whatever_is_allowed(config: DataConfig, tmp_path: Path) -> None:
    spoil(
        tmp_path / "images",
        *(
            str(path.relative_to(tmp_path / "images" / "train"))
            for path in (tmp_path / "images").rglob("*.png")
            if path.name not in ("04.png", "07.png")
        ),
    )

    with pytest.raises(
        DataError, match=r"32 of 32 images for train cannot be read: .* and 29 more; repair or remove them$"
    ):
        load_afresh(config.model_copy(update={"max_broken": 0.99}))


def test_broken_test_images_are_left_out_like_others(tmp_path: Path) -> None:
    folder = write_folder(write_folder(tmp_path / "images"), num_images=10, part="test")
    (folder / "test" / "ant" / "04.png").write_bytes(b"")
    config = DataConfig(name="image_folder", path=folder, max_broken=0.1)

    assert load_afresh(config).split.broken == ()  # a search does not look
    assert len(load_test_split(config)) == 9


def test_images_of_two_sizes_are_found_across_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecoNAS.data.share_reader.CHUNK_IMAGES", 16)
    folder = write_folder(tmp_path / "images")
    bees = write_folder(tmp_path / "larger", size=14) / "train" / "bee"
    for path in bees.iterdir():
        path.replace(folder / "train" / "bee" / path.name)

    with pytest.raises(
        DataError, match=r"bee/\d+.png is 14x14 pixels but train/ant/0[02].png 12x12; set data.resolution"
    ):
        load_afresh(DataConfig(name="image_folder", path=folder, split=NONE_FOR_TEST))
