"""What a meter is: a counter of joules that can be read at any time.

A meter counts; an estimator (`estimate`) computes and has no counter, so it is another protocol with another type of
result. How readings become joules per image is decided by the protocol of measurement, and which meter is used by
`select`. Here is also the simplest meter, a constant power for tests.
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

from ecoNAS.energy.clock import Clock
from ecoNAS.errors import MeterError
from ecoNAS.joules import Joules, SimulatedJoules


@dataclass(frozen=True, slots=True)
class Reading:
    """What a counter showed at one moment.

    Attributes:
        energy: Joules since the meter was opened.
        time_s: Monotonic seconds at which it showed them.
    """

    energy: Joules
    time_s: float


class EnergyMeter(Protocol):
    """A counter of joules; a context manager, since it holds a device open."""

    @property
    def name(self) -> str:
        """The name under which an experiment asks for it."""
        ...

    @property
    def kind(self) -> Literal["measured", "simulated"]:
        """Whether a real counter stands behind it."""
        ...

    @property
    def scope(self) -> str:
        """Which parts of the device it counts, such as 'package and dram'."""
        ...

    @property
    def device(self) -> str:
        """Which device it counts, by an identity that does not move between runs."""
        ...

    def read(self) -> Reading:
        """Return the joules since it was opened; never less than before.

        Raises:
            MeterError: if it is not open, or the counter was reset or is dead.
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

    name = "simulated"
    kind: Literal["simulated"] = "simulated"
    scope = "whole device"

    def __init__(self, power_w: float, clock: Clock, device: str = "simulated:0") -> None:
        self.device = device
        self._power_w = power_w
        self._clock = clock
        self._opened_s: float | None = None

    def read(self) -> Reading:
        """Return power times the seconds since it was opened."""
        if self._opened_s is None:
            raise MeterError("meter 'simulated' is not open; read it inside `with meter:`")
        now_s = self._clock.now_s()
        energy_j = self._power_w * (now_s - self._opened_s)
        energy = SimulatedJoules(
            value_j=energy_j,
            low_j=energy_j,
            high_j=energy_j,
            method="constant_power",
            scope=self.scope,
            device=self.device,
        )
        return Reading(energy, now_s)

    def __enter__(self) -> Self:
        """Start to count from zero."""
        self._opened_s = self._clock.now_s()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop counting."""
        self._opened_s = None
