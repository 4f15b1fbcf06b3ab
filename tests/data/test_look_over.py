"""What is found about the images of a data set, and how it is told."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from folders import load_afresh, write_folder

from ecoNAS.config import DataConfig
from ecoNAS.data.audit import DataAudit
from ecoNAS.data.look_over import AuditedSplit, look_over

SHARED_NPZ = Path(__file__).parents[3] / "shared" / "data" / "flowers17_16x16.npz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty images to train on, and others for validation and test."""
    root = write_folder(tmp_path / "images")
    for part, count in (("validation", 8), ("test", 6)):
        write_folder(root, count, part=part)
    return root


def audit_of(folder: Path, **changes: object) -> DataAudit:
    config = DataConfig(name="image_folder", path=folder, **changes)
    return look_over(config, load_afresh(config))


def test_a_clean_data_set_has_nothing_to_warn_of(folder: Path) -> None:
    audit = audit_of(folder)

    assert audit.counts == {"train": (20, 20), "validation": (4, 4), "test": (3, 3)}
    assert audit.warnings == []
    assert audit.lines == [
        "Images: 40 for train, 8 for validation, 6 for test. 2 classes of 20 training images each.",
        "No validation image has a twin among the training images.",
        "No test image has a twin among the training images.",
        "No test image has a twin among the validation images.",
    ]


def test_an_image_in_two_splits_is_named_with_both_files_and_the_remedy(folder: Path) -> None:
    shutil.copy(folder / "train" / "ant" / "04.png", folder / "test" / "ant" / "copy.png")
    shutil.copy(folder / "train" / "bee" / "07.png", folder / "test" / "ant" / "wrong.png")
    shutil.copy(folder / "validation" / "ant" / "02.png", folder / "test" / "ant" / "x.png")

    audit = audit_of(folder)

    first, second = audit.warnings
    assert first == (
        "2 of 9 test images are among the training images, too (2 identical, 0 nearly so), and accuracy counts them as "
        "skill: remove them from one of the two. test/ant/copy.png = train/ant/04.png, test/ant/wrong.png = "
        "train/bee/07.png. 1 of them under another label."
    )
    assert second.startswith("1 of 9 test images are among the validation images, too")
    assert audit.lines[-2:] == [f"Warning: {first}", f"Warning: {second}"]


def test_images_that_were_split_off_are_named_by_their_files_too(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "images", 30)
    for path in sorted((root / "train").rglob("*.png")):
        shutil.copy(path, path.with_name(f"{path.stem}-copy.png"))

    audit = audit_of(root)

    pairs = [pair for report in audit.twins for pair in report.pairs]
    assert pairs
    for one, other in pairs:
        assert one.replace("-copy", "") == other.replace("-copy", "")
        assert (root / one).read_bytes() == (root / other).read_bytes()


def test_many_twins_are_counted_and_some_named(folder: Path) -> None:
    for number in range(0, 20, 2):
        shutil.copy(folder / "train" / "ant" / f"{number:02}.png", folder / "validation" / "ant" / f"c{number}.png")

    (line,) = audit_of(folder).warnings

    assert line.startswith("10 of 18 validation images are among the training images")
    assert line.count(" = ") == 3
    assert line.endswith(" and 7 more, listed in split.json.")


def test_classes_of_different_size_are_shown_and_very_uneven_ones_warned_of(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "images", 80)
    for path in sorted((root / "train" / "bee").iterdir())[:-4]:
        path.unlink()
    write_folder(root, 4, part="validation")
    write_folder(root, 4, part="test")

    audit = audit_of(root)

    assert audit.lines[0].endswith("2 classes of 4 (bee) to 40 (ant) training images.")
    assert audit.warnings == [
        "the largest class has 10 times the images of the smallest; accuracy says little about small classes: add "
        "images of them"
    ]


def test_images_that_were_left_out_are_told_of(folder: Path) -> None:
    (folder / "train" / "ant" / "04.png").write_bytes(b"")

    audit = audit_of(folder, max_broken=0.1)

    assert audit.counts["train"] == (19, 20)
    assert audit.warnings == ["1 images cannot be read and were left out; split.json names them"]


def test_a_broken_test_image_stops_no_search_and_is_told_of(folder: Path) -> None:
    (folder / "test" / "bee" / "01.png").write_bytes(b"")

    audit = audit_of(folder)

    (line,) = audit.warnings
    assert line.startswith("the test images were not compared with the others: ")
    assert "1 of 6 images for test cannot be read: test/bee/01.png (no image that Pillow knows)" in line
    assert [report.split for report in audit.twins] == ["validation"]


def test_a_data_set_without_test_images_compares_what_it_has() -> None:
    config = DataConfig(name="digits", split={"test": 0.0})

    audit = look_over(config, load_afresh(config))

    assert set(audit.counts) == {"train", "validation"}
    assert len(audit.twins) == 1


def test_what_was_found_survives_split_json(folder: Path) -> None:
    config = DataConfig(name="image_folder", path=folder)
    data = load_afresh(config)
    split = AuditedSplit(**data.split.model_dump(), audit=look_over(config, data))

    assert AuditedSplit.model_validate_json(split.model_dump_json()) == split


@pytest.mark.skipif(not SHARED_NPZ.exists(), reason=f"{SHARED_NPZ} is missing")
def test_the_twins_of_the_shared_flowers_are_those_that_their_readme_counts() -> None:
    config = DataConfig(name="npz", path=SHARED_NPZ)

    reports = {(report.split, report.earlier): report for report in look_over(config, load_afresh(config)).twins}

    assert reports["validation", "train"].identical == 2
    assert reports["test", "train"].identical == 7
    for name, other in reports["test", "train"].pairs[:1]:
        arrays = np.load(SHARED_NPZ)
        one, two = (arrays[text.partition("[")[0]][int(text.partition("[")[2][:-1])] for text in (name, other))
        assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.98
