"""Samplers by name: each proposes flat parameters, and all of them go through one wrapper that avoids repetition.

The wrapper is an Optuna sampler like any other. Within one trial it asks its proposer again, at most 20 times, while
the candidate is one that the study has seen; so a repetition costs a draw and not a trial. What happens to a candidate
that is still a repetition is decided by `search.loop`.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
NUM_SPREAD = 12  # TPE itself draws its first ten at random
POOL_SIZE = 256


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


class SpreadStart:
    """Spreads the first candidates over the range of MACs, which is known before training, then hands over.

    Uniform draws over decisions crowd in the middle of the costs, and the front lacks its ends. From a pool of random
    candidates that pass the gate, ordered by MACs, the first takes the least, the second the most, and the next ones
    halve what is left (van der Corput's sequence), so that any number of them is spread.
    """

    def __init__(self, context: "SamplerContext", then: Proposer) -> None:
        self._context = context
        self._then = then
        self._pool: list[Parameters] = []

    def propose(self, study: Study, trial: FrozenTrial, attempt: int) -> Parameters:
        """Return a candidate of the pool for the first trials, then what the other proposes."""
        if trial.number >= NUM_SPREAD:
            return self._then.propose(study, trial, attempt)
        pool = self._pool = self._pool or self._draw_pool()
        if not pool:
            return self._then.propose(study, trial, attempt)
        place = round(_spread(trial.number) * (len(pool) - 1))
        return pool[(place + attempt) % len(pool)]

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Let the other note the end of a trial; the types are Optuna's."""
        if isinstance(self._then, OptunaProposer):
            self._then.after_trial(study, trial, state, values)

    def _draw_pool(self) -> list[Parameters]:
        space, rng = self._context.space, np.random.default_rng(derive_seed(self._context.seed, "spread start"))
        drawn = [space.random(rng) for _ in range(POOL_SIZE)]
        passing = [candidate for candidate in drawn if space.is_valid(candidate) and self._context.passes(candidate)]
        passing.sort(key=lambda candidate: space.costs(candidate).macs)
        return [space.parameters(candidate) for candidate in passing]


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
        if isinstance(self._proposer, OptunaProposer | SpreadStart):
            self._proposer.after_trial(study, trial, state, values)


def distributions(space: Space[Any]) -> dict[str, CategoricalDistribution]:
    """Return the space's parameters as Optuna names them."""
    return {name: CategoricalDistribution(values) for name, values in space.choices.items()}


@dataclass(frozen=True, slots=True)
class SamplerContext:
    """What a sampler is made from.

    Attributes:
        space: What may be proposed.
        seed: Of the run.
        trials: How many are to be evaluated in all.
        told: How many trials have ended before this session; keeps a resumed sampler from repeating its draws.
        passes: Whether a candidate passes the gate; costs nothing but a count.
    """

    space: Space[Any]  # Any: whatever the space holds
    seed: int
    trials: int
    told: int
    passes: Callable[[Any], bool]


def _random(context: SamplerContext) -> Proposer:
    return RandomProposer(context.space, context.seed)


def _nsga2(context: SamplerContext) -> Proposer:
    # A population larger than a fifth of the budget would leave fewer than five generations to select in.
    population = max(8, min(50, context.trials // 5))
    seed = _seed32(context.seed, "nsga2", context.told)
    return OptunaProposer(context.space, NSGAIISampler(population_size=population, seed=seed))


def _tpe(context: SamplerContext) -> Proposer:
    seed = _seed32(context.seed, "tpe", context.told)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return OptunaProposer(context.space, TPESampler(multivariate=True, seed=seed))


def _auto(context: SamplerContext) -> Proposer:
    return SpreadStart(context, _tpe(context))


SAMPLERS: Mapping[str, Callable[[SamplerContext], Proposer]] = {
    "auto": _auto,
    "nsga2": _nsga2,
    "random": _random,
    "tpe": _tpe,
}


def _spread(index: int) -> float:
    """Return 0, 1, 1/2, 1/4, 3/4, 1/8 and so on: the ends, then van der Corput's sequence in base 2 (1935)."""
    if index < 2:
        return float(index)
    number, share, result = index - 1, 0.5, 0.0
    while number:
        result += share * (number & 1)
        number, share = number >> 1, share / 2
    return result


def _seed32(*parts: Any) -> int:
    """Return a seed that NumPy's older generators take."""
    return derive_seed(*parts) % 2**32
