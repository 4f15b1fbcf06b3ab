"""An external meter's log: a CSV file that grows while a network runs.

Its first line names a time column, `time_s` (Unix seconds) or `time` (ISO 8601), and `power_w` or `energy_j`. A row is
known when the meter wrote it, so readings carry the time of the newest row and not of the call. What the power was
while the log skipped rows nobody knows, so a gap in it is refused; energy goes on counting. The meter's clock is not
ours: its offset is given, or found from pulses of load that both sides see.
"""

import csv
import io
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from types import TracebackType
from typing import Final, NoReturn, Self

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.meter import Reading
from ecoNAS.errors import MeasurementError, MeterError
from ecoNAS.measurement import DeviceState, MeterInfo

TIMES: Final = ("time_s", "time")
VALUES: Final = ("power_w", "energy_j")
FIRST_ROW_S: Final = 10.0  # a meter that writes seldom is waited for at most so long
MIN_CORRELATION: Final = 0.7
MIN_GAP_S: Final = 1.0  # shorter gaps are a logger's own business
MAX_GAP_INTERVALS: Final = 5  # a log of power that skips more of its intervals has a gap
MAX_SHIFT_S: Final = 0.1  # wall and monotonic clock may move against each other by so much
APART_S: Final = 0.01  # they are read one after the other; held up for longer between the two, nothing is concluded
SEARCHED_S: Final = 5.0  # the two clocks may be apart by so much when they are aligned


