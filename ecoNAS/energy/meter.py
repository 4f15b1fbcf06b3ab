"""What a meter is: a counter of joules that can be read at any time.

A meter counts; an estimator (`estimate`) computes and has no counter, so it is another protocol with another type of
result. How readings become joules per image is decided by `profile`, and which meter is used by `select`. Here is also
the simplest meter, a constant power for tests. Only the standard library is imported (see `ecoNAS.measurement`).
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from ecoNAS.energy.clock import Clock
from ecoNAS.errors import MeterError
from ecoNAS.measurement import DeviceState, MeterInfo


@dataclass(frozen=True, slots=True)
class Reading:
    """What a counter showed at one moment.

    Attributes:
        energy_j: Joules since the meter was opened.
        time_s: Monotonic seconds, by the clock of the meter, at which it showed them.
    """

    energy_j: float
    time_s: float


class EnergyMeter(Protocol):
    """A counter of joules; a context manager, since it holds a device open.

    Making one finds the device and raises MeterError, with the remedy, where it cannot be had; nothing is held open
    until the meter is entered.
    """

    @property
    def info(self) -> MeterInfo:
        """What it is; known before it is opened."""
        ...

    def read(self) -> Reading:
        """Return the joules since it was opened; never less than before.

        Raises:
            MeterError: if it is not open.
            MeasurementError: if the counter was lost, reset or cannot be read: no number can be trusted any more.
        """
        ...

    def state(self) -> DeviceState:
        """Return what the device says of itself right now; what it cannot say is None.

        Raises:
            MeterError: if it is not open.
            MeasurementError: if the device is lost.
        """
        ...

    def __enter__(self) -> Self:
        """Open the device and start to count from zero."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the device back."""
        ...


class SimulatedMeter:
    """A counter of a constant power over a clock; for tests.

    Args:
        power_w: The power in watts, not negative.
        clock: Whose seconds it counts.
        device: What its joules say they come from.
    """

    def __init__(self, power_w: float, clock: Clock, device: str = "simulated:0") -> None:
        self.info = MeterInfo(
            "simulated", "simulated", "constant_power", "whole device", device, device_name="constant power"
        )
        self._power_w = power_w
        self._clock = clock
        self._opened_s: float | None = None

    def read(self) -> Reading:
        """Return power times the seconds since it was opened."""
        now_s = self._clock.now_s()
        return Reading(self._power_w * (now_s - self._require_open()), now_s)

    def state(self) -> DeviceState:
        """Return its power; it says nothing else of itself."""
        self._require_open()
        return DeviceState(power_w=self._power_w)

    def __enter__(self) -> Self:
        """Start to count from zero."""
        self._opened_s = self._clock.now_s()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop counting."""
        self._opened_s = None

    def _require_open(self) -> float:
        if self._opened_s is None:
            raise MeterError("meter 'simulated' is not open; read it inside `with meter:`")
        return self._opened_s
