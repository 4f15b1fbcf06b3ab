"""A register of energy that wraps, turned into joules that only grow.

A register that fell has wrapped, or was reset. It is a wrap only where that is the only explanation: the joules that it
would mean are plausible for the time that passed. Everything else is refused, for good: a counter that jumped once says
nothing about what was spent meanwhile.
"""

from typing import Final

from ecoNAS.errors import MeasurementError

MICRO: Final = 1e-6
# More than any package takes: Intel's and AMD's largest are specified below 600 W, brief peaks below twice that.
MAX_POWER_W: Final = 1500.0
# Two readings may be closer than the register's own update period (about 1 ms), whose energy then arrives at once.
SLACK_S: Final = 0.1


class WrappingCounter:
    """Counts what a register of micro-joules shows, from its first value on.

    Readings must come often enough that no more than one wrap fits between two at `max_power_w`; the joules of a longer
    gap cannot be known and are refused. At 262 kJ and 1,500 W that is three minutes.

    Args:
        name: Of the register, for messages.
        raw_uj: Its first value.
        range_uj: It counts from 0 to this value and begins again.
        time_s: Monotonic seconds of the first value.
        max_power_w: More than the device can take.
    """

    def __init__(self, name: str, raw_uj: int, range_uj: int, time_s: float, max_power_w: float = MAX_POWER_W) -> None:
        self._name, self._range_uj, self._max_power_w = name, range_uj, max_power_w
        self._raw_uj, self._time_s = raw_uj, time_s
        self._counted_uj = 0
        self._failure = ""

    @property
    def energy_j(self) -> float:
        """Joules counted up to the last value that could be trusted."""
        return self._counted_uj * MICRO

    def advance(self, raw_uj: int, time_s: float) -> float:
        """Take in a value; return the joules since the first one.

        Raises:
            MeasurementError: if the register was reset, or moved as no device can; from then on always.
        """
        if self._failure:
            raise MeasurementError(self._failure, self.energy_j)
        elapsed_s = max(time_s - self._time_s, 0.0)
        possible_uj = self._max_power_w * (elapsed_s + SLACK_S) / MICRO
        change_uj = raw_uj - self._raw_uj
        if change_uj < 0:
            change_uj += self._range_uj + 1
            what = "fell as no wrap explains: it was reset"
        else:
            what = f"grew by {change_uj * MICRO:.6g} J in {elapsed_s:.3g} s, more than {self._max_power_w:.0f} W"
        if not 0 <= raw_uj <= self._range_uj:
            self._refuse(f"shows {raw_uj} uJ, outside of its range of 0 to {self._range_uj} uJ")
        if change_uj > possible_uj:
            self._refuse(what)
        if possible_uj > self._range_uj:  # once more around would be as plausible
            self._refuse(f"was not read for {elapsed_s:.0f} s, in which it may have wrapped unseen")
        self._counted_uj += change_uj
        self._raw_uj, self._time_s = raw_uj, time_s
        return self.energy_j

    def _refuse(self, what: str) -> None:
        self._failure = f"counter {self._name} {what}; measure again"
        raise MeasurementError(self._failure, self.energy_j)
