"""What every space must keep: one row a space."""

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from ecoNAS.architecture import Candidate, parse_architecture
from ecoNAS.search.samplers import distributions
from ecoNAS.space.search_space import SearchSpace

SPACES = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))


@pytest.fixture(params=SPACES, ids=lambda path: path.stem)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return SearchSpace.from_yaml(request.param)


def draws(space: SearchSpace, count: int) -> list[Candidate]:
    rng = np.random.default_rng(7)
    return [space.random(rng) for _ in range(count)]


def test_flat_parameters_round_trip_with_the_same_digest(space: SearchSpace) -> None:
    for candidate in draws(space, 500):
        parameters = space.parameters(candidate)
        assert set(parameters) == set(space.choices)
        assert all(value in space.choices[name] for name, value in parameters.items())
        assert space.from_parameters(parameters).digest == candidate.digest


def test_json_round_trips_with_the_same_digest(space: SearchSpace) -> None:
    for candidate in draws(space, 500):
        copy = parse_architecture(candidate.architecture.to_json())
        assert copy == candidate.architecture
        assert copy.digest == candidate.architecture.digest


def test_every_draw_is_valid_or_says_why_not(space: SearchSpace) -> None:
    assert all(space.is_valid(candidate) for candidate in draws(space, 500))


def test_features_have_one_length_lie_in_0_to_1_and_tell_candidates_apart(space: SearchSpace) -> None:
    seen: dict[bytes, str] = {}
    lengths = set()
    for candidate in draws(space, 1000):
        features = space.encode(candidate)
        lengths.add(features.shape)
        assert features.min() >= 0
        assert features.max() <= 1
        assert seen.setdefault(features.tobytes(), candidate.digest) == candidate.digest
    assert len(lengths) == 1


def test_neighbours_are_symmetric_distinct_and_not_the_candidate(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    for candidate in draws(space, 10):
        neighbours = space.neighbours(candidate, rng)
        digests = [other.digest for other in neighbours]
        assert len(set(digests)) == len(digests)
        assert candidate.digest not in digests


def test_crossover_of_a_candidate_with_itself_is_itself(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    for candidate in draws(space, 50):
        assert space.crossover(candidate, candidate, rng).digest == candidate.digest


def test_random_draws_repeat_from_the_same_seed(space: SearchSpace) -> None:
    assert [item.digest for item in draws(space, 50)] == [item.digest for item in draws(space, 50)]


def test_sampling_asks_an_optuna_trial_for_every_parameter(space: SearchSpace) -> None:
    study = optuna.create_study()
    trial = study.ask()
    candidate = space.sample(trial)
    assert set(trial.params) == set(space.choices)
    values: dict[str, Any] = trial.params
    assert space.from_parameters(values).digest == candidate.digest
    assert set(distributions(space)) == set(trial.distributions)
