"""Joules of one training: the difference of two readings, without the stretches in which it was paused.

Over minutes a counter needs no tricks. It sees everyone on the device, so a figure is only taken where one training has
the device to itself: with several it would have to be split by a guess.
"""

import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.exclusivity import Verdict, Watch
from ecoNAS.energy.meter import EnergyMeter
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeasurementError, MeterError
from ecoNAS.joules import Joules, counted

HEARTBEAT_S: Final = 0.5  # integrated power needs frequent readings; a counter would do with one in ten seconds


class TrainingMeter:
    """Counts from its beginning to its end, except between `pause` and `resume`; a context manager.

    Args:
        meter: Of the device that the training has to itself, not open yet.
        settings: Its floor of error widens the interval.
        watch: Looks who else is on the device while it counts; with others there, nothing is told.
        clock: Whose seconds pass between heartbeats.
    """

    def __init__(
        self, meter: EnergyMeter, settings: EnergySettings, watch: Watch | None = None, clock: Clock = REAL_CLOCK
    ) -> None:
        self._meter, self._settings, self._watch, self._clock = meter, settings, watch, clock
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._running_since_j: float | None = None
        self._counted_j = 0.0
        self._latest_j = 0.0
        self._failure: MeasurementError | None = None

    def __enter__(self) -> Self:
        """Open the meter and begin to count."""
        self._stack.enter_context(self._meter)
        self.resume()
        self._stack.enter_context(self._clock.every(HEARTBEAT_S, self._beat))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop counting and close the meter."""
        self.pause()
        self._stack.close()

    def pause(self) -> None:
        """Leave out what comes until `resume`."""
        self._beat()
        with self._lock:
            if self._running_since_j is not None:
                self._counted_j += self._latest_j - self._running_since_j
                self._running_since_j = None
                self._judge()

    def resume(self) -> None:
        """Count again."""
        self._beat()
        if self._watch is not None:
            self._watch.begin()
        with self._lock:
            self._running_since_j = self._latest_j

    @property
    def energy(self) -> Joules | None:
        """The joules counted, after the end; None where the counter failed on the way."""
        if self._failure is not None:
            return None
        floor = self._settings.method_floor
        return counted(
            self._meter.info, self._counted_j, (self._counted_j * (1 - floor), self._counted_j * (1 + floor))
        )

    @property
    def note(self) -> str:
        """Why there is no energy, with what was counted before; empty where there is."""
        if self._failure is None:
            return ""
        return f"{self._failure.args[0]}; at least {self._counted_j:.4g} J were spent before"

    def _judge(self) -> None:
        """Refuse a figure that others had a part in."""
        if self._watch is None or self._failure is not None:
            return
        try:
            verdict = self._watch.verdict()
        except MeterError as error:
            verdict = Verdict("violated", str(error))
        if verdict.state == "violated":
            self._failure = MeasurementError(f"the training did not have the device to itself: {verdict.reason}")

    def _beat(self) -> None:
        with self._lock:
            if self._failure is not None:
                return
            try:
                self._latest_j = self._meter.read().energy_j
            except MeterError as error:
                self._failure = MeasurementError(error.args[0])
