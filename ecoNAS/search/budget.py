"""The budget of a search: whether there is room for one more candidate.

A candidate that has begun is finished, so the search has to stop before its budget is used up: as soon as what it took
so far, with what those under way and one more may take, is more than it may take. Estimated joules of a training are
known before it; measured ones are not, and a candidate is taken to be as dear as the dearest so far.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from ecoNAS.events import Event, RungReached, TrialEnded, TrialStarted
from ecoNAS.records import Costs, now


@dataclass(slots=True)
class Budget:
    """What a search may take, and what its candidates took so far.

    Attributes:
        energy_j: Joules that it may take; None for any.
        time_s: Seconds that drivers may run, over all sessions; None for any.
        spent_j: Tells the joules so far; raises MeasurementError where they cannot be told any more.
        spent_s: Tells the seconds so far.
        price_j: Tells the joules of a training by the network's costs; None where nobody knows them before.
        clock: Tells the time, as events do.
    """

    energy_j: float | None = None
    time_s: float | None = None
    spent_j: Callable[[], float] = lambda: 0.0
    spent_s: Callable[[], float] = lambda: 0.0
    price_j: Callable[[Costs], float] | None = None
    clock: Callable[[], datetime] = now
    _ended_s: list[float] = field(default_factory=list)
    _started: dict[int, datetime] = field(default_factory=dict)
    _prices_j: dict[int, float] = field(default_factory=dict)

    def note(self, event: Event) -> None:
        """Take in that a candidate was begun, or what it took."""
        if isinstance(event, TrialStarted):
            self._started[event.trial] = event.time
        elif isinstance(event, RungReached | TrialEnded):
            self._started.pop(event.trial, None)
            self._prices_j.pop(event.trial, None)
            if event.phases:
                whole_s = (event.phases[-1].ended - event.phases[0].started).total_seconds()
                self._ended_s.append(max(event.duration_s, whole_s))

    def promise(self, trial: int, costs: Costs | None, share: float = 1.0) -> None:
        """Take in what a candidate will take, where that is known before; `share` of a whole training."""
        if self.price_j is not None and costs is not None:
            self._prices_j[trial] = share * self.price_j(costs)

    def why_full(self, costs: Costs | None = None, share: float = 1.0) -> str:
        """Return why no more candidate can be begun; empty where there is room.

        Args:
            costs: Of the one that is to be begun; None where that is not known yet.
            share: Of a whole training that it would take.

        Raises:
            MeasurementError: if joules are bounded and cannot be told any more.
        """
        time = self.clock()
        running_s = [(time - started).total_seconds() for started in self._started.values()]
        dearest_s = max([*self._ended_s, *running_s], default=0.0)
        if self.energy_j is not None:
            spent_j, needed_j = self.spent_j(), self._needed_j(dearest_s, costs, share)
            if spent_j >= self.energy_j or spent_j + needed_j > self.energy_j:
                return (
                    f"{spent_j:.4g} of {self.energy_j:.4g} J are spent; those under way and one more may take "
                    f"{needed_j:.3g} J"
                )
        if self.time_s is not None:
            spent_s = self.spent_s()
            if spent_s >= self.time_s or spent_s + dearest_s > self.time_s:
                return f"{spent_s:.4g} of {self.time_s:.4g} s are spent; one more may take {dearest_s:.3g} s"
        return ""

    def _needed_j(self, dearest_s: float, costs: Costs | None, share: float) -> float:
        """Return what those under way and one more may take."""
        if self.price_j is not None:
            return sum(self._prices_j.values()) + (share * self.price_j(costs) if costs is not None else 0.0)
        ended_s = sum(self._ended_s)
        each_j = self.spent_j() * dearest_s / ended_s if ended_s else 0.0
        return each_j * (len(self._started) + 1)
