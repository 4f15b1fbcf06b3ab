"""The cost-aware sampler: it uses what a black-box sampler throws away.

What is exact before training is computed for every candidate of a pool, what is measurable is predicted from it and
from past measurements, and only what needs a training is modelled from trainings. The candidate with the greatest
expected hypervolume improvement is proposed. Where measuring is allowed before training, the few most promising ones,
judged by the optimistic end of their predictions, are measured first and then judged again: a measurement is cheap, and
a prediction that is too high would hide a cheap network for good.

Candidates under way are taken to come out as predicted, so that many workers do not train twins. Proposals depend on
the seed, the trial's number and what was told, never on the order of arrival.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ecoNAS.architecture import derive_seed
from ecoNAS.pareto import front
from ecoNAS.search.acquisition import Prospects, Reached, expected_hypervolume_improvement
from ecoNAS.search.beliefs import Beliefs, Numbers, Target
from ecoNAS.search.pool import Known, Pool
from ecoNAS.search.spread import spread
from ecoNAS.space.protocol import Parameters

Floats = NDArray[np.float64]
Measure = Callable[[Sequence[Any]], Sequence[Mapping[str, float]]]

NUM_START: Final = 8  # spread over the costs, before a surrogate is asked
NUM_MEASURED: Final = 4  # candidates measured for one that is trained, where that is allowed
OPTIMISM: Final = 1.5  # standard deviations below the prediction by which candidates are picked for measuring
MARGIN: Final = 0.1  # of the front's span, beyond its worst value, where no reference is given


class CostAwareProposer:
    """Proposes what promises most hypervolume; a `Proposer` of `search.samplers`."""

    def __init__(
        self,
        pool: Pool,
        targets: Sequence[Target],
        is_seen: Callable[[str], bool],
        *,
        measure: Measure | None = None,
        reference: Sequence[float] | None = None,
    ) -> None:
        """Prepare.

        Args:
            pool: Where candidates come from.
            targets: The objectives, in the study's order.
            is_seen: Whether a digest was proposed before.
            measure: Measures candidates and returns the measurable objectives by name; None where a candidate is
                measured only once it is proposed.
            reference: The worst values worth having, one a target; None to read them from the front so far.
        """
        self._pool, self._targets, self._is_seen, self._measure = pool, tuple(targets), is_seen, measure
        self._signs = np.array([target.sign for target in self._targets])
        self._reference: Floats | None = None if reference is None else np.array(reference) * self._signs
        self._start: list[Known] = []
        self._beliefs: Beliefs | None = None

    def propose(self, study: Study, trial: FrozenTrial, attempt: int) -> Parameters:
        """Return the parameters of the most promising candidate; one at random where the pool is exhausted."""
        space = self._pool.space
        others = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING))
        others = [other for other in others if other.number != trial.number and other.params]
        told = [other for other in others if other.state is TrialState.COMPLETE]
        found: Known | None
        if len(others) < NUM_START or len(told) < 2:
            found = self._spread(trial.number, attempt)
        else:
            under_way = [other for other in others if other.state is TrialState.RUNNING]
            found = self._best(trial.number, told, under_way)
        if found is None:
            rng = np.random.default_rng(derive_seed(self._pool.seed, "exhausted", trial.number, attempt))
            return space.parameters(space.random(rng))
        return space.parameters(found.candidate)

    def _spread(self, number: int, attempt: int) -> Known | None:
        """Return one of the first candidates: the ends of the exact costs, then what halves the rest."""
        if not self._start:
            reference = self._pool.reference()
            sizes = Numbers.of(reference).read(reference).sum(axis=1)
            self._start = [reference[place] for place in np.argsort(sizes, kind="stable")]
        if not self._start:
            return None
        place = round(spread(number) * (len(self._start) - 1))
        return self._start[(place + attempt) % len(self._start)]

    def _best(self, number: int, told: Sequence[FrozenTrial], under_way: Sequence[FrozenTrial]) -> Known | None:
        observed, pending = self._known(told), self._known(under_way)
        beliefs = self._beliefs = self._beliefs or Beliefs(
            self._targets, self._pool.space.feature_decisions, Numbers.of(self._pool.reference())
        )
        for known, trial in zip(observed, told, strict=True):
            beliefs.note(known, dict(zip((target.name for target in self._targets), trial.values, strict=True)))
        history = _History(observed, np.array([trial.values for trial in told]) * self._signs, pending)
        around = [observed[place].candidate for place in history.members()]
        pool = self._pool.candidates(number, around, self._is_seen)
        if not pool:
            return None
        promise = self._promise(beliefs, history, pool, OPTIMISM if self._measure else 0.0)
        if self._measure is not None and self._measure_best(beliefs, pool, promise):
            pool = [known for known in pool if known.candidate.digest in beliefs.measured]
            promise = self._promise(beliefs, history, pool, 0.0)
        return pool[int(np.argmax(promise))]

    def _known(self, trials: Sequence[FrozenTrial]) -> list[Known]:
        return [self._pool.known(self._pool.space.from_parameters(trial.params)) for trial in trials]

    def _measure_best(self, beliefs: Beliefs, pool: Sequence[Known], promise: Floats) -> bool:
        """Measure the few that promise most; return whether any of the pool is measured now."""
        assert self._measure is not None
        best = [pool[place] for place in np.argsort(-promise, kind="stable")[:NUM_MEASURED]]
        fresh = [known for known in best if known.candidate.digest not in beliefs.measured]
        for known, found in zip(fresh, self._measure([known.candidate for known in fresh]), strict=True):
            beliefs.note(known, found)
        return any(known.candidate.digest in beliefs.measured for known in best)

    def _promise(self, beliefs: Beliefs, history: "_History", pool: Sequence[Known], optimism: float) -> Floats:
        """Return the expected hypervolume improvement of each candidate of the pool."""
        beliefs.learn_costs()
        late, others = beliefs.uncertain, [place for place in range(len(self._targets)) if place != beliefs.uncertain]
        believed = beliefs.learn(history.observed, history.values, history.pending)
        reached, corner = history.values.copy(), self._corner(history)
        reached[:, late] = beliefs.warp(reached[:, late])
        reached = np.vstack([reached, believed])
        worst = float(beliefs.warp(corner[late : late + 1])[0])
        prospects = Prospects(beliefs.known_values(pool, optimism)[:, others], *beliefs.late(pool, optimism))
        past = Reached(reached[:, others], reached[:, late], corner[others], worst)
        promise: Floats = expected_hypervolume_improvement(prospects, past)
        return promise

    def _corner(self, history: "_History") -> Floats:
        """Return the reference point, minimised: nothing is worth having beyond the user's bounds."""
        bounds = [np.inf if target.bound is None else target.sign * target.bound for target in self._targets]
        if self._reference is not None:
            return np.minimum(self._reference, bounds)
        members = history.values[history.members()]
        worst, span = members.max(axis=0), np.ptp(members, axis=0)
        corner: Floats = np.minimum(worst + MARGIN * np.where(span > 0, span, np.abs(worst) + 1e-12), bounds)
        return corner


@dataclass(frozen=True, slots=True)
class _History:
    """What a study holds: trained candidates with (observed, targets) minimised values, and those under way."""

    observed: Sequence[Known]
    values: Floats
    pending: Sequence[Known]

    def members(self) -> NDArray[np.int64]:
        """Return the places of the front's members."""
        found: NDArray[np.int64] = np.flatnonzero(front(self.values, ["minimize"] * self.values.shape[1]))
        return found
