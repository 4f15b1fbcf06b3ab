import numpy as np
import pytest

from ecoNAS.config import SplitConfig
from ecoNAS.data.images import ImageSplit
from ecoNAS.data.splits import DataSplit, Share, fingerprint, make_split
from ecoNAS.errors import DataError

LABELS = np.repeat(np.arange(3), [50, 30, 20])
NAMES = ("ant", "bee", "cat")
ONLY_TRAIN = {"train": 100}


def split_of(
    config: SplitConfig, labels: np.ndarray = LABELS, names: tuple[str, ...] = NAMES, **brought: int
) -> DataSplit:
    return make_split(labels, {"train": len(labels), **brought}, config, names)


def counts(share: Share, labels: np.ndarray = LABELS) -> list[int]:
    return np.bincount(labels[list(share.indices)], minlength=len(NAMES)).tolist()


def test_missing_splits_keep_the_share_of_each_class() -> None:
    split = split_of(SplitConfig(validation=0.2, test=0.3))

    assert counts(split.test) == [15, 9, 6]  # 30 % of 50, 30, 20
    assert counts(split.validation) == [10, 6, 4]  # 20 % of all, not of what the test split left
    assert counts(split.train) == [25, 15, 10]


def test_every_image_is_in_exactly_one_split() -> None:
    split = split_of(SplitConfig())

    together = [*split.train.indices, *split.validation.indices, *split.test.indices]
    assert sorted(together) == list(range(100))
    assert (split.train.num_images, split.validation.num_images, split.test.num_images) == (60, 20, 20)


def test_a_split_depends_on_its_seed_alone() -> None:
    np.random.seed(1)
    first = split_of(SplitConfig(seed=4))
    np.random.seed(2)

    assert split_of(SplitConfig(seed=4)) == first
    assert split_of(SplitConfig(seed=5)) != first


def test_a_part_that_the_data_set_brings_is_taken_whole() -> None:
    split = split_of(SplitConfig(), validation=7, test=9)

    assert split.train == Share(part="train", num_images=100)
    assert split.validation == Share(part="validation", num_images=7)
    assert split.test == Share(part="test", num_images=9)


def test_only_the_missing_part_is_split_off() -> None:
    split = split_of(SplitConfig(validation=0.2, test=0.5), test=9)

    assert split.test == Share(part="test", num_images=9)
    assert (split.train.num_images, split.validation.num_images) == (80, 20)


def test_a_test_share_of_zero_leaves_no_test_split() -> None:
    assert split_of(SplitConfig(test=0)).test is None


def test_a_split_comes_back_from_its_json() -> None:
    split = split_of(SplitConfig())

    assert DataSplit.model_validate_json(split.model_dump_json()) == split


@pytest.mark.parametrize("size", [1, 2])
def test_a_class_too_small_to_be_in_each_split_is_named(size: int) -> None:
    labels = np.repeat(np.arange(3), [50, size, 20])

    with pytest.raises(
        DataError, match=rf"class 'bee' has {size} image.*, too few to be in each of train, test, valida"
    ):
        split_of(SplitConfig(validation=0.3, test=0.4), labels)


def test_two_images_of_a_class_are_enough_for_two_splits() -> None:
    labels = np.repeat(np.arange(3), [50, 2, 20])

    split = split_of(SplitConfig(validation=0.5), labels, test=9)

    assert (counts(split.train, labels)[1], counts(split.validation, labels)[1]) == (1, 1)


def test_a_class_that_training_would_never_see_is_named() -> None:
    labels = np.repeat(np.arange(3), [400, 3, 400])

    with pytest.raises(
        DataError, match=r"class 'bee' has 3 images, too few .* or change split.test and split.validation"
    ):
        split_of(SplitConfig(validation=0.45, test=0.5), labels)


def test_a_split_smaller_than_one_image_a_class_is_named() -> None:
    with pytest.raises(
        DataError, match=r"split.validation leaves 1 image for validation but there are 3 classes; raise"
    ):
        split_of(SplitConfig(validation=0.01))
    with pytest.raises(DataError, match=r"split.validation leaves 2 images for train but there are 3 classes; lower"):
        split_of(SplitConfig(validation=0.49, test=0.49))
    assert split_of(SplitConfig(validation=0.03)).validation.num_images == 3


class TestFingerprint:
    images = np.arange(2 * 2 * 2, dtype=np.uint8).reshape(2, 2, 2, 1)

    def split(self, images: np.ndarray | None = None, labels: tuple[int, int] = (0, 1)) -> ImageSplit:
        return ImageSplit(self.images.copy() if images is None else images, np.array(labels))

    def test_is_the_same_for_the_same_pixels_and_labels(self) -> None:
        assert fingerprint(self.split(), self.split(), 2) == fingerprint(self.split(), self.split(), 2)

    @pytest.mark.parametrize("num_classes", [3, 10])
    def test_changes_with_the_number_of_classes(self, num_classes: int) -> None:
        assert fingerprint(self.split(), self.split(), num_classes) != fingerprint(self.split(), self.split(), 2)

    def test_changes_with_a_pixel_a_label_the_shape_and_the_order_of_splits(self) -> None:
        changed = self.images.copy()
        changed[0, 0, 0, 0] += 1
        others = [
            (self.split(changed), self.split()),
            (self.split(), self.split(changed)),
            (self.split(changed), self.split(changed)),
            (self.split(labels=(1, 0)), self.split()),
            (self.split(self.images.reshape(2, 1, 4, 1).copy()), self.split()),
            (self.split(), self.split()),
        ]
        assert len({fingerprint(*pair, 2) for pair in others}) == len(others)
