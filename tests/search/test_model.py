"""One surrogate of one quantity: when it is warped, how often it is found anew, what it is made from."""

import numpy as np
import pytest

from ecoNAS.search.model import MAX_DATA, Logarithm, ScaledModel, Warp, latest, stage
from ecoNAS.search.surrogate import Inputs


def test_a_warp_keeps_the_order_and_squeezes_only_what_is_far_worse() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    warped = Warp.of(values)(values)
    assert np.all(np.diff(warped) > 0)
    assert warped[:4] == pytest.approx(values[:4])
    assert warped[4] == pytest.approx(7 + 0.1 * 93)  # the median 3 and twice its distance of 2 from the best
    assert Warp.of(values).slopes(values).tolist() == [1, 1, 1, 1, 0.1]
    assert Warp()(values).tolist() == values.tolist()


def fitted(num_failing: int) -> ScaledModel:
    """A model of values that follow one number, of which some candidates fail for no reason that shows."""
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((60, 1))
    values = 20 + 3 * numbers[:, 0] + 0.2 * rng.standard_normal(60)
    values[rng.permutation(60)[:num_failing]] = 99.0
    model = ScaledModel(["a"] * 3)
    inputs = Inputs(np.eye(3)[rng.integers(3, size=60)], numbers)
    model.fit(inputs, values, np.arange(60), np.zeros(60), lambda found: (Warp(), Warp.of(found)))
    return model


def test_failures_are_squeezed_and_regular_values_are_not() -> None:
    regular, failing = fitted(0).scale, fitted(10).scale
    assert isinstance(regular, Warp)
    assert isinstance(failing, Warp)
    assert np.isinf(regular.end)
    assert failing.end < 60


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_grows_by_factors_is_modelled_by_its_logarithm(sign: float) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((50, 1))
    values = sign * np.exp(1.5 * numbers[:, 0] + 0.1 * rng.standard_normal(50))
    model, inputs = ScaledModel(["a"] * 3), Inputs(np.eye(3)[rng.integers(3, size=50)], numbers)
    model.fit(inputs, values, np.arange(50), np.zeros(50), lambda found: (Warp(), Logarithm(sign)))
    assert isinstance(model.scale, Logarithm)
    found, deviations = model.scale.back(*model.predict(inputs))
    assert found == pytest.approx(values, rel=0.3)
    assert np.all(deviations > 0)
    assert np.all(np.diff(model.scale(np.sort(values))) > 0)


def test_hyperparameters_are_found_seldom_once_there_are_many_observations() -> None:
    assert [stage(size) for size in (1, 20, 21, 22, 24, 25)] == [1, 20, 20, 22, 22, 25]
    assert len({stage(size) for size in range(1, 2001)}) < 75


def test_predictions_are_made_from_the_last_observations_and_the_important_ones() -> None:
    assert latest(5).tolist() == [0, 1, 2, 3, 4]
    kept = latest(2000, [3, 1999])
    assert kept[0] == 3
    assert kept[1:].tolist() == list(range(2000 - MAX_DATA, 2000))
