"""Power added up to joules, for sensors that show watts and do not count.

What happened between two readings was not seen, so they must come often: a longer gap is refused, not interpolated.
"""

from ecoNAS.errors import MeasurementError


class PowerIntegral:
    """The integral of a power by the trapezoid rule.

    Args:
        name: Of the sensor, for messages.
        power_w: Its first value.
        time_s: Monotonic seconds of the first value.
        max_gap_s: Between two values.
    """

    def __init__(self, name: str, power_w: float, time_s: float, max_gap_s: float) -> None:
        self._name, self._max_gap_s = name, max_gap_s
        self._power_w, self._time_s = power_w, time_s
        self._failure = ""
        self.energy_j = 0.0

    def advance(self, power_w: float, time_s: float) -> float:
        """Take in a value; return the joules since the first one.

        Raises:
            MeasurementError: if the last value is too long ago, or one of the two is negative; from then on always.
        """
        if self._failure:
            raise MeasurementError(self._failure, self.energy_j)
        gap_s = time_s - self._time_s
        if min(self._power_w, power_w) < 0:
            self._refuse(f"showed {min(self._power_w, power_w):.3g} W")
        if gap_s > self._max_gap_s:
            self._refuse(f"was not read for {gap_s:.2f} s, and nobody knows what it showed meanwhile")
        self.energy_j += (self._power_w + power_w) / 2 * gap_s
        self._power_w, self._time_s = power_w, time_s
        return self.energy_j

    def _refuse(self, what: str) -> None:
        self._failure = f"power sensor {self._name} {what}; measure again"
        raise MeasurementError(self._failure, self.energy_j)
