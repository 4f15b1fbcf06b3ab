import numpy as np
import pytest
from sklearn.datasets import load_digits

from ecoNAS.config import DataConfig, SplitConfig
from ecoNAS.data.datasets import load_data, load_test_split
from ecoNAS.errors import DataError


def test_an_unknown_name_is_one_line_with_the_nearest_known_one() -> None:
    with pytest.raises(DataError, match=r"unknown data set 'digit'; known: .*digits.* \(did you mean 'digits'\?\)"):
        load_data(DataConfig(name="digit"))


def test_digits_are_those_of_scikit_learn_scaled_to_bytes() -> None:
    config = DataConfig(name="digits")
    data = load_data(config)
    theirs = load_digits()

    indices = list(data.split.train.indices)
    difference = data.train.images[..., 0] / 255 - theirs.images[indices] / 16
    assert np.abs(difference).max() <= 0.5 / 255 + 1e-12
    np.testing.assert_array_equal(data.train.labels, theirs.target[indices])
    assert (len(data.train), len(data.validation), len(load_test_split(config))) == (1079, 359, 359)
    assert data.problem().input_shape(2) == (2, 1, 8, 8)


def test_digits_take_no_path() -> None:
    with pytest.raises(DataError, match=r"'digits' ships with scikit-learn and takes no path; remove data.path x"):
        load_data(DataConfig(name="digits", path="x"))


def test_a_missing_test_split_is_refused_when_it_is_asked_for() -> None:
    config = DataConfig(name="digits", split=SplitConfig(test=0))

    assert load_data(config).split.test is None
    with pytest.raises(DataError, match=r"brings no test images and split.test is 0; set split.test above 0"):
        load_test_split(config)