class CsvMeter:
    """The log of one external meter.

    Args:
        path: The file; somebody else appends to it.
        clock_offset_s: Seconds that the meter's clock is ahead of this machine's.
        clock: Whose seconds it shows.
        wall: Returns Unix seconds by this machine's clock.

    Raises:
        MeterError: if the file is missing or its columns are not those of a log.
    """

    def __init__(
        self,
        path: Path,
        clock_offset_s: float = 0.0,
        clock: Clock = REAL_CLOCK,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._path, self._offset_s, self._clock, self._wall = path, clock_offset_s, clock, wall
        try:
            with path.open(encoding="utf-8-sig", errors="replace") as file:
                header = next(csv.reader(file), [])
        except OSError as error:
            raise MeterError(f"{path}: the log of the external meter cannot be read: {error.strerror}") from None
        columns = [name.strip() for name in header]
        self._time_column = self._column(columns, TIMES)
        self._value_column = self._column(columns, VALUES)
        self._is_iso = columns[self._time_column] == "time"
        self._is_power = columns[self._value_column] == "power_w"
        self.info = MeterInfo(
            name="csv",
            kind="measured",
            method="integrated_power" if self._is_power else "energy_counter",
            scope="external meter",
            device=f"external:{path.resolve()}",
            domains=(columns[self._value_column],),
            device_name=path.name,
        )
        self._file: io.BufferedReader | None = None
        self._torn = b""
        self._last: tuple[float, float] | None = None  # (Unix seconds by the meter's clock, power or energy)
        self._energy_j = 0.0
        self._line = 0
        self._gaps_s: deque[float] = deque(maxlen=9)  # between the newest rows
        self._shift_s: float | None = None  # from the meter's clock to monotonic seconds
        self._time_s = -math.inf
        self._failure = ""

    def read(self) -> Reading:
        """Return the joules up to the newest row, at its time."""
        self._take_rows()
        if self._last is None:
            raise MeasurementError(f"{self._path} holds no row yet; is the meter logging?")
        return Reading(self._energy_j, self._time_s)

    def state(self) -> DeviceState:
        """Return nothing: a log says nothing else of the device."""
        if self._file is None:
            raise MeterError("meter 'csv' is not open; read it inside `with meter:`")
        return DeviceState()

    def __enter__(self) -> Self:
        """Go to the end of the log and wait for a row."""
        try:
            self._file = self._path.open("rb")
        except OSError as error:
            raise MeterError(f"{self._path}: the log cannot be read: {error.strerror}") from None
        self._line, self._torn = self._go_to_last_line()
        self._last, self._energy_j, self._failure = None, 0.0, ""
        self._gaps_s.clear()
        self._shift_s, self._time_s = None, -math.inf
        give_up_s = self._clock.now_s() + FIRST_ROW_S
        try:
            while True:
                self._take_rows()
                if self._last is not None:
                    break
                if self._clock.now_s() > give_up_s:
                    raise MeterError(f"{self._path} did not grow for {FIRST_ROW_S:.0f} s; start the meter's logging")
                self._clock.sleep(0.01)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the log."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _column(self, columns: Sequence[str], names: Sequence[str]) -> int:
        for name in names:
            if name in columns:
                return columns.index(name)
        raise MeterError(
            f"{self._path}: no column {' or '.join(names)} in its first line ({', '.join(columns) or 'empty'})"
        )

    def _go_to_last_line(self) -> tuple[int, bytes]:
        """Read to the end; return the number of finished lines and what is there of the one that is being written."""
        assert self._file is not None
        count, torn = 0, b""
        while chunk := self._file.read(1 << 20):
            count += chunk.count(b"\n")
            torn = (torn + chunk).rpartition(b"\n")[2]
        return count, torn

    def _take_rows(self) -> None:
        """Take in the rows that were appended since; one that is not finished is left for the next time."""
        if self._file is None:
            raise MeterError("meter 'csv' is not open; read it inside `with meter:`")
        if self._failure:
            raise MeasurementError(self._failure, self._energy_j)
        lines = (self._torn + self._file.read()).split(b"\n")
        self._torn = lines.pop()
        for line in lines:
            self._line += 1
            if self._line > 1 and line.strip():  # the first holds the names of the columns
                self._take(line.decode("utf-8", "replace").strip())
        if lines and self._last is not None:
            self._place(self._last[0])

    def _take(self, line: str) -> None:
        """Take in one row; one that cannot be right ends the measurement."""
        try:
            cells = next(csv.reader([line]))
            time_s = self._seconds(cells[self._time_column])
            value = float(cells[self._value_column])
        except (ValueError, IndexError, csv.Error):
            self._refuse(f"'{line}' is not a row of the log")
        if not math.isfinite(time_s) or not math.isfinite(value) or (self._is_power and value < 0):
            self._refuse(f"'{line}' is not a row of the log")
        if self._last is not None:
            gap_s, before = time_s - self._last[0], self._last[1]
            if gap_s < 0:
                self._refuse(f"time runs backward at '{line}'")
            if self._is_power:
                self._refuse_gap(gap_s)
            elif value < before:
                self._refuse(f"energy runs backward at '{line}'")
            self._energy_j += (before + value) / 2 * gap_s if self._is_power else value - before
        self._last = (time_s, value)

    def _refuse_gap(self, gap_s: float) -> None:
        longest_s = max(MIN_GAP_S, MAX_GAP_INTERVALS * median(self._gaps_s)) if self._gaps_s else FIRST_ROW_S
        if gap_s > longest_s:
            self._refuse(f"the log has a gap of {gap_s:.3g} s before this line; nobody knows the power meanwhile")
        self._gaps_s.append(gap_s)

    def _place(self, row_s: float) -> None:
        """Find the monotonic seconds of the newest row; a clock that was set meanwhile spoils what was measured."""
        before_s, wall_s = self._clock.now_s(), self._wall()
        shift_s = before_s - wall_s - self._offset_s
        if self._shift_s is None or self._clock.now_s() - before_s < APART_S:
            moved_s = 0.0 if self._shift_s is None else shift_s - self._shift_s
            if abs(moved_s) > MAX_SHIFT_S:
                self._refuse(f"this machine slept, or its clock was set, by {abs(moved_s):.3g} s")
            self._shift_s = shift_s
        self._time_s = max(self._time_s, row_s + self._shift_s)  # the clocks are read to within their resolution

    def _refuse(self, what: str) -> NoReturn:
        self._failure = f"{self._path}:{self._line}: {what}; measure again"
        raise MeasurementError(self._failure, self._energy_j)

    def _seconds(self, text: str) -> float:
        if not self._is_iso:
            return float(text)
        found = datetime.fromisoformat(text.strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def align(
    meter: CsvMeter,
    load: Callable[[float], None],
    clock: Clock = REAL_CLOCK,
    pulses_s: Sequence[float] = (0.6, 0.3, 0.9, 0.4, 0.7),
) -> float:
    """Return how far the meter's clock is ahead, from pulses of load that it should have seen.

    Args:
        meter: Not open, with offset 0.
        load: Keeps the device at work for so many seconds.
        clock: The clock of the meter.
        pulses_s: Seconds of each pulse; as long again nothing runs. They differ, so that only one offset fits.
    """
    edges, readings = list[tuple[float, float]](), list[Reading]()
    with meter, clock.every(0.02, lambda: readings.append(meter.read())):
        clock.sleep(SEARCHED_S / 2)
        for duration_s in pulses_s:
            start_s = clock.now_s()
            load(duration_s)
            edges.append((start_s, clock.now_s()))
            clock.sleep(duration_s)
        clock.sleep(SEARCHED_S)
    rows = [
        reading for place, reading in enumerate(readings) if place == 0 or reading.time_s > readings[place - 1].time_s
    ]
    times_s = [(one.time_s + two.time_s) / 2 for one, two in pairwise(rows)]
    powers_w = [(two.energy_j - one.energy_j) / (two.time_s - one.time_s) for one, two in pairwise(rows)]
    return find_offset(times_s, powers_w, edges)


def keep_busy(duration_s: float) -> None:
    """Keep one core at work: the load that a wall meter of this machine sees."""
    end_s = time.perf_counter() + duration_s
    while time.perf_counter() < end_s:
        sum(range(10_000))


def find_offset(times_s: Sequence[float], powers_w: Sequence[float], pulses: Sequence[tuple[float, float]]) -> float:
    """Return the offset at which logged power follows known pulses best: the peak of their correlation.

    Args:
        times_s: Of the log, ascending, by its own clock.
        powers_w: The log.
        pulses: (start, end) of each pulse by the other clock.

    Returns:
        Seconds that the log's clock is ahead of the other, to about the log's sampling interval.

    Raises:
        MeasurementError: if the log does not show the pulses.
    """
    if len(times_s) < 2 * len(pulses):
        raise MeasurementError(f"the log has {len(times_s)} rows, too few to see {len(pulses)} pulses")
    step_s = max((times_s[-1] - times_s[0]) / len(times_s) / 2, 0.005)
    offsets = [place * step_s for place in range(-int(SEARCHED_S / step_s), int(SEARCHED_S / step_s) + 1)]
    best_s = max(offsets, key=lambda offset_s: _correlation(times_s, powers_w, pulses, offset_s))
    found = _correlation(times_s, powers_w, pulses, best_s)
    if found < MIN_CORRELATION:
        raise MeasurementError(
            f"the log does not show the pulses of load (best correlation {found:.2f}, at least {MIN_CORRELATION} is "
            "needed); is it the meter of this machine? Else give energy.clock_offset_s in seconds"
        )
    # Neighbours that fit as well: the middle of them.
    equal = [offset_s for offset_s in offsets if _correlation(times_s, powers_w, pulses, offset_s) >= found - 1e-9]
    return fmean(equal)


def _correlation(
    times_s: Sequence[float], powers_w: Sequence[float], pulses: Sequence[tuple[float, float]], offset_s: float
) -> float:
    """Return Pearson's correlation of the log with a square wave of the pulses, moved by `offset_s`."""
    wave = [any(start <= time_s - offset_s < end for start, end in pulses) for time_s in times_s]
    mean_w, share = fmean(powers_w), fmean(wave)
    deviations = [(power - mean_w, on - share) for power, on in zip(powers_w, wave, strict=True)]
    norm = (sum(a * a for a, _ in deviations) * sum(b * b for _, b in deviations)) ** 0.5
    return sum(a * b for a, b in deviations) / norm if norm > 0 else 0.0
