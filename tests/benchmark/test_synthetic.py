"""Synthetic benchmarks have the traits that they are named after, and ours is never behind random sampling on them."""

import numpy as np
import pytest

from ecoNAS.benchmark.compare import compare
from ecoNAS.benchmark.lookup import Way
from ecoNAS.benchmark.synthetic import LANDSCAPES, read_synthetic
from ecoNAS.cli import main
from ecoNAS.evaluation.tabular import Table


def explained(found: Table) -> float:
    """Return the share of the error's variance that single decisions explain."""
    codes = found.codes
    columns = [np.eye(codes[:, place].max() + 1)[codes[:, place]] for place in range(codes.shape[1])]
    inputs, error = np.concatenate(columns, axis=1), found.objectives[:, 0]
    fitted = inputs @ np.linalg.lstsq(inputs, error, rcond=None)[0]
    return float(1 - np.var(error - fitted) / np.var(error))


def test_a_benchmark_depends_on_its_seed_alone() -> None:
    one, same, other = (read_synthetic(name) for name in ("synthetic:noisy:1", "synthetic:noisy:1", "synthetic:noisy"))
    assert np.array_equal(one.objectives, same.objectives)
    assert not np.array_equal(one.objectives, other.objectives)


def test_single_decisions_explain_a_separable_landscape_and_no_other_as_well() -> None:
    shares = {name: explained(read_synthetic(f"synthetic:{name}")) for name in ("separable", "interacting", "noisy")}
    assert shares["separable"] > 0.9
    assert shares["interacting"] < 0.75
    assert shares["noisy"] < 0.75


def test_costs_follow_worth_as_closely_as_the_landscape_says() -> None:
    def correlation(name: str, seed: int) -> float:
        values = read_synthetic(f"synthetic:{name}:{seed}").objectives
        return float(np.corrcoef(values[:, 0], np.log(values[:, 1]))[0, 1])

    close = np.mean([correlation("correlated", seed) for seed in range(5)])
    apart = np.mean([correlation("uncorrelated", seed) for seed in range(5)])
    assert close < -0.7 < apart
    assert abs(apart) < 0.3


def test_a_conditional_space_and_a_sampled_one_lack_tuples() -> None:
    for name in ("conditional", "large", "wide"):
        found = read_synthetic(f"synthetic:{name}")
        every = np.prod([len(known) for known in found.choices.values()], dtype=float)
        assert len(found) < every / 2
        assert len(np.unique(found.codes, axis=0)) == len(found)


def test_the_best_of_a_trap_lies_beyond_what_is_worse() -> None:
    """Changing the best candidate in one decision of a trap is worse than changing all three."""
    found = read_synthetic("synthetic:deceptive")
    error, best = found.objectives[:, 0], found.codes[found.objectives[:, 0].argmin()]
    apart = (found.codes[:, :3] != best[:3]).sum(axis=1)
    same = (found.codes[:, 3:] == best[3:]).all(axis=1)
    assert error[same & (apart == 3)].mean() < error[same & (apart == 1)].mean()


def check_nowhere_behind(name: str, budget: int, seeds: int) -> None:
    found = compare(read_synthetic(f"synthetic:{name}"), ["auto", "random"], seeds, Way(budget))
    ends = {
        sampler: np.mean([s.readings[-1].hv_frac for s in found.searches if s.sampler == sampler])
        for sampler in ("auto", "random")
    }
    assert ends["auto"] > ends["random"]


@pytest.mark.parametrize("name", ["conditional", "noisy"])
def test_ours_is_ahead_of_random_sampling(name: str) -> None:
    check_nowhere_behind(name, 25, 2)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", sorted(LANDSCAPES))
def test_ours_is_nowhere_behind_random_sampling(name: str) -> None:
    check_nowhere_behind(name, 50, 3)


def test_a_misspelt_landscape_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "synthetic:noisey"]) == 2
    assert "did you mean 'noisy'" in capsys.readouterr().err
    assert main(["bench", "synthetic:noisy:x"]) == 2
    assert "must be a whole number" in capsys.readouterr().err
