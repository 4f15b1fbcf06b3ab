"""Samplers by name: each proposes flat parameters, and all of them go through one wrapper that avoids repetition.

The wrapper is an Optuna sampler like any other. Within one trial it asks its proposer again, at most 20 times, while
the candidate is one that the study has seen; so a repetition costs a draw and not a trial. What happens to a candidate
that is still a repetition is decided by `search.loop`.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ecoNAS.architecture import derive_seed
from ecoNAS.space.protocol import HasDigest, Parameters, Space

MAX_PROPOSALS = 20


class Proposer(Protocol):
    """Where flat parameters come from."""

    def propose(self, study: Study, trial: FrozenTrial, attempt: int) -> Parameters:
        """Return a value for every parameter of the space; `attempt` counts from 0 within the trial."""
        ...


class RandomProposer:
    """Uniform over the parameters; every draw depends on seed, trial and attempt alone, so a resumed run repeats it."""

    def __init__(self, space: Space[Any], seed: int) -> None:  # Any: whatever the space holds
        self._space = space
        self._seed = seed

    def propose(self, study: Study, trial: FrozenTrial, attempt: int) -> Parameters:
        """Return a uniform draw."""
        rng = np.random.default_rng(derive_seed(self._seed, "random sampler", trial.number, attempt))
        return {name: values[int(rng.integers(len(values)))] for name, values in self._space.choices.items()}


class OptunaProposer:
    """One of Optuna's own samplers, asked for all parameters at once.

    Its random state is hidden and starts anew when a study is resumed: its proposals are then others than they would
    have been, though not repeated ones.
    """

    def __init__(self, space: Space[Any], sampler: BaseSampler) -> None:
        self._sampler = sampler
        self._distributions: dict[str, BaseDistribution] = dict(distributions(space))

    def propose(self, study: Study, trial: FrozenTrial, attempt: int) -> Parameters:
        """Return the sampler's own proposal; what it leaves open (its random start) is drawn independently."""
        if attempt == 0:
            self._sampler.before_trial(study, trial)
        found = self._sampler.sample_relative(study, trial, self._distributions)
        for name, distribution in self._distributions.items():
            if name not in found:
                found[name] = self._sampler.sample_independent(study, trial, name, distribution)
        return found

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Let the sampler note the end of a trial; the types are Optuna's."""
        self._sampler.after_trial(study, trial, state, values)


class CandidateSampler(BaseSampler):
    """An Optuna sampler that proposes candidates which the study has not seen, where it can."""

    def __init__(self, space: Space[Any], proposer: Proposer, is_seen: Callable[[str], bool]) -> None:
        self._space = space
        self._proposer = proposer
        self._is_seen = is_seen
        self._distributions: dict[str, BaseDistribution] = dict(distributions(space))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return every parameter, always; none for a trial that a resumed study takes up again."""
        return {} if trial.params else self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a proposal that is new to the study, or the last of 20 that were not."""
        if not search_space:
            return {}
        proposal: Parameters = {}
        for attempt in range(MAX_PROPOSALS):
            proposal = self._proposer.propose(study, trial, attempt)
            candidate: HasDigest = self._space.from_parameters(proposal)
            if not self._is_seen(candidate.digest):
                break
        return proposal

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Refuse: all parameters are proposed together, so a single one is asked for only by mistake."""
        raise AssertionError(f"parameter {param_name} is not of the search space")

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Pass on the end of a trial."""
        if isinstance(self._proposer, OptunaProposer):
            self._proposer.after_trial(study, trial, state, values)


def distributions(space: Space[Any]) -> dict[str, CategoricalDistribution]:
    """Return the space's parameters as Optuna names them."""
    return {name: CategoricalDistribution(values) for name, values in space.choices.items()}


def _random(space: Space[Any], seed: int, trials: int, told: int) -> Proposer:
    return RandomProposer(space, seed)


def _nsga2(space: Space[Any], seed: int, trials: int, told: int) -> Proposer:
    # A population larger than a fifth of the budget would leave fewer than five generations to select in.
    population = max(8, min(50, trials // 5))
    return OptunaProposer(space, NSGAIISampler(population_size=population, seed=_seed32(seed, "nsga2", told)))


def _tpe(space: Space[Any], seed: int, trials: int, told: int) -> Proposer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return OptunaProposer(space, TPESampler(multivariate=True, seed=_seed32(seed, "tpe", told)))


SAMPLERS: Mapping[str, Callable[[Space[Any], int, int, int], Proposer]] = {
    "auto": _tpe,
    "nsga2": _nsga2,
    "random": _random,
    "tpe": _tpe,
}
"""By name, a function of (space, run seed, trials to evaluate, trials told so far)."""


def _seed32(*parts: Any) -> int:
    """Return a seed that NumPy's older generators take."""
    return derive_seed(*parts) % 2**32
