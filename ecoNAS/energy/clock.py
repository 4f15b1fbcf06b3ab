"""Clocks: the one place where energy and latency take their seconds from.

Everything that waits or measures takes a `Clock`, so that tests with a `VirtualClock` let a simulated minute pass in
microseconds. Dates are not its affair: records take theirs from `ecoNAS.records.now`.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final, Protocol


class Clock(Protocol):
    """Monotonic seconds, ways to let them pass, and whether the machine slept through some."""

    def now_s(self) -> float:
        """Return seconds since an arbitrary start; never less than before."""
        ...

    def sleep(self, duration_s: float) -> None:
        """Return once at least `duration_s` seconds have passed."""
        ...

    def suspended_s(self) -> float:
        """Return for how many seconds the machine was suspended since an arbitrary start; `now_s` left them out."""
        ...

    def every(self, period_s: float, action: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `action` about every `period_s` seconds, beside the block of a `with`, until the block ends.

        The first call comes at once. An error of `action` ends the calls and is raised when the block ends, unless the
        block itself raised.
        """
        ...


class RealClock:
    """The monotonic clock of the machine."""

    def now_s(self) -> float:
        """Return seconds since an arbitrary start."""
        return time.perf_counter()

    def sleep(self, duration_s: float) -> None:
        """Let `duration_s` seconds pass."""
        time.sleep(duration_s)

    def suspended_s(self) -> float:
        """Return the seconds of suspension since boot; always 0 where the system does not tell (macOS)."""
        if not hasattr(time, "CLOCK_BOOTTIME"):
            return 0.0
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)

    @contextmanager
    def every(self, period_s: float, action: Callable[[], None]) -> Iterator[None]:
        """Call `action` from a thread of its own; a call that comes late does not make the next ones come faster."""
        ended, errors = threading.Event(), list[BaseException]()

        def repeat() -> None:
            try:
                while True:
                    started_s = time.perf_counter()
                    action()
                    if ended.wait(max(0.0, period_s - (time.perf_counter() - started_s))):
                        return
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=repeat, name="clock-every", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
        if errors:
            raise errors[0]


REAL_CLOCK: Final = RealClock()


@dataclass(slots=True)
class _Repeated:
    """An action that a virtual clock calls, and when it is due next."""

    action: Callable[[], None]
    period_s: float
    due_s: float
    error: BaseException | None = None


class VirtualClock:
    """A clock whose seconds pass only when someone sleeps; for tests.

    Args:
        start_s: What it shows at first, in seconds.
    """

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s
        self._suspended_s = 0.0
        self._repeated: list[_Repeated] = []
        self._is_calling = False

    def now_s(self) -> float:
        """Return the seconds slept so far, plus the start."""
        return self._now_s

    def sleep(self, duration_s: float) -> None:
        """Let `duration_s` seconds pass at once; raises ValueError for a negative duration, as `time.sleep` does.

        What is due meanwhile is called at its time. An action that sleeps itself takes that long, as a slow call does.
        """
        if duration_s < 0:
            raise ValueError(f"sleep {duration_s} s: the duration must not be negative")
        end_s = self._now_s + duration_s
        while not self._is_calling and self._repeated:
            next_one = min(self._repeated, key=lambda repeated: repeated.due_s)
            if next_one.due_s > end_s:
                break
            self._now_s = max(self._now_s, next_one.due_s)
            self._call(next_one)
        self._now_s = max(self._now_s, end_s)

    def suspend(self, duration_s: float) -> None:
        """Let the machine sleep: the rest of the world goes on, this clock does not."""
        self._suspended_s += duration_s

    def suspended_s(self) -> float:
        """Return the seconds of suspension so far."""
        return self._suspended_s

    @contextmanager
    def every(self, period_s: float, action: Callable[[], None]) -> Iterator[None]:
        """Call `action` at its times while someone sleeps; the first call comes at once."""
        repeated = _Repeated(action, period_s, self._now_s)
        self._repeated.append(repeated)
        self._call(repeated)
        try:
            yield
        finally:
            if repeated in self._repeated:
                self._repeated.remove(repeated)
        if repeated.error is not None:
            raise repeated.error

    def _call(self, repeated: _Repeated) -> None:
        self._is_calling = True
        try:
            repeated.action()
        except BaseException as error:
            repeated.error = error
            self._repeated.remove(repeated)
        finally:
            self._is_calling = False
        repeated.due_s = max(repeated.due_s + repeated.period_s, self._now_s)
