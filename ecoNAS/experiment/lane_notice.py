"""Who keeps a search waiting: looks at the lane of its device, and tells of another run's measurement once a wait.

Only the driver owns a terminal, and its workers are the ones that wait; so it looks itself, at what everybody on the
machine can see. How the line reads is decided by the caller.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.lane import Lane
from ecoNAS.energy.lane_files import LaneStatus

LOOK_EVERY_S: Final = 1.0


class LaneNotice:
    """Says once a wait that someone else measures while others queue to.

    Args:
        lane: Of the device that the run measures on.
        owner: What the run's own workers write into the lane.
        on_waiting: Called with who measures.
    """

    def __init__(self, lane: Lane, owner: str, on_waiting: Callable[[LaneStatus], None]) -> None:
        self._lane, self._owner, self._on_waiting = lane, owner, on_waiting
        self._is_said = False

    def watching(self, clock: Clock = REAL_CLOCK) -> AbstractContextManager[None]:
        """Look until the block ends, from a thread of its own: a worker may be this very process, busy for minutes."""
        return clock.every(LOOK_EVERY_S, self.look)

    def look(self) -> None:
        """Tell of the one who measures, unless that is a worker of this run, nobody waits, or it is said already."""
        status = self._lane.status()
        is_other = status.pid is not None and status.owner != self._owner
        if is_other and status.num_waiting > 0 and not self._is_said:
            self._is_said = True
            self._on_waiting(status)
        elif status.num_waiting == 0 or (status.pid is not None and not is_other):
            self._is_said = False  # not while the lane changes hands: that is still the same wait
