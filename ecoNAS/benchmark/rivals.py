"""Samplers to compare with: what Optuna offers, and simple methods that a careful user would write.

Each gets the same loop, the same wrapper against repetition and the same table. Those that use cheap costs say so.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sklearn.ensemble import RandomForestRegressor

from ecoNAS.architecture import derive_seed
from ecoNAS.benchmark.evolution import Pymoo
from ecoNAS.benchmark.lookup import Make
from ecoNAS.benchmark.told import Told, cost_points
from ecoNAS.costs.screen import Screening
from ecoNAS.errors import EcoNASError, unknown_name
from ecoNAS.pareto import front
from ecoNAS.search.acquisition import Prospects, Reached, expected_hypervolume_improvement
from ecoNAS.search.pool import Candidates, Known, Pool
from ecoNAS.search.samplers import (
    SAMPLERS,
    OptunaProposer,
    Proposer,
    RandomProposer,
    SamplerContext,
    cost_aware,
)
from ecoNAS.space.protocol import Parameters

Floats = NDArray[np.float64]

NUM_FIRST: Final = 10  # random, before a method of its own begins
BATCH: Final = 10  # proposals from one fit of a forest
NUM_TREES: Final = 100
TINY: Final = 1e-9


class LocalSearch:
    """Takes an unseen neighbour of a member of the front; the first candidates are random."""

    def __init__(self, context: SamplerContext) -> None:
        self._context = context
        self._random = RandomProposer(context.space, context.seed)

    def propose(self, study: Study, trial: FrozenTrial, attempt: int) -> Parameters:
        """Return the parameters of a neighbour."""
        told = _told(study)
        if len(told) < NUM_FIRST:
            return self._random.propose(study, trial, attempt)
        space, rng = self._context.space, _rng(self._context, "local", trial, attempt)
        members = np.flatnonzero(front(_values(told, self._context), ["minimize"] * len(self._context.targets)))
        for place in rng.permutation(members):
            neighbours = space.neighbours(space.from_parameters(told[place].params), rng)
            fresh = [other for other in neighbours if not self._context.is_seen(other.digest)]
            if fresh:
                return space.parameters(fresh[0])
        return self._random.propose(study, trial, attempt)


class Forest:
    """A random forest over the pool for every objective that is not exact; costs are not told apart otherwise."""

    def __init__(self, context: SamplerContext) -> None:
        self._context = context
        self._random = RandomProposer(context.space, context.seed)
        self._pool = Pool(context.space, context.screen, context.seed)
        self._forests: tuple[int, list[RandomForestRegressor]] = (-1, [])

    def propose(self, study: Study, trial: FrozenTrial, attempt: int) -> Parameters:
        """Return the parameters of the candidate whose predicted objectives would add most hypervolume."""
        told = _told(study)
        if len(told) < NUM_FIRST:
            return self._random.propose(study, trial, attempt)
        space, targets = self._context.space, self._context.targets
        observed = [self._pool.known(space.from_parameters(other.params)) for other in told]
        values = _values(told, self._context)
        members = np.flatnonzero(front(values, ["minimize"] * len(targets)))
        pool = self._pool.candidates(
            trial.number, [observed[place].candidate for place in members], self._context.is_seen
        )
        if pool is None:
            return self._random.propose(study, trial, attempt)
        if self._forests[0] != len(told) // BATCH:
            self._forests = len(told) // BATCH, self._fit(Candidates.of(observed), values)
        features = _features(pool)
        guesses = np.stack([forest.predict(features) for forest in self._forests[1]], axis=1)
        reached, corner = values[members], values.max(axis=0) + TINY
        prospects = Prospects(guesses[:, :-1], guesses[:, -1], np.full(len(pool), TINY))
        past = Reached(reached[:, :-1], reached[:, -1], corner[:-1], float(corner[-1]))
        gain = expected_hypervolume_improvement(prospects, past)
        rng = _rng(self._context, "forest", trial, attempt)
        best = np.flatnonzero(gain >= gain.max() - TINY * abs(gain.max()))
        return space.parameters(pool.known[int(rng.choice(best))].candidate)

    def _fit(self, observed: Candidates, values: Floats) -> list[RandomForestRegressor]:
        features = _features(observed)
        seed = derive_seed(self._context.seed, "forest", len(observed)) % 2**32
        return [
            RandomForestRegressor(NUM_TREES, random_state=seed, n_jobs=1).fit(features, column) for column in values.T
        ]


class Peeling:
    """No learning: trains in the order of non-dominated costs, cheap to run and large in what is free to know.

    A candidate comes early if no other takes less of the known objectives and has more of the exact numbers that are
    no objectives (MACs, parameters). It is told all measurable costs, and pays for each that it asks for.
    """

    def __init__(self, context: SamplerContext) -> None:
        self._context = context
        self._pool = Pool(context.space, context.screen, context.seed)
        self._order: list[Known] = []

    def propose(self, study: Study, trial: FrozenTrial, attempt: int) -> Parameters:
        """Return the next candidate in the order."""
        self._order = self._order or self._peel(trial.number)
        while self._order:
            known = self._order.pop(0)
            if not self._context.is_seen(known.digest):
                return self._context.space.parameters(known.candidate)
        rng = _rng(self._context, "peeling", trial, attempt)
        return self._context.space.parameters(self._context.space.random(rng))

    def _peel(self, number: int) -> list[Known]:
        context = self._context
        rng = np.random.default_rng(derive_seed(context.seed, "peeling", number))
        found = self._pool.candidates(number, (), context.is_seen)
        pool = [found.known[place] for place in rng.permutation(len(found))] if found is not None else []
        if not pool:
            return []
        if context.measuring is not None:
            pool = pool[: 5 * context.trials]
        points = cost_points(context, [known.candidate for known in pool])
        if not points.shape[1]:
            return pool
        left, order = np.arange(len(pool)), list[Known]()
        while len(left):
            members = front(points[left], ["minimize"] * points.shape[1])
            order += [pool[place] for place in left[members]]
            left = left[~members]
        return order


def _optuna(make: Any) -> Make:  # Any: constructors of Optuna's samplers have nothing in common
    def build(context: SamplerContext) -> Proposer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler: BaseSampler = make(derive_seed(context.seed, "rival") % 2**32)
        return OptunaProposer(context.space, sampler)

    return build


def _told_costs(make: Make) -> Make:
    return lambda context: Told(context, make(context))


UNINFORMED: Final[Mapping[str, Make]] = {
    "gp": _optuna(lambda seed: GPSampler(seed=seed)),
    "local": LocalSearch,
    "nsga2": SAMPLERS["nsga2"],
    "nsga2-20": _optuna(lambda seed: NSGAIISampler(population_size=20, seed=seed)),
    "nsga2-50": _optuna(lambda seed: NSGAIISampler(population_size=50, seed=seed)),
    "pymoo": Pymoo,
    "random": SAMPLERS["random"],
    "tpe": SAMPLERS["tpe"],
}


def _without_costs(context: SamplerContext) -> Proposer:
    """Return the sampler that is told nothing but the values of what was trained."""
    targets = tuple(replace(target, known="after_training") for target in context.targets)
    blind = replace(context, targets=targets, measuring=None, screen=lambda candidate: Screening(None, {}, {}))
    return SAMPLERS["auto"](blind)


def _without_numbers(context: SamplerContext) -> Proposer:
    """Return the sampler without the exact numbers that are no objective."""
    names = {target.name for target in context.targets}

    def screen(candidate: Any) -> Screening:
        found = context.screen(candidate)
        return replace(found, values={name: value for name, value in found.values.items() if name in names})

    return SAMPLERS["auto"](replace(context, screen=screen))


def _without_pool(context: SamplerContext) -> Proposer:
    """Return the sampler that looks at a few random draws only: no listing, no neighbours, no children."""
    pool = Pool(context.space, context.screen, context.seed, max_listed=0, has_relatives=False)
    return cost_aware(context, pool)


PARTS: Final[Mapping[str, Make]] = {  # `auto` without its surrogate is `random-told`
    "auto-no-costs": _without_costs,
    "auto-no-numbers": _without_numbers,
    "auto-no-pool": _without_pool,
}

RIVALS: Final[Mapping[str, Make]] = {
    "auto": SAMPLERS["auto"],
    "forest": Forest,
    "peeling": Peeling,
    **UNINFORMED,
    **{f"{name}-told": _told_costs(UNINFORMED[name]) for name in ("local", "nsga2-20", "random", "tpe")},
    **PARTS,
}


def rival(name: str) -> Make:
    """Return a sampler by name.

    Raises:
        EcoNASError: listing the known names.
    """
    if name not in RIVALS:
        raise EcoNASError(unknown_name("sampler", name, RIVALS))
    return RIVALS[name]


def _told(study: Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _values(told: list[FrozenTrial], context: SamplerContext) -> Floats:
    return np.array([trial.values for trial in told]) * [target.sign for target in context.targets]


def _features(candidates: Candidates) -> Floats:
    return np.column_stack([candidates.features, *candidates.exact.values()])


def _rng(context: SamplerContext, what: str, trial: FrozenTrial, attempt: int) -> np.random.Generator:
    return np.random.default_rng(derive_seed(context.seed, what, trial.number, attempt))
