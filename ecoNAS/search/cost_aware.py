"""The cost-aware sampler: it uses what a black-box sampler throws away.

What is exact before training is computed for every candidate of a pool, what is measurable is predicted from it and
from past measurements, and only what needs a training is modelled from trainings. The candidate with the greatest
expected hypervolume improvement is proposed. Where measuring costs little beside a training, the few most promising
ones, judged by the optimistic end of their predictions, are measured first and then judged again: a prediction that is
too high would hide a cheap network for good.

Models are fitted and the pool is judged once for all that ask before the next result comes. Candidates under way are
taken to come out as predicted, so that many workers do not train twins. Proposals depend on the seed and on what was
told and asked, in the order of the trials' numbers, and of arrival for what rungs show.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial
from scipy.stats import norm, qmc, rankdata

from ecoNAS.architecture import derive_seed
from ecoNAS.pareto import front
from ecoNAS.search.acquisition import Prospects, Reached, expected_hypervolume_improvement
from ecoNAS.search.ahead import Ahead
from ecoNAS.search.beliefs import Beliefs, Observed, Outlook, Target
from ecoNAS.search.gauges import Elsewhere, Kind, Measuring, Numbers
from ecoNAS.search.halving import Rungs
from ecoNAS.search.history import History, errors, late_breaches, late_violations
from ecoNAS.search.pool import Candidates, Known, Pool
from ecoNAS.search.spread import spread
from ecoNAS.search.storage import TRAINABLE
from ecoNAS.search.surrogate import one_thread
from ecoNAS.space.protocol import Parameters

Floats = NDArray[np.float64]

NUM_START: Final = 8  # spread over the costs, before a surrogate is asked
MARGIN: Final = 0.1  # of the front's span, beyond its worst value, where no reference is given
SHORTLIST: Final = 500  # candidates that are judged again for each worker that asks
NUM_NEAR: Final = 4  # of about the same size, from which proxies choose one at the start
NUM_NODES: Final = 4  # values that an uncertain objective beside the first is taken at


class CostAwareProposer:
    """Proposes what promises most hypervolume; a `Proposer` of `search.samplers`."""

    def __init__(
        self,
        pool: Pool,
        targets: Sequence[Target],
        is_seen: Callable[[str], bool],
        *,
        measuring: Measuring | None = None,
        proxies: Measuring | None = None,
        rungs: Rungs | None = None,
        elsewhere: Elsewhere | None = None,
        reference: Sequence[float] | None = None,
    ) -> None:
        """Prepare.

        Args:
            pool: Where candidates come from.
            targets: The objectives, in the study's order.
            is_seen: Whether a digest was proposed before.
            measuring: Measures objectives of candidates before one of them is proposed; None where that cannot be had.
            proxies: Measures what only helps to predict; None for nothing.
            rungs: Where trainings are paused, and what they show there; None where none is.
            elsewhere: What other trainings showed; None for nothing.
            reference: The worst values worth having, one a target; None to read them from the front so far.
        """
        self._pool, self._targets, self._is_seen = pool, tuple(targets), is_seen
        self._measuring, self._proxies, self._rungs = measuring, proxies, rungs
        self._elsewhere = elsewhere
        self._signs = np.array([target.sign for target in self._targets])
        self._reference: Floats | None = None if reference is None else np.array(reference) * self._signs
        self._start: list[Known] = []
        self._known: dict[int, Known] = {}
        self._beliefs: Beliefs | None = None
        self._view: _View | None = None

    def propose(self, study: Study, trial: FrozenTrial, attempt: int) -> Parameters:
        """Return the parameters of the most promising candidate; one at random where the pool is exhausted."""
        space, history = self._pool.space, self._history(study, trial.number)
        found: Known | None
        if len(history.told) + len(history.under_way) < NUM_START or len(history.told) < 2:
            found = self._spread(trial.number, attempt)
        else:
            with one_thread():
                found = self._best(history)
        if found is None:
            rng = np.random.default_rng(derive_seed(self._pool.seed, "exhausted", trial.number, attempt))
            return space.parameters(space.random(rng))
        return space.parameters(found.candidate)

    def choose(self, study: Study, paused: Sequence[int]) -> int | None:
        """Return which of the paused trials promises most; None while too few were trained fully to tell."""
        history = self._history(study)
        if history.stands_in:
            return None
        with one_thread():
            view = self._view_of(history)
            if view is None:
                return None
            known = [self._known_of(history.trials[number]) for number in paused]
            outlook = view.beliefs.look(Candidates.of(known), 0.0)
            promise = self._promise(view, outlook, self._pending(view, history.under_way))
        return paused[int(np.argmax(promise))]

    def _spread(self, number: int, attempt: int) -> Known | None:
        """Return one of the first candidates: the ends of the exact costs, then what halves the rest."""
        if not self._start:
            reference = self._pool.reference()
            if not reference:
                return None
            sizes = Numbers.of(reference).read(Candidates.of(reference)).sum(axis=1)
            self._start = [reference[place] for place in np.argsort(sizes, kind="stable")]
        place = round(spread(number) * (len(self._start) - 1))
        near = [self._start[(place + attempt + step) % len(self._start)] for step in range(NUM_NEAR)]
        if self._proxies is None or attempt:
            return near[0]
        found = self._proxies.run([one.candidate for one in near])
        rows = np.array([[row[name] for name in self._proxies.names] for row in found])
        return near[int(np.argmax(rankdata(rows, axis=0).sum(axis=1)))]

    def _view_of(self, history: History) -> "_View | None":
        """Return how the pool looks now; it is judged anew only where something was told since."""
        if self._view is None or self._view.told != history.extent:
            self._view = self._look(history)
        return self._view

    def _best(self, history: History) -> Known | None:
        view = self._view_of(history)
        if view is None:
            return None
        fresh = np.flatnonzero([not self._is_seen(known.digest) for known in view.chosen.known])
        if not len(fresh):
            return None
        chosen, outlook = view.chosen.take(fresh), view.outlook.take(fresh)
        pending = self._pending(view, history.under_way)
        promise = self._promise(view, outlook, pending)
        if view.plan.asked:
            view.plan.carry_out(
                view.beliefs.gauges, [chosen.known[place] for place in np.argsort(-promise, kind="stable")]
            )
            measured = np.flatnonzero(view.plan.is_measured(view.beliefs.gauges, chosen))
            if len(measured):  # else nothing could be measured
                chosen = chosen.take(measured)
                promise = self._promise(view, view.beliefs.look(chosen, 0.0), pending)
        return chosen.known[int(np.argmax(promise))]

    def _look(self, history: History) -> "_View | None":
        """Learn from what was told, and judge the whole pool once."""
        beliefs = self._beliefs = self._beliefs or self._new_beliefs()
        ended, decided = history.ended, self._pool.decided
        empty = np.full(len(self._targets), np.nan)
        values = np.stack([np.array(trial.values) * self._signs if trial.values else empty for trial in ended])
        members = np.flatnonzero(~np.isnan(values).any(axis=1))
        members = members[front(values[members], ["minimize"] * len(self._targets))]
        untrainable = [trial.constraints.get(TRAINABLE, 0.0) > 0 for trial in ended]
        values[untrainable] = np.nanmax(values, axis=0)  # what cannot be trained is as bad as the worst
        known = [self._known_of(trial) for trial in ended]
        for one, trial in zip(known, ended, strict=True):
            if trial.values:
                beliefs.gauges.note(one, self._named(trial.values))
        for number, rung, shown in history.shown:
            named = self._named(shown)
            found = {**named, **{_at(rung, name): value for name, value in named.items()}}
            beliefs.gauges.note(self._known_of(history.trials[number]), found)
        if self._proxies is not None:
            beliefs.gauges.forget_proxies({one.digest for one in known})
            beliefs.gauges.measure(known, self._proxies)
        observed = Observed(Candidates.of(known), values, errors(ended, len(self._targets)), members)
        settled = beliefs.learn(observed, late_violations(ended, decided))
        has_values = [trial.values is not None for trial in ended]
        is_allowed = [trial.values is not None and not late_breaches(trial, decided) for trial in ended]
        counting = np.flatnonzero(is_allowed if any(is_allowed) else has_values)
        members = counting[front(settled[counting], ["minimize"] * len(self._targets))]
        pool = self._pool.candidates(len(ended), [known[place].candidate for place in members], self._is_seen)
        if pool is None:
            return None
        plan = Ahead.of(self._measuring, self._proxies)
        outlook = beliefs.look(pool, plan.optimism)
        corner = self._corner(values[members])
        corner[beliefs.uncertain] = beliefs.warp(corner[[beliefs.uncertain]])[0]
        view = _View(history.extent, beliefs, settled[members], corner, pool, outlook, plan)
        order = np.argsort(-self._promise(view, outlook, None), kind="stable")
        # What was measured already promises less than what is looked at with optimism, and is still chosen from.
        measured = order[plan.is_measured(beliefs.gauges, pool)[order]] if plan.asked else order[:0]
        best = np.union1d(order[:SHORTLIST], measured[:SHORTLIST])
        return replace(view, chosen=pool.take(best), outlook=outlook.take(best))

    def _new_beliefs(self) -> Beliefs:
        """Return beliefs about the numbers that this search can have."""
        others = {name: Kind("proxy") for name in self._proxies.names} if self._proxies is not None else {}
        late = {target.name: target.sign for target in self._targets if target.known == "after_training"}
        if self._elsewhere is not None:
            others |= {name: Kind("rung", late[of]) for name, of in self._elsewhere.objectives.items()}
        for rung in self._rungs.names if self._rungs is not None else ():
            others |= {_at(rung, name): Kind("rung", sign) for name, sign in late.items()}
        numbers = Numbers.of(self._pool.reference())
        beliefs = Beliefs.of(self._targets, self._pool.space.feature_decisions, numbers, others)
        before = self._measuring.before if self._measuring is not None else ()
        for candidate, found in (*before, *(self._elsewhere.found if self._elsewhere is not None else ())):
            known = self._pool.known(candidate)
            if known.passes:
                beliefs.gauges.note(known, found)
        return beliefs

    def _history(self, study: Study, but: int | None = None) -> History:
        return History.of(study, self._pool.decided, self._rungs, but)

    def _named(self, values: Sequence[float]) -> dict[str, float]:
        return dict(zip((target.name for target in self._targets), values, strict=True))

    def _known_of(self, trial: FrozenTrial) -> Known:
        if trial.number not in self._known:
            self._known[trial.number] = self._pool.known(self._pool.space.from_parameters(trial.params))
        return self._known[trial.number]

    def _pending(self, view: "_View", under_way: Sequence[FrozenTrial]) -> Outlook | None:
        """Return what is believed of the candidates under way; None where there are none."""
        known = [self._known_of(trial) for trial in under_way]
        known = [one for one in known if one.passes]
        return view.beliefs.look(Candidates.of(known), 0.0) if known else None

    def _promise(self, view: "_View", outlook: Outlook, pending: Outlook | None) -> Floats:
        """Return the expected hypervolume improvement of each candidate, times the chance that it is allowed."""
        late = view.beliefs.uncertain
        others = [place for place in range(len(self._targets)) if place != late]
        reached, corner = view.reached, view.corner
        if pending is not None:
            reached = np.vstack([reached, pending.values])
            outlook = view.beliefs.doubt_beside(outlook, pending)
        past = Reached(reached[:, others], reached[:, late], corner[others], float(corner[late]))
        least = np.maximum(outlook.doubts[:, late], 1e-9 * (np.abs(outlook.values[:, late]).max() + 1.0))
        known, doubts = outlook.values[:, others], outlook.doubts[:, others]
        gains = [
            expected_hypervolume_improvement(
                Prospects(known + node * doubts, outlook.values[:, late], least, *view.beliefs.bend), past
            )
            for node in _nodes(doubts)
        ]
        return np.asarray(np.mean(gains, axis=0) * outlook.feasible)

    def _corner(self, members: Floats) -> Floats:
        """Return the reference point, minimised: nothing is worth having beyond the user's bounds."""
        bounds = [np.inf if target.bound is None else target.sign * target.bound for target in self._targets]
        if self._reference is not None:
            return np.minimum(self._reference, bounds)
        worst, span = members.max(axis=0), np.ptp(members, axis=0)
        corner: Floats = np.minimum(worst + MARGIN * np.where(span > 0, span, np.abs(worst) + 1e-12), bounds)
        return corner


@dataclass(frozen=True, slots=True)
class _View:
    """The pool as it looks from what was told.

    Attributes:
        told: How much had been told.
        reached: (members, objectives) of the front, minimised, the uncertain objective warped.
        corner: (objectives,), the reference point, likewise.
        chosen: What promises most while nothing is under way.
        outlook: What is believed of those.
        plan: What is measured of them.
    """

    told: tuple[int, int, int]
    beliefs: Beliefs
    reached: Floats
    corner: Floats
    chosen: Candidates
    outlook: Outlook
    plan: Ahead


def _at(rung: str, objective: str) -> str:
    return f"{objective} at {rung}"


def _nodes(doubts: Floats) -> Floats:
    """Return at which standard deviations the other objectives are taken, (nodes, objectives): all alike likely."""
    if not doubts.any():
        return np.zeros((1, doubts.shape[1]))
    points = qmc.Sobol(doubts.shape[1], scramble=False).random(NUM_NODES) + 0.5 / NUM_NODES
    return np.asarray(norm.ppf(points))
