"""A device whose power is known exactly: piecewise-constant watts over a virtual clock, with an exact integral."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from ecoNAS.energy.clock import VirtualClock


class PowerTrace:
    """Watts over time; idle wherever nothing was put.

    Args:
        idle_w: The power before, between and after what is put.
    """

    def __init__(self, idle_w: float = 0.0) -> None:
        self.idle_w = idle_w
        self._starts_s: list[float] = []  # of pieces, ascending; each holds until the next
        self._powers_w: list[float] = []
        self._before_j: list[float] = []  # joules from the first start to each start

    @classmethod
    def from_samples(cls, times_s: Sequence[float], powers_w: Sequence[float]) -> "PowerTrace":
        """Return the trace that holds each power until the next sample."""
        trace = cls()
        for index, (time_s, power_w) in enumerate(zip(times_s, powers_w, strict=True)):
            trace._add(time_s, power_w)
            trace.idle_w = powers_w[index]
        return trace

    def put(self, start_s: float, duration_s: float, power_w: float) -> None:
        """Let the device take `power_w` for a while; pieces are put in the order of time."""
        self._add(start_s, power_w)
        self._add(start_s + duration_s, self.idle_w)

    def power_w(self, time_s: float) -> float:
        """Return the power at one moment."""
        index = bisect.bisect_right(self._starts_s, time_s) - 1
        return self._powers_w[index] if index >= 0 else self.idle_w

    def energy_j(self, from_s: float, to_s: float) -> float:
        """Return the exact joules between two moments."""
        return self._integral_j(to_s) - self._integral_j(from_s)

    def mean_power_w(self, from_s: float, to_s: float) -> float:
        """Return the mean power between two moments."""
        return self.energy_j(from_s, to_s) / (to_s - from_s)

    def _integral_j(self, time_s: float) -> float:
        index = bisect.bisect_right(self._starts_s, time_s) - 1
        if index < 0:
            return self.idle_w * (time_s - (self._starts_s[0] if self._starts_s else 0.0))
        return self._before_j[index] + self._powers_w[index] * (time_s - self._starts_s[index])

    def _add(self, start_s: float, power_w: float) -> None:
        if not self._starts_s:
            self._before_j.append(0.0)
        elif start_s <= self._starts_s[-1]:  # the idle piece that the last `put` ended with is taken over
            assert abs(start_s - self._starts_s[-1]) < 1e-9, "pieces are put in the order of time"
            self._powers_w[-1] = power_w
            return
        else:
            self._before_j.append(self._integral_j(start_s))
        self._starts_s.append(start_s)
        self._powers_w.append(power_w)


@dataclass
class SimulatedLoad:
    """A runner whose every batch takes the same pieces of (seconds, watts) on a trace.

    Attributes:
        trace: The device.
        clock: Whose seconds pass while it runs.
        pieces: What one batch takes.
        batch: Images per batch.
    """

    trace: PowerTrace
    clock: VirtualClock
    pieces: Sequence[tuple[float, float]]
    batch: int = 1
    name: str = "simulated"

    def run(self) -> None:
        for duration_s, power_w in self.pieces:
            self.trace.put(self.clock.now_s(), duration_s, power_w)
            self.clock.sleep(duration_s)

    def synchronise(self) -> None:
        pass

    @property
    def true_energy_j(self) -> float:
        """Joules per image, exactly."""
        return sum(duration_s * power_w for duration_s, power_w in self.pieces) / self.batch

    @property
    def true_image_s(self) -> float:
        """Seconds per image, exactly."""
        return sum(duration_s for duration_s, _ in self.pieces) / self.batch
