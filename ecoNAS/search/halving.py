"""Asynchronous successive halving with several objectives: who has reached which rung, and who goes on from it.

A rung is a point of a training at which its candidate is paused and ranked among all that reached it. At most one in
`factor` goes on; the others stay paused and may go on later, when more have reached the rung. So no worker waits (Li et
al., "A system for massively parallel hyperparameter tuning", MLSys 2020). Ranking with several objectives is by
non-dominated sorting (Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002) and, within a
layer, by a rule that spreads; exact and measured objectives take part with the values that they keep. A sampler with a
surrogate may choose instead.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecoNAS.pareto import Direction, front

NUM_ONE_BY_ONE: Final = 20  # results of rungs that a surrogate learns from one by one

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(slots=True)
class Rung:
    """Who reached a rung, by trial, in the order of arrival, who went on from it, and whose trial has ended."""

    reached: dict[int, tuple[float, ...]] = field(default_factory=dict)
    gone_on: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)

    @property
    def paused(self) -> list[int]:
        """The trials that wait, the first to arrive first."""
        return [trial for trial in self.reached if trial not in self.gone_on and trial not in self.ended]


@dataclass(slots=True)
class Rungs:
    """The rungs of one search, from first to last; the full training is none of them.

    Attributes:
        names: Of the rungs.
        factor: One in so many goes on.
        directions: Of the objectives.
        order: Ranks the points of a layer, (points, objectives), minimised: a value of `SPREADS`.
        choose: Returns which of the paused trials at a rung goes on, within the quota, or None to leave that to the
            ranking; None where nobody chooses.
    """

    names: tuple[str, ...]
    factor: float
    directions: tuple[Direction, ...]
    order: "Spread"
    choose: Callable[[Sequence[int]], int | None] | None = None
    rungs: list[Rung] = field(init=False)
    _arrivals: list[tuple[int, int]] = field(default_factory=list)  # (trial, place of the rung)

    def __post_init__(self) -> None:
        """Begin with empty rungs."""
        self.rungs = [Rung() for _ in self.names]

    def note(self, trial: int, rung: int, values: Sequence[float | None]) -> None:
        """Take in what a candidate shows at a rung; None or NaN for an objective that is not shown there."""
        self.rungs[rung].reached[trial] = tuple(math.nan if value is None else value for value in values)
        self._arrivals.append((trial, rung))

    def go_on(self, trial: int, rung: int) -> None:
        """Take in that a candidate goes on from a rung."""
        self.rungs[rung].gone_on.add(trial)

    def leave(self, trial: int) -> None:
        """Take in that a candidate ended; what it showed still counts."""
        for rung in self.rungs:
            if trial in rung.reached:
                rung.ended.add(trial)

    def place_of(self, trial: int) -> int | None:
        """Return the last rung that a candidate reached; None for none."""
        return next((place for place in reversed(range(len(self.rungs))) if trial in self.rungs[place].reached), None)

    @property
    def paused(self) -> set[int]:
        """All trials that wait at a rung."""
        return {trial for rung in self.rungs for trial in rung.paused}

    def shown(self) -> tuple[list[tuple[int, str, tuple[float, ...]]], set[int]]:
        """Return (trial, name of the rung, values) in the order of arrival, and the trials with later results.

        A surrogate learns from results in batches that grow with their number, so that it is asked seldom; how many it
        may know depends on how many there are alone.
        """
        count = len(self._arrivals)
        batch = 2 ** max(0, (count // NUM_ONE_BY_ONE).bit_length() - 1)
        known = count // batch * batch
        found = [(trial, self.names[at], self.rungs[at].reached[trial]) for trial, at in self._arrivals[:known]]
        return found, {trial for trial, _ in self._arrivals[known:]}

    def promotable(self) -> tuple[int, int] | None:
        """Return who should go on now, and from which rung, the highest rung first; None where nobody should."""
        for place in reversed(range(len(self.rungs))):
            rung = self.rungs[place]
            quota = int(len(rung.reached) / self.factor)
            paused = rung.paused
            if not paused or not quota:
                continue
            if self.choose is not None:
                if len(rung.gone_on) >= quota:
                    continue
                chosen = self.choose(paused)
                if chosen is not None:
                    return chosen, place
            trials = list(rung.reached)
            best = [trials[one] for one in self._ranked(np.array(list(rung.reached.values())))[:quota]]
            waiting = [trial for trial in best if trial in paused]
            if waiting:
                return waiting[0], place
        return None

    def worst(self) -> int:
        """Return the paused trial that is least likely to go on: the last at the lowest rung where any waits."""
        rung = next(rung for rung in self.rungs if rung.paused)
        trials, paused = list(rung.reached), set(rung.paused)
        ranked = [trials[place] for place in self._ranked(np.array(list(rung.reached.values())))]
        return next(trial for trial in reversed(ranked) if trial in paused)

    def _ranked(self, values: Floats) -> list[int]:
        """Return places from best to worst."""
        shown = ~np.isnan(values).any(axis=0)
        signs = np.array([1.0 if direction == "minimize" else -1.0 for direction in self.directions])
        costs = (values * signs)[:, shown]
        left, ranked = np.arange(len(costs)), list[int]()
        while len(left):
            is_member = front(costs[left], ["minimize"] * costs.shape[1])
            layer = left[is_member]
            ranked += layer[self.order(costs[layer])].tolist()
            left = left[~is_member]
        return ranked


Spread = Callable[[Floats], Places]


def by_crowding(points: Floats) -> Places:
    """Return the places of points of a layer, those with most room around them first (Deb et al., 2002)."""
    room = np.zeros(len(points))
    for column in points.T:
        order = np.argsort(column, kind="stable")
        sorted_ = column[order]
        span = sorted_[-1] - sorted_[0]
        if span > 0:
            room[order[1:-1]] += (sorted_[2:] - sorted_[:-2]) / span
        room[order[[0, -1]]] = np.inf
    return np.argsort(-room, kind="stable")


def by_epsilon_net(points: Floats) -> Places:
    """Return the places of points of a layer, each next one as far as possible from those before it.

    The rule of MO-ASHA (Schmucker et al., "Multi-objective asynchronous successive halving", arXiv 2106.12639, 2021,
    section 3.2), here from the point that is best in the first objective.
    """
    span = np.ptp(points, axis=0)
    scaled = (points - points.min(axis=0)) / np.where(span > 0, span, 1.0)
    chosen = [int(np.argmin(scaled[:, 0]))]
    nearest = np.linalg.norm(scaled - scaled[chosen[0]], axis=1)
    nearest[chosen[0]] = -1.0
    while len(chosen) < len(points):
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, np.linalg.norm(scaled - scaled[chosen[-1]], axis=1))
        nearest[chosen] = -1.0
    return np.array(chosen, dtype=np.int64)


SPREADS: Final[Mapping[str, Spread]] = {"crowding": by_crowding, "epsilon_net": by_epsilon_net}
