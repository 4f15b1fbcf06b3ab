"""The budget of a search: whether there is room for one more candidate.

A candidate that has begun is finished, so the search has to stop before its budget is used up: as soon as what it took
so far, with what those under way and one more will take on average, is more than it may take.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from ecoNAS.events import Event, TrialEnded


@dataclass(slots=True)
class Budget:
    """What a search may take, and what its candidates took so far.

    Attributes:
        energy_j: Joules that it may take; None for any.
        time_s: Seconds that drivers may run, over all sessions; None for any.
        spent_j: Tells the joules so far; raises MeasurementError where they cannot be told any more.
        spent_s: Tells the seconds so far.
    """

    energy_j: float | None = None
    time_s: float | None = None
    spent_j: Callable[[], float] = lambda: 0.0
    spent_s: Callable[[], float] = lambda: 0.0
    _durations_s: dict[int, float] = field(default_factory=dict)

    def note(self, event: Event) -> None:
        """Take in what a candidate took."""
        if isinstance(event, TrialEnded) and event.phases:
            self._durations_s[event.trial] = max(
                event.duration_s, (event.phases[-1].ended - event.phases[0].started).total_seconds()
            )

    def why_full(self, num_running: int) -> str:
        """Return why no more candidate can be begun; empty where there is room.

        Args:
            num_running: Candidates under way, whose joules are counted as if they had just begun.

        Raises:
            MeasurementError: if joules are bounded and cannot be told any more.
        """
        count = len(self._durations_s)
        if self.energy_j is not None:
            spent_j = self.spent_j()
            each_j = spent_j / count if count else 0.0
            if spent_j >= self.energy_j or spent_j + each_j * (num_running + 1) > self.energy_j:
                return (
                    f"{spent_j:.4g} of {self.energy_j:.4g} J are spent and a candidate takes {each_j:.3g} J on average"
                )
        if self.time_s is not None:
            spent_s = self.spent_s()
            each_s = math.fsum(self._durations_s.values()) / count if count else 0.0
            if spent_s >= self.time_s or spent_s + each_s > self.time_s:
                return f"{spent_s:.4g} of {self.time_s:.4g} s are spent and a candidate takes {each_s:.3g} s on average"
        return ""
