"""The bill of a whole run: the counter of the reference device, read while the driver lives.

What each phase of the search took of it is decided by the ledger; here the counter is only read, often enough that no
wrap is missed, and written down every ten seconds, so that a lost device or a dead driver leaves what was counted.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from types import TracebackType
from typing import Final, Self

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.meter import EnergyMeter, Reading
from ecoNAS.errors import MeasurementError, MeterError
from ecoNAS.events import EnergyMetered, Event, MeterFailed, Phase, RungReached, TrainingReplicated, TrialEnded
from ecoNAS.joules import counted
from ecoNAS.records import now

READ_EVERY_S: Final = 0.5  # integrated power needs frequent readings; a counter would do with far fewer
WRITE_EVERY_S: Final = 10.0


class RunMeter:
    """Reads a meter from a thread of its own; events are written where `flush` is called; a context manager.

    Args:
        meter: Of the reference device, not open yet.
        log: Writes an event.
        clock: Whose seconds pass between readings.
    """

    def __init__(self, meter: EnergyMeter, log: Callable[[Event], None], clock: Clock = REAL_CLOCK) -> None:
        self._meter, self._log, self._clock = meter, log, clock
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._last: tuple[Reading, datetime] | None = None
        self._written: tuple[Reading, datetime] | None = None
        self._opened_j = 0.0
        self._failure: MeasurementError | None = None

    def __enter__(self) -> Self:
        """Open the meter and begin to count."""
        self._stack.enter_context(self._meter)
        self._read()
        self._written = self._last
        self._opened_j = self._last[0].energy_j if self._last is not None else 0.0
        self._stack.enter_context(self._clock.every(READ_EVERY_S, self._read))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Write down what is left and close the meter."""
        self._read()
        self.flush(at_least_s=0.0)
        self._stack.close()

    @property
    def counted_j(self) -> float:
        """Joules since it was opened; raises MeasurementError if the counter failed since."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            return self._last[0].energy_j - self._opened_j if self._last is not None else 0.0

    def flush(self, at_least_s: float = WRITE_EVERY_S) -> None:
        """Write what was counted since the last time, if that is at least so many seconds ago; a failure at once."""
        with self._lock:
            last, written, failure = self._last, self._written, self._failure
            if last is None or written is None:
                return
            elapsed_s = last[0].time_s - written[0].time_s
            is_due = elapsed_s > 0 and (elapsed_s >= at_least_s or failure is not None)
            self._written = last if is_due else written
            if failure is not None:
                self._last = self._written = None
        if is_due:
            energy = counted(self._meter.info, max(last[0].energy_j - written[0].energy_j, 0.0))
            self._log(EnergyMetered(started=written[1], ended=last[1], energy=energy))
        if failure is not None:
            self._log(MeterFailed(reason=failure.args[0]))

    def note(self, event: Event) -> None:
        """Do nothing: what a training took is in the counter."""

    def _read(self) -> None:
        with self._lock:
            if self._failure is not None:
                return
            try:
                self._last = (self._meter.read(), now())
            except MeterError as error:
                self._failure = error if isinstance(error, MeasurementError) else MeasurementError(str(error))


class Prices(AbstractContextManager["Prices"]):
    """Stands where nothing is metered: adds up the joules that trainings were priced at."""

    def __init__(self) -> None:
        self.counted_j = 0.0

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""

    def note(self, event: Event) -> None:
        """Add what an ended training was priced at."""
        if isinstance(event, TrainingReplicated):
            phases: tuple[Phase, ...] = (event.phase,)
        else:
            phases = event.phases if isinstance(event, RungReached | TrialEnded) else ()
        for phase in phases:
            self.counted_j += phase.energy.value_j if phase.energy is not None else 0.0
