"""An external meter that writes the log of a known power while a virtual clock is slept on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from power_trace import PowerTrace

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.meters.csv_log import CsvMeter

EPOCH_S = 1_700_000_000.0  # what the wall clock shows when the virtual clock shows 0


class LoggedClock(VirtualClock):
    """A virtual clock beside which a meter writes a row at every multiple of its period.

    Args:
        path: The log; made with its first line.
        trace: The power that the meter sees.
        column: `power_w` (the mean over the period before the row) or `energy_j`.
        period_s: Between two rows.
        late_s: A row is written so long after its own time.
        ahead_s: The meter's clock is ahead by so much.
    """

    def __init__(
        self,
        path: Path,
        trace: PowerTrace,
        column: str = "power_w",
        *,
        period_s: float = 0.1,
        late_s: float = 0.0,
        ahead_s: float = 0.0,
    ) -> None:
        super().__init__(start_s=50.0)
        self.path, self.trace, self.column, self.period_s = path, trace, column, period_s
        self.late_s, self.ahead_s = late_s, ahead_s
        self.wall_set_s = 0.0
        self._next_row = round(50.0 / period_s)
        self._is_silent = False
        path.write_text(f"time_s,{column}\n")

    def sleep(self, duration_s: float) -> None:
        end_s = self.now_s() + duration_s
        while self._next_row * self.period_s + self.late_s <= end_s:
            row_s = self._next_row * self.period_s
            super().sleep(max(row_s + self.late_s - self.now_s(), 0.0))
            if not self._is_silent:
                self._write(row_s)
            self._next_row += 1
        super().sleep(max(end_s - self.now_s(), 0.0))

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Let the meter write nothing for a while."""
        self._is_silent = True
        try:
            yield
        finally:
            self._is_silent = False

    def wall_s(self) -> float:
        return EPOCH_S + self.wall_set_s + self.now_s()

    def append(self, text: str) -> None:
        with self.path.open("a") as file:
            file.write(text)

    def meter(self, offset_s: float = 0.0) -> CsvMeter:
        return CsvMeter(self.path, offset_s, self, self.wall_s)

    def _write(self, row_s: float) -> None:
        if self.column == "power_w":
            value = self.trace.mean_power_w(row_s - self.period_s, row_s)
        else:
            value = 1000.0 + self.trace.energy_j(0.0, row_s)
        self.append(f"{EPOCH_S + row_s + self.ahead_s:.6f},{value:.6f}\n")
