import numpy as np
import pytest

from ecoNAS.pareto import hypervolume
from ecoNAS.search.acquisition import Prospects, Reached, expected_hypervolume_improvement, expected_improvement


@pytest.mark.parametrize("end", [np.inf, 0.6])
@pytest.mark.parametrize("num_known", [0, 1, 2, 3])
def test_the_expectation_is_the_mean_gain_in_hypervolume_over_draws(num_known: int, end: float) -> None:
    rng = np.random.default_rng(num_known)
    points, candidates = rng.random((6, num_known + 1)), rng.random((4, num_known + 1))
    reference, minimize = [1.1] * (num_known + 1), ["minimize"] * (num_known + 1)
    mean, deviation = candidates[:, -1], np.full(4, 0.2)
    draws = mean[:, None] + 0.2 * rng.standard_normal((4, 3000))
    draws = draws + 4.0 * np.maximum(draws - end, 0.0)  # on a scale with a slope of 1/5 beyond its end
    bent = points[:, -1] - 0.8 * np.maximum(points[:, -1] - end, 0.0)
    worst = 1.1 - 0.8 * max(1.1 - end, 0.0)
    before = hypervolume(points, reference, minimize)
    truth = [
        np.mean([hypervolume([*points, [*candidate[:-1], value]], reference, minimize) for value in values]) - before
        for candidate, values in zip(candidates, draws, strict=True)
    ]
    found = expected_hypervolume_improvement(
        Prospects(candidates[:, :-1], mean, deviation, end, 0.2),
        Reached(points[:, :-1], bent, np.full(num_known, 1.1), worst),
    )
    assert found == pytest.approx(truth, rel=0.08, abs=2e-3)


def test_what_costs_more_than_the_corner_promises_nothing() -> None:
    prospects = Prospects(np.array([[1.2], [1.0]]), np.array([0.1, 0.1]), np.array([0.1, 0.1]))
    found = expected_hypervolume_improvement(prospects, Reached(np.empty((0, 1)), np.empty(0), np.array([1.1]), 1.0))
    assert found[0] == 0.0
    assert found[1] == pytest.approx(0.1 * 0.9, rel=1e-3)


def test_expected_improvement_at_the_best_is_the_deviation_over_the_root_of_two_pi() -> None:
    assert expected_improvement(1.0, np.array([1.0]), np.array([2.0])) == pytest.approx(2.0 / np.sqrt(2 * np.pi))
