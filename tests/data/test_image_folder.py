import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ecoNAS.config import DataConfig, SplitConfig
from ecoNAS.data.datasets import load_data, load_test_split
from ecoNAS.errors import DataError

SHARED_ZIP = Path(__file__).parents[3] / "shared" / "data" / "cifar10_13k.zip"


def save(
    path: Path, shade: int | tuple[int, ...] = (10, 20, 30), size: tuple[int, int] = (8, 8), mode: str = "RGB"
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, shade).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten colour images of 8x8 pixels in each of two classes; the shade of each says which it is."""
    root = tmp_path / "images"
    for number in range(20):
        save(root / "train" / ("ant", "bee")[number % 2] / f"{number:02}.png", (number, 100 + number, 200))
    return root


def config(path: Path, **changes: object) -> DataConfig:
    return DataConfig(name="image_folder", path=path, **changes)


def zipped(folder: Path, top: str = "") -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, top + file.relative_to(folder).as_posix())
    return path


def refused(path: Path, message: str, **changes: object) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_data(config(path, **changes))
    assert "\n" not in str(caught.value)


def test_a_folder_and_zips_of_it_are_the_same_data(folder: Path, tmp_path: Path) -> None:
    plain = load_data(config(folder))
    flat = load_data(config(zipped(folder)))
    nested = load_data(config(zipped(folder, top="pictures/")))

    assert plain.class_names == ("ant", "bee")
    assert plain.fingerprint == flat.fingerprint == nested.fingerprint


def test_pixels_and_labels_belong_together(folder: Path) -> None:
    data = load_data(config(folder))

    for split in (data.train, data.validation):
        numbers = split.images[:, 0, 0, 0]
        np.testing.assert_array_equal(numbers % 2, split.labels)
        np.testing.assert_array_equal(split.images[:, 0, 0, 1], numbers + 100)


def test_folders_for_validation_and_test_are_used_as_they_are(folder: Path) -> None:
    save(folder / "val" / "ant" / "v.png", (77, 0, 0))
    save(folder / "test" / "bee" / "t.png", (88, 0, 0))

    data = load_data(config(folder))

    assert len(data.train) == 20
    assert data.validation.images[:, 0, 0, 0].tolist() == [77]
    assert load_test_split(config(folder)).images[:, 0, 0, 0].tolist() == [88]


def test_a_search_opens_no_image_of_a_test_folder(folder: Path) -> None:
    broken = folder / "test" / "ant" / "broken.png"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"not an image")

    assert len(load_data(config(folder)).train) == 16
    message = r"1 of 1 images for test cannot be read: test/ant/broken.png \(no image that Pillow knows\); repair"
    with pytest.raises(DataError, match=message):
        load_test_split(config(folder))


def test_a_search_opens_no_image_that_was_split_off_for_the_test(folder: Path, tmp_path: Path) -> None:
    split = load_data(config(folder)).split
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    files = sorted((copy / "train").rglob("*.png"))
    for index in split.test.indices:
        files[index].write_bytes(b"not an image")

    assert load_data(config(copy)).fingerprint == load_data(config(folder)).fingerprint
    with pytest.raises(DataError, match="images for test cannot be read"):
        load_test_split(config(copy))


def test_hidden_and_foreign_files_are_left_out(folder: Path) -> None:
    before = load_data(config(folder)).fingerprint
    path = zipped(folder)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/train/ant/._00.png", b"x")
        archive.writestr("train/ant/.DS_Store", b"x")
        archive.writestr("train/ant/Thumbs.db", b"x")
        archive.writestr("README.md", b"x")

    assert load_data(config(path)).fingerprint == before


def test_grey_images_keep_one_channel(tmp_path: Path) -> None:
    for number in range(20):
        save(tmp_path / "train" / "ab"[number % 2] / f"{number}.png", number, mode="L")

    assert load_data(config(tmp_path)).problem().input_channels == 1


def test_a_grey_image_among_colour_ones_becomes_colour(folder: Path) -> None:
    for number in range(20, 40, 2):
        save(folder / "train" / "ant" / f"{number}.png", number, mode="L")

    data = load_data(config(folder))

    assert data.problem().input_channels == 3
    assert (np.ptp(data.train.images[:, 0, 0], axis=1) == 0).any()


def test_palettes_and_transparency_become_plain_colour(folder: Path) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 9, 8, 7])
    (folder / "val" / "ant").mkdir(parents=True)
    image.save(folder / "val" / "ant" / "palette.png", transparency=b"\x00\x80")

    assert load_data(config(folder)).validation.images[0, 0, 0].tolist() == [9, 8, 7]


def test_photographs_are_turned_the_way_their_camera_was_held(folder: Path) -> None:
    image = Image.new("RGB", (8, 8))
    image.paste((255, 255, 255), (0, 0, 8, 4))  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # EXIF 2.3, table 4: turn by 90 degrees clockwise to see it upright
    (folder / "val" / "ant").mkdir(parents=True)
    image.save(folder / "val" / "ant" / "turned.png", exif=exif)

    turned = load_data(config(folder)).validation.images[0, :, :, 0]

    assert (turned[:, 4:] == 255).all()
    assert (turned[:, :4] == 0).all()


def test_images_of_many_sizes_need_a_resolution(folder: Path) -> None:
    save(folder / "train" / "ant" / "wide.png", size=(16, 8))

    refused(folder, r"wide.png is 16x8 pixels but .*\.png 8x8; set data.resolution", split=SplitConfig(test=0))
    assert load_data(config(folder, resolution=4)).problem().resolution == 4


def test_oblong_images_need_a_resolution(tmp_path: Path) -> None:
    for number in range(20):
        save(tmp_path / "train" / "ab"[number % 2] / f"{number}.png", size=(16, 8))

    refused(tmp_path, r"images are 16x8 pixels and networks take square ones; set data.resolution")
    assert load_data(config(tmp_path, resolution=8)).problem().resolution == 8


def test_a_part_of_another_size_than_training_is_refused(folder: Path) -> None:
    save(folder / "val" / "ant" / "v.png", size=(9, 9))

    refused(
        folder, r"validation images are 9x9 pixels of 3 channels, those to train on 8x8 of 3; .* set data.resolution"
    )


def empty_class(folder: Path) -> None:
    (folder / "train" / "cow").mkdir()


def class_without_images(folder: Path) -> None:
    (folder / "train" / "cow").mkdir()
    (folder / "train" / "cow" / "notes.txt").write_text("none yet")


def class_only_in_test(folder: Path) -> None:
    save(folder / "test" / "cow" / "1.png")


def image_beside_classes(folder: Path) -> None:
    save(folder / "train" / "stray.png")


def one_class(folder: Path) -> None:
    shutil.rmtree(folder / "train" / "bee")


def no_train(folder: Path) -> None:
    (folder / "train").rename(folder / "training")


def empty_train(folder: Path) -> None:
    shutil.rmtree(folder / "train")
    (folder / "train").mkdir()


def two_roots(folder: Path) -> None:
    shutil.copytree(folder / "train", folder / "a" / "train")
    (folder / "train").rename(folder / "b")
    (folder / "c").mkdir()
    (folder / "b").rename(folder / "c" / "train")


def sixteen_bits(folder: Path) -> None:
    Image.fromarray(np.zeros((8, 8), dtype=np.uint16)).save(folder / "train" / "ant" / "00.png")


def truncated(folder: Path) -> None:
    for path in (folder / "train" / "ant").iterdir():
        path.write_bytes(path.read_bytes()[:45])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (empty_class, r"class folder 'cow' of train holds no image; add some \(.*\.png.*\) or remove the folder"),
        (class_without_images, r"class folder 'cow' of train holds no image"),
        (class_only_in_test, r"class 'cow' of test is not in train; add it there or remove it"),
        (image_beside_classes, r"train/stray.png lies in no class folder; the layout is train/<class>/"),
        (one_class, r"train holds one class only; a classification needs two or more"),
        (no_train, r"holds no folder train, but training; the layout is train/<class>/"),
        (empty_train, r"train holds no class folders; the layout is train/<class>/"),
        (two_roots, r"a/ and c/ both hold a folder train; set data.path to one"),
        (sixteen_bits, r"ant/00.png \(its mode I;16 is neither .*\); repair or remove them"),
        (
            truncated,
            r"6 of 12 images for train cannot be read: train/ant/\d+.png .* and 3 more; .* data.max_broken to 0.5",
        ),
    ],
)
def test_a_mistake_in_a_folder_is_one_line(folder: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(folder)

    refused(folder, message)
    if spoil is not empty_train:  # zips need no entries for empty folders
        refused(zipped(folder), message)


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    path.write_text("hello")

    refused(path, r"images.zip is not a zip file; give a folder, or a zip of one")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    path.touch()

    refused(path, r"images.zip is empty; fetch or write the file again")


def test_a_zip_that_rotted_names_the_image(folder: Path) -> None:
    path = zipped(folder)
    content = bytearray(path.read_bytes())
    start = content.index(b"IDAT", content.index(b"train/ant/00.png"))
    content[start + 6] ^= 0xFF
    path.write_bytes(content)

    # The image may be in the test split, which a search leaves closed.
    refused(path, r"cannot be read: train/ant/00.png \(Bad CRC-32", split=SplitConfig(test=0))


def test_a_missing_path_says_where_it_looked_and_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ECONAS_DATA", raising=False)
    refused(
        Path("nowhere"),
        rf"nothing lies at {tmp_path}/nowhere; .* with \$\{{ECONAS_DATA:-data\}}.* not set now",
    )
    monkeypatch.setenv("ECONAS_DATA", "/elsewhere")
    refused(Path("nowhere"), r"it is '/elsewhere' now")
    with pytest.raises(
        DataError, match=r"data set 'image_folder' needs a folder .* set data.path, for instance to \$\{"
    ):
        load_data(DataConfig(name="image_folder"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_image_that_may_not_be_read_is_named(folder: Path) -> None:
    for path in (folder / "train" / "ant").iterdir():
        path.chmod(0)

    refused(folder, r"ant/\d+.png \(Permission denied\)")


@pytest.mark.skipif(not SHARED_ZIP.exists(), reason=f"{SHARED_ZIP} is missing")
def test_the_shared_cifar_images_load_from_their_zip() -> None:
    data = load_data(config(SHARED_ZIP))

    assert (len(data.train), len(data.validation)) == (8000, 2000)
    assert np.bincount(data.validation.labels).tolist() == [200] * 10
    assert data.class_names[:3] == ("airplane", "automobile", "bird")
    # The published mean of CIFAR-10's 50,000 training images; these are a fifth of them, encoded again.
    assert data.normalisation.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=0.005)
    assert data.normalisation.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=0.005)
