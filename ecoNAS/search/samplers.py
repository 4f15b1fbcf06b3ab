"""Samplers by name: each proposes flat parameters, and all of them go through one wrapper that avoids repetition.

The wrapper is an Optuna sampler like any other. Within one trial it asks its proposer again, at most 20 times, while
the candidate is invalid or one that the study has seen, then it draws at random; so a repetition costs a draw and no
trial. What happens to a candidate that is still a repetition is decided by `search.loop`.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ecoNAS.architecture import derive_seed
from ecoNAS.costs.screen import Screening
from ecoNAS.search.beliefs import Target
from ecoNAS.search.cost_aware import CostAwareProposer
from ecoNAS.search.gauges import Elsewhere, Measuring
from ecoNAS.search.halving import Rungs
from ecoNAS.search.pool import Pool
from ecoNAS.space.protocol import HasDigest, Parameters, Space

MAX_PROPOSALS = 20
MAX_DRAWS = 200


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

    def __init__(self, space: Space[Any], proposer: Proposer, is_seen: Callable[[str], bool], seed: int = 0) -> None:
        self._space = space
        self._proposer = proposer
        self._is_seen = is_seen
        self._seed = seed
        self._distributions: dict[str, BaseDistribution] = dict(distributions(space))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return every parameter, always; none for a trial that has them, as one that a resumed study takes up."""
        return {} if trial.params.keys() >= self._distributions.keys() else self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a proposal that is valid and new to the study; a random one of that kind where 20 were not."""
        if not search_space or "fixed_params" in trial.system_attrs:  # the latter: it was enqueued
            return {}
        proposal: Parameters = {}
        for attempt in range(MAX_PROPOSALS):
            proposal = self._proposer.propose(study, trial, attempt)
            if self._is_fresh(self._space.from_parameters(proposal)):
                return proposal
        rng = np.random.default_rng(derive_seed(self._seed, "fresh", trial.number))
        for _ in range(MAX_DRAWS):
            candidate = self._space.random(rng)
            if self._is_fresh(candidate):
                return self._space.parameters(candidate)
        return proposal

    def choose(self, study: Study, paused: Sequence[int]) -> int | None:
        """Return which paused trial should go on; None where the proposer leaves that to the ranking at the rung."""
        return self._proposer.choose(study, paused) if isinstance(self._proposer, CostAwareProposer) else None

    def _is_fresh(self, candidate: HasDigest) -> bool:
        return not self._is_seen(candidate.digest) and self._space.is_valid(candidate)

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


@dataclass(frozen=True, slots=True)
class SamplerContext:
    """What a sampler is made from.

    Attributes:
        space: What may be proposed.
        seed: Of the run.
        trials: How many are to be evaluated in all.
        told: How many trials have ended before this session; keeps a resumed sampler from repeating its draws.
        screen: The gate, which also tells what is exact; costs nothing but a count.
        targets: The objectives, in the study's order.
        is_seen: Whether a digest was proposed before.
        measuring: Measures objectives of candidates before one of them is trained; None where that cannot be had.
        proxies: Measures what helps to predict objectives; None for nothing.
        rungs: Where trainings are paused; None where none is.
        elsewhere: What trainings in other runs showed; None for nothing.
        reference: The worst values worth having, one a target; None where nobody says.
    """

    space: Space[Any]  # Any: whatever the space holds
    seed: int
    trials: int
    told: int
    screen: Callable[[Any], Screening]
    targets: tuple[Target, ...]
    is_seen: Callable[[str], bool]
    measuring: Measuring | None = None
    proxies: Measuring | None = None
    rungs: Rungs | None = None
    elsewhere: Elsewhere | None = None
    reference: tuple[float, ...] | None = None


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


def cost_aware(context: SamplerContext, pool: Pool | None = None) -> Proposer:
    """Return the cost-aware sampler; `pool` None for the one that suits the space."""
    pool = pool or Pool(context.space, context.screen, context.seed)
    return CostAwareProposer(
        pool,
        context.targets,
        context.is_seen,
        measuring=context.measuring,
        proxies=context.proxies,
        rungs=context.rungs,
        elsewhere=context.elsewhere,
        reference=context.reference,
    )


SAMPLERS: Mapping[str, Callable[[SamplerContext], Proposer]] = {
    "auto": cost_aware,
    "nsga2": _nsga2,
    "random": _random,
    "tpe": _tpe,
}


def _seed32(*parts: Any) -> int:
    """Return a seed that NumPy's older generators take."""
    return derive_seed(*parts) % 2**32
