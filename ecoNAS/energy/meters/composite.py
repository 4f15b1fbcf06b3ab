"""Several meters as one: a GPU with the CPU packages and DRAM that feed it.

Small networks at batch 1 spend much of their energy on the host, so the sum has a scope of its own. Its parts are read
one after the other, within the time of their calls, and each moves in steps of its own. The sum moves only once all of
them have, so it ticks with the slowest: its joules are those of a tick, windows can start at phases of it, and a part
that is stuck stops the whole.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from ecoNAS.energy.meter import EnergyMeter, Reading
from ecoNAS.errors import JoulesMixError, MeasurementError, MeterError
from ecoNAS.measurement import DeviceState, MeterInfo


class CompositeMeter:
    """The sum of meters that count different things.

    Args:
        meters: At least two, of one kind; what their scopes name must not overlap. The one whose state matters most
            comes first.

    Attributes:
        parts: The meters, in their order.

    Raises:
        JoulesMixError: if their kinds differ.
        MeterError: if two count the same.
    """

    def __init__(self, meters: Sequence[EnergyMeter]) -> None:
        infos = [meter.info for meter in meters]
        kinds = {info.kind for info in infos}
        if len(kinds) > 1:
            raise JoulesMixError(f"joules of different kind do not mix: {', '.join(sorted(kinds))}")
        counted = [(info.device, part) for info in infos for part in info.scope.split("+")]
        for device, part in counted:
            if counted.count((device, part)) > 1:
                raise MeterError(f"{part} of {device} would be counted twice; name each meter once")
        self.parts = tuple(meters)
        self._stack: ExitStack | None = None
        self._first_j = self._latest_j = [0.0] * len(meters)
        self._shown_j = tuple(self._latest_j)
        self.info = MeterInfo(
            name="+".join(info.name for info in infos),
            kind=infos[0].kind,
            method="+".join(info.method for info in infos),
            scope="+".join(info.scope for info in infos),
            device="+".join(info.device for info in infos),
            domains=tuple(domain for info in infos for domain in info.domains),
            device_name=" + ".join(info.device_name for info in infos),
            driver=", ".join(info.driver for info in infos if info.driver),
        )

    def read(self) -> Reading:
        """Return the sum as of when the last part to move did, at the time of the part that was read last."""
        self._require_open()
        time_s = 0.0
        for place, meter in enumerate(self.parts):
            try:
                reading = meter.read()
            except MeasurementError as error:
                raise MeasurementError(error.args[0], sum(self._latest_j)) from None
            self._latest_j[place] = reading.energy_j - self._first_j[place]
            time_s = max(time_s, reading.time_s)
        if all(now_j > then_j for now_j, then_j in zip(self._latest_j, self._shown_j, strict=True)):
            self._shown_j = tuple(self._latest_j)
        return Reading(sum(self._shown_j), time_s)

    def state(self) -> DeviceState:
        """Return what the parts say: the first that can say counts; slow-downs add up, processes join."""
        self._require_open()
        states = [meter.state() for meter in self.parts]
        processes = [state.process_ids for state in states if state.process_ids is not None]
        return DeviceState(
            temperature_c=_first([state.temperature_c for state in states]),
            throttled_s=_sum([state.throttled_s for state in states]),
            capped_s=_sum([state.capped_s for state in states]),
            power_w=None,  # a sum over some would be wrong, and parts count at different speeds
            power_limit_w=_sum_of_all([state.power_limit_w for state in states]),
            clock_mhz=_first([state.clock_mhz for state in states]),
            process_ids=frozenset().union(*processes) if processes else None,
        )

    def __enter__(self) -> Self:
        """Open all parts; they count from the moment when the last one is open."""
        with ExitStack() as stack:
            for meter in self.parts:
                stack.enter_context(meter)
            # A part may have waited for its log while those before it counted.
            self._first_j = [meter.read().energy_j for meter in self.parts]
            self._stack = stack.pop_all()
        self._latest_j, self._shown_j = [0.0] * len(self.parts), (0.0,) * len(self.parts)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all parts."""
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.close()

    def _require_open(self) -> None:
        if self._stack is None:
            raise MeterError(f"meter '{self.info.name}' is not open; read it inside `with meter:`")


def _first(values: Sequence[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _sum_of_all(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
