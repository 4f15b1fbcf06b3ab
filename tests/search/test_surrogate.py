import numpy as np
import pytest
from numpy.typing import NDArray

from ecoNAS.search.surrogate import GaussianProcess, Inputs

GROUPS = ["a"] * 3 + ["b"] * 3 + ["c"] * 2


def draw(count: int, seed: int) -> tuple[Inputs, NDArray[np.float64]]:
    """Candidates of two named decisions, an ordered one and a cost; effects that add up and one that does not."""
    rng = np.random.default_rng(seed)
    a, b, rank = rng.integers(3, size=count), rng.integers(3, size=count), rng.integers(5, size=count) / 4
    decisions = np.column_stack([np.eye(3)[a], np.eye(3)[b], np.ones(count), rank])
    cost = rng.standard_normal(count)
    values = np.array([0.0, 1.0, 2.0])[a] + 0.5 * rank + np.tanh(cost) + 1.5 * ((a == 2) & (b == 0))
    return Inputs(decisions, cost[:, None]), values + 0.05 * rng.standard_normal(count)


def fitted(count: int) -> tuple[GaussianProcess, float, float]:
    inputs, values = draw(count, 0)
    mean, spread = values.mean(), values.std()
    scaled = (values - mean) / spread
    process = GaussianProcess(GROUPS, 1)
    return process.fit(inputs, scaled, process.optimise(inputs, scaled)), mean, spread


def test_unseen_candidates_are_predicted_within_the_noise_and_the_interval_covers_them() -> None:
    process, mean, spread = fitted(80)
    inputs, truth = draw(400, 1)
    means, deviations = process.predict(inputs)
    errors = (means * spread + mean) - truth
    assert np.sqrt(np.mean(errors**2)) < 0.15  # the values spread over 1.2, their noise is 0.05
    noisy = np.hypot(deviations * spread, 0.05)
    assert 0.88 <= np.mean(np.abs(errors) < 1.96 * noisy) <= 1.0


def test_more_observations_leave_less_doubt() -> None:
    inputs, _ = draw(100, 2)
    assert fitted(80)[0].predict(inputs)[1].mean() < fitted(20)[0].predict(inputs)[1].mean()


def test_what_is_found_depends_on_the_data_alone() -> None:
    inputs, _ = draw(50, 3)
    assert np.array_equal(fitted(40)[0].predict(inputs)[0], fitted(40)[0].predict(inputs)[0])


def test_known_noise_is_respected() -> None:
    inputs, values = draw(30, 4)
    process = GaussianProcess(GROUPS, 1)
    scaled = (values - values.mean()) / values.std()
    logs = process.optimise(inputs, scaled)
    sure = process.fit(inputs, scaled, logs).predict(inputs)[0]
    vague = process.fit(inputs, scaled, logs, noise=np.full(30, 4.0)).predict(inputs)[0]
    assert np.abs(vague).mean() < 0.8 * np.abs(sure).mean()


def test_a_decision_without_numbers_is_enough() -> None:
    process = GaussianProcess(["a"] * 3, 0)
    inputs = Inputs(np.eye(3)[[0, 1, 2, 0]], np.empty((4, 0)))
    targets = np.array([-1.0, 0.0, 1.0, -1.0])
    means, _ = process.fit(inputs, targets, process.optimise(inputs, targets)).predict(inputs)
    assert means == pytest.approx(targets, abs=0.3)


def test_a_lucky_value_is_pulled_to_what_the_others_say_and_a_sure_one_stays() -> None:
    inputs, values = draw(60, 5)
    values[7] += 2.0
    scaled = (values - values.mean()) / values.std()
    process = GaussianProcess(GROUPS, 1)
    logs = process.optimise(inputs, scaled)
    noise = np.zeros(60)
    assert process.fit(inputs, scaled, logs, noise).settled == pytest.approx(scaled)
    noise[7] = 4.0
    settled = process.fit(inputs, scaled, logs, noise).settled
    assert settled[7] < scaled[7] - 0.5
    assert np.delete(settled, 7) == pytest.approx(np.delete(scaled, 7))
