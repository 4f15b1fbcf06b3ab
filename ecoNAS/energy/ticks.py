"""Ticks: the moments at which a counter of energy moves, noted by polling it while something else runs.

Between two ticks a counter says nothing, so joules and seconds are read at ticks alone. Here a counter is also watched
for signs of death: it stands still, runs backward, or the machine slept. Which ticks make a power is decided by
`windows` and `idle`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.meter import EnergyMeter, Reading
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeasurementError, MeterError

# A counter of a millisecond is polled, and so seen to move, much less often: a busy machine may hold a poll back.
DEAD_AT_LEAST_S: Final = 0.25
SUSPENDED_S: Final = 0.05  # the two clocks that tell of it are read one after the other
# A tick that may have come at any moment of a longer stretch, since a poll was held back, is not noted.
BLURRED_POLLS: Final = 3
BLURRED_SHARE: Final = 0.25  # of the period
# A log is written late; after so many times the span in which a counter dies, its ticks are no longer waited for.
LATE: Final = 4


class TickLog:
    """Notes (time, joules) whenever the counter moved.

    Args:
        meter: Open.
        period_s: Update period of its counter.
        settings: How often it is polled, and after how many periods without a tick it is dead.
        clock: The clock of the meter.
    """

    def __init__(
        self, meter: EnergyMeter, period_s: float, settings: EnergySettings, clock: Clock = REAL_CLOCK
    ) -> None:
        self.ticks: list[Reading] = []
        self._meter, self._clock, self._period_s = meter, clock, period_s
        # What shows power and not joules is added up from its readings, of which there cannot be too many.
        is_fast = period_s < settings.poll_s and "integrated_power" not in meter.info.method
        self._poll_every_s = settings.fast_poll_s if is_fast else settings.poll_s
        self._blurred_s = max(BLURRED_POLLS * settings.poll_s, BLURRED_SHARE * period_s)
        self._dead_after_s = max(settings.dead_periods * period_s, DEAD_AT_LEAST_S)
        self._first: Reading | None = None
        self._last: Reading | None = None  # the latest poll
        self._is_behind = False
        self._moved_s = 0.0  # when the counter was last seen to move
        self._suspended_s = clock.suspended_s()
        self._failure: MeasurementError | None = None

    @contextmanager
    def polling(self) -> Iterator[None]:
        """Poll while the block runs; what goes wrong meanwhile is raised by `check`, and by the end of the block."""
        with self._clock.every(self._poll_every_s, self.poll):
            yield
        self.check()

    @property
    def counted_j(self) -> float:
        """Joules since the first poll, up to the last reading that could be trusted."""
        return self._last.energy_j - self._first.energy_j if self._first and self._last else 0.0

    def check(self) -> None:
        """Raise MeasurementError if the counter cannot be trusted any more."""
        if self._failure is not None:
            raise self._failure

    def poll(self) -> None:
        """Read the counter once."""
        if self._failure is not None:
            return
        try:
            self._note(self._meter.read())
        except MeterError as error:
            self._failure = MeasurementError(error.args[0], self.counted_j)

    def wait_for_tick(self) -> None:
        """Return once another tick was noted; raises MeasurementError if none is for too long."""
        before = len(self.ticks)
        self._wait(lambda: len(self.ticks) > before)

    def wait_until(self, time_s: float) -> None:
        """Return once a tick of `time_s` or later was noted: the readings of some meters come late.

        Raises:
            MeasurementError: if they are too late.
        """
        self._wait(lambda: bool(self.ticks) and self.ticks[-1].time_s >= time_s)

    def between(self, from_s: float, to_s: float) -> list[Reading]:
        """Return the ticks within an interval of time, oldest first."""
        found = []
        for tick in reversed(self.ticks):
            if tick.time_s < from_s:
                break
            if tick.time_s <= to_s:
                found.append(tick)
        return found[::-1]

    def _wait(self, is_over: Callable[[], bool]) -> None:
        until_s = self._clock.now_s() + LATE * self._dead_after_s
        while not is_over():
            self.check()
            if self._clock.now_s() > until_s:
                raise MeasurementError(
                    f"no tick of '{self._meter.info.name}' could be placed in time for {LATE * self._dead_after_s:.2f} "
                    "s; its log is too late, or this machine too busy to poll it: let it rest and measure again",
                    self.counted_j,
                )
            self._clock.sleep(self._poll_every_s / 2)

    def _note(self, reading: Reading) -> None:
        now_s, name = self._clock.now_s(), self._meter.info.name
        suspended_s = self._clock.suspended_s()
        last = self._last
        if last is None:
            self._first = self._last = reading
            self._moved_s = now_s
            return
        if suspended_s - self._suspended_s > SUSPENDED_S:
            raise MeasurementError(
                f"the machine was suspended for {suspended_s - self._suspended_s:.1f} s meanwhile; measure again"
            )
        if reading.energy_j < last.energy_j:
            raise MeasurementError(f"the counter of '{name}' ran backward; measure again")
        # A log has times of its own, behind those of the polls, which are taken as they are.
        was_behind, self._is_behind = self._is_behind, reading.time_s < now_s - self._poll_every_s
        self._last = reading
        if reading.energy_j > last.energy_j:
            # A counter moved between the two polls, and no longer than a period ago: one of a millisecond has just
            # moved, however long ago it was polled.
            has_own_time = was_behind or self._is_behind
            blur_s = 0.0 if has_own_time else min(reading.time_s - last.time_s, self._period_s)
            if blur_s <= self._blurred_s:
                self.ticks.append(Reading(reading.energy_j, reading.time_s - blur_s / 2))
            self._moved_s = now_s
        elif now_s - self._moved_s > self._dead_after_s:
            raise MeasurementError(
                f"the counter of '{name}' stood still for {now_s - self._moved_s:.2f} s; it is stuck or lost"
            )
