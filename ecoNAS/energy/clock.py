"""Clocks: the one place where energy and latency take their seconds from.

Everything that waits or measures takes a `Clock`, so that tests with a `VirtualClock` let a simulated minute pass in
microseconds. Dates are not its affair: records take theirs from `ecoNAS.records.now`.
"""

import time
from typing import Final, Protocol


class Clock(Protocol):
    """Monotonic seconds, and a way to let them pass."""

    def now_s(self) -> float:
        """Return seconds since an arbitrary start; never less than before."""
        ...

    def sleep(self, duration_s: float) -> None:
        """Return once at least `duration_s` seconds have passed."""
        ...


class RealClock:
    """The monotonic clock of the machine."""

    def now_s(self) -> float:
        """Return seconds since an arbitrary start."""
        return time.perf_counter()

    def sleep(self, duration_s: float) -> None:
        """Let `duration_s` seconds pass."""
        time.sleep(duration_s)


REAL_CLOCK: Final = RealClock()


class VirtualClock:
    """A clock whose seconds pass only when someone sleeps; for tests.

    Args:
        start_s: What it shows at first, in seconds.
    """

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def now_s(self) -> float:
        """Return the seconds slept so far, plus the start."""
        return self._now_s

    def sleep(self, duration_s: float) -> None:
        """Let `duration_s` seconds pass at once; raises ValueError for a negative duration, as `time.sleep` does."""
        if duration_s < 0:
            raise ValueError(f"sleep {duration_s} s: the duration must not be negative")
        self._now_s += duration_s
