"""The log of an external meter: rows as they come, rows that cannot be right, and a clock that is not ours."""

from pathlib import Path

import pytest
from fake_meter_log import EPOCH_S, LoggedClock
from power_trace import PowerTrace

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.meters.csv_log import CsvMeter, align, find_offset
from ecoNAS.errors import MeasurementError, MeterError

NOON_S = 1_764_590_400  # 2025-12-01 12:00:00 UTC; the wall clock shows it when the virtual clock shows 0


class Feed(VirtualClock):
    """A clock beside which a log grows by one given piece at every sleep."""

    def __init__(self, path: Path, begin: str, *pieces: str) -> None:
        super().__init__()
        self.path, self.pieces = path, list(pieces)
        path.write_text(begin)

    def sleep(self, duration_s: float) -> None:
        if self.pieces:
            self.append(self.pieces.pop(0))
        super().sleep(duration_s)

    def append(self, text: str) -> None:
        with self.path.open("a") as file:
            file.write(text)

    def meter(self) -> CsvMeter:
        return CsvMeter(self.path, 0.0, self, lambda: NOON_S + self.now_s())


def _power_feed(path: Path) -> Feed:
    """Return a log of 100 W whose second row, on line 3, comes when it is opened."""
    return Feed(path, f"time_s,power_w\n{NOON_S - 1},100\n", f"{NOON_S},100\n")


@pytest.mark.parametrize("column", ["power_w", "energy_j"])
def test_log_of_power_or_energy_gives_the_same_joules(tmp_path: Path, column: str) -> None:
    clock = LoggedClock(tmp_path / "log.csv", PowerTrace(40.0), column)

    with clock.meter() as meter:
        first = meter.read()
        clock.sleep(10.0)
        last = meter.read()

    assert first.energy_j == 0
    assert last.energy_j == pytest.approx(400.0)
    assert last.time_s - first.time_s == pytest.approx(10.0)
    assert meter.info.method == {"power_w": "integrated_power", "energy_j": "energy_counter"}[column]
    assert (meter.info.kind, meter.info.domains) == ("measured", (column,))


def test_columns_are_found_by_name_whatever_program_wrote_them(tmp_path: Path) -> None:
    feed = Feed(tmp_path / "log.csv", "\ufeffvolts, power_w ,time_s\r\n", f"230,10,{NOON_S}\r\n\r\n")

    with feed.meter() as meter:
        feed.append(f"231,30,{NOON_S + 1}\r\n")
        assert meter.read().energy_j == 20  # one second between 10 W and 30 W


@pytest.mark.parametrize("stamp", ["2025-12-01T12:00:02Z", "2025-12-01 13:00:02+01:00", "2025-12-01T12:00:02"])
def test_times_may_be_dates(tmp_path: Path, stamp: str) -> None:
    feed = Feed(tmp_path / "log.csv", "time,energy_j\n", "2025-12-01T12:00:00Z,7\n")

    with feed.meter() as meter:
        feed.append(f"{stamp},12\n")
        reading = meter.read()

    assert (reading.energy_j, reading.time_s) == (5, 2)


def test_rows_that_come_late_carry_their_own_time(tmp_path: Path) -> None:
    trace = PowerTrace(10.0)
    trace.put(60.0, 5.0, 90.0)
    clock = LoggedClock(tmp_path / "log.csv", trace, "energy_j", period_s=0.5, late_s=1.3)

    with clock.meter() as meter:
        first = meter.read()
        clock.sleep(62.0 - clock.now_s())
        middle = meter.read()
        clock.sleep(5.0)
        last = meter.read()

    assert middle.time_s == pytest.approx(60.5)  # 62.0 - 1.3 lies between the rows of 60.5 and 61.0
    assert last.time_s == pytest.approx(65.5)
    assert middle.energy_j == pytest.approx(10 * (60.5 - first.time_s) + 80 * 0.5)
    assert last.energy_j == pytest.approx(10 * (65.5 - first.time_s) + 80 * 5.0)


def test_a_known_offset_moves_the_rows_onto_our_clock(tmp_path: Path) -> None:
    clock = LoggedClock(tmp_path / "log.csv", PowerTrace(10.0), period_s=0.5, ahead_s=2.25)

    with clock.meter(offset_s=2.25) as meter:
        clock.sleep(53.1 - clock.now_s())
        assert meter.read().time_s == pytest.approx(53.0)


def test_a_row_counts_once_it_is_finished(tmp_path: Path) -> None:
    feed = Feed(tmp_path / "log.csv", "time_s,energy_j\n", f"{NOON_S},1000\n")

    with feed.meter() as meter:
        shown = []
        for piece in (f"{NOON_S + 1},10", f"50\n{NOON_S + 2},", "1080\n"):
            feed.append(piece)
            shown.append(meter.read().energy_j)

    assert shown == [0, 50, 80]


@pytest.mark.parametrize(
    ("begin", "pieces", "energy_j"),
    [
        ("", [f"{NOON_S},30\n"], 0),
        (f"{NOON_S - 2},10\n", [f"{NOON_S},30\n"], 0),  # what was there before does not count
        (f"{NOON_S - 2},1", ["0", f"\n{NOON_S},30\n"], 20),  # a row that was being written does
    ],
)
def test_joules_count_from_the_first_row_that_is_finished_after_opening(
    tmp_path: Path, begin: str, pieces: list[str], energy_j: float
) -> None:
    feed = Feed(tmp_path / "log.csv", f"time_s,energy_j\n{begin}", *pieces)

    with feed.meter() as meter:
        assert meter.read().energy_j == energy_j


def test_a_first_line_that_is_not_finished_is_no_row(tmp_path: Path) -> None:
    feed = Feed(tmp_path / "log.csv", "time_s,energy_j", "\n", f"{NOON_S},30\n")

    with feed.meter() as meter:
        assert meter.read().energy_j == 0


def test_a_long_log_is_opened_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    feed = Feed(path, "time_s,energy_j\n" + f"{NOON_S - 1},{'9' * 80}\n" * 30_000, f"{NOON_S},30\n")  # 2.8 MB

    with feed.meter() as meter:
        feed.append("x\n")
        with pytest.raises(MeasurementError, match=r"log\.csv:30003: 'x'"):  # 1 + 30,000 + 1 lines are before it
            meter.read()


@pytest.mark.parametrize(
    "row",
    [
        "broken",
        f"{NOON_S + 1}",
        f"{NOON_S + 1},",
        f"{NOON_S + 1},1O0",
        f"{NOON_S + 1},nan",
        f"{NOON_S + 1},inf",
        "nan,100",
        f"{NOON_S + 1},-5",
        "2025-12-01T12:00:01Z,100",
    ],
)
def test_a_row_that_cannot_be_right_is_refused_with_its_line_for_good(tmp_path: Path, row: str) -> None:
    feed = _power_feed(tmp_path / "log.csv")

    with feed.meter() as meter:
        feed.append(f"{NOON_S + 1},100\n{row}\n{NOON_S + 2},100\n")
        for _ in range(2):
            with pytest.raises(MeasurementError, match=rf"log\.csv:5: '{row}' is not a row of the log; .*") as caught:
                meter.read()
            assert caught.value.lower_bound_j == 100
            feed.append(f"{NOON_S + 3},100\n")


@pytest.mark.parametrize(
    ("column", "row", "said"),
    [
        ("power_w", f"{NOON_S - 1},100", "time runs backward"),
        ("energy_j", f"{NOON_S - 1},101", "time runs backward"),
        ("energy_j", f"{NOON_S + 1},99", "energy runs backward"),
    ],
)
def test_a_log_that_runs_backward_is_refused_with_its_line(tmp_path: Path, column: str, row: str, said: str) -> None:
    feed = Feed(tmp_path / "log.csv", f"time_s,{column}\n", f"{NOON_S},100\n")

    with feed.meter() as meter:
        feed.append(f"{row}\n")
        with pytest.raises(MeasurementError, match=rf"log\.csv:3: {said} at '{row}'; measure again"):
            meter.read()


def test_a_gap_in_a_log_of_power_is_refused_and_never_filled(tmp_path: Path) -> None:
    clock = LoggedClock(tmp_path / "log.csv", PowerTrace(40.0))

    with clock.meter() as meter:
        clock.sleep(0.5)
        counted_j = meter.read().energy_j
        with clock.silence():
            clock.sleep(3.0)
        clock.sleep(0.2)
        with pytest.raises(MeasurementError, match=r"log\.csv:\d+: the log has a gap of 3\.1 s") as caught:
            meter.read()
        clock.sleep(1.0)
        with pytest.raises(MeasurementError, match="gap"):
            meter.read()

    assert caught.value.lower_bound_j == pytest.approx(counted_j)


@pytest.mark.parametrize(
    ("column", "period_s", "silent_s"),
    [("energy_j", 0.1, 3.0), ("power_w", 0.1, 0.7), ("power_w", 1.0, 3.5)],
)
def test_joules_that_went_on_counting_and_short_gaps_are_taken(
    tmp_path: Path, column: str, period_s: float, silent_s: float
) -> None:
    clock = LoggedClock(tmp_path / "log.csv", PowerTrace(40.0), column, period_s=period_s)

    with clock.meter() as meter:
        start_s = meter.read().time_s
        clock.sleep(3 * period_s)
        with clock.silence():
            clock.sleep(silent_s)
        clock.sleep(2 * period_s)
        reading = meter.read()

    assert reading.energy_j == pytest.approx(40 * (reading.time_s - start_s))


@pytest.mark.parametrize("set_s", [-30.0, 30.0])
def test_a_wall_clock_that_was_set_meanwhile_is_refused(tmp_path: Path, set_s: float) -> None:
    clock = LoggedClock(tmp_path / "log.csv", PowerTrace(40.0))

    with clock.meter() as meter:
        clock.sleep(1.0)
        clock.wall_set_s = set_s
        clock.sleep(1.0)
        with pytest.raises(MeasurementError, match=r"slept, or its clock was set, by 30 s"):
            meter.read()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"no column time_s or time in its first line \(empty\)"),
        ("seconds,power_w\n", r"no column time_s or time in its first line \(seconds, power_w\)"),
        ("time_s,watts\n", r"no column power_w or energy_j in its first line \(time_s, watts\)"),
        ("\x89PNG\n", "no column time_s"),
    ],
)
def test_a_file_that_is_no_log_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text, encoding="latin-1")

    with pytest.raises(MeterError, match=said):
        CsvMeter(path)


def test_a_missing_log_is_refused_before_and_when_it_is_opened(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match="cannot be read: No such file"):
        CsvMeter(tmp_path / "log.csv")
    meter = LoggedClock(tmp_path / "log.csv", PowerTrace(1.0)).meter()
    (tmp_path / "log.csv").unlink()
    with pytest.raises(MeterError, match="cannot be read: No such file"):
        meter.__enter__()


def test_a_log_that_does_not_grow_is_waited_for_ten_seconds(tmp_path: Path) -> None:
    clock = LoggedClock(tmp_path / "log.csv", PowerTrace(40.0))
    meter = clock.meter()

    with clock.silence(), pytest.raises(MeterError, match="did not grow for 10 s; start the meter's logging"):
        meter.__enter__()

    assert clock.now_s() == pytest.approx(60.0, abs=0.1)
    with pytest.raises(MeterError, match="not open"):
        meter.read()


@pytest.mark.parametrize("column", ["power_w", "energy_j"])
@pytest.mark.parametrize(("ahead_s", "late_s"), [(0.0, 0.0), (1.73, 0.0), (-2.4, 0.0), (0.52, 0.8)])
def test_alignment_finds_how_far_the_meters_clock_is_ahead(
    tmp_path: Path, column: str, ahead_s: float, late_s: float
) -> None:
    trace = PowerTrace(50.0)
    clock = LoggedClock(tmp_path / "log.csv", trace, column, late_s=late_s, ahead_s=ahead_s)

    def load(duration_s: float) -> None:
        trace.put(clock.now_s(), duration_s, 150.0)
        clock.sleep(duration_s)

    # Within an interval of the log; a row of power stands, half an interval earlier, for the mean since the last one.
    within_s = {"power_w": 0.15, "energy_j": 0.1}[column]
    assert align(clock.meter(), load, clock) == pytest.approx(ahead_s, abs=within_s)


def test_a_log_of_another_machine_is_not_aligned(tmp_path: Path) -> None:
    clock = LoggedClock(tmp_path / "log.csv", PowerTrace(50.0))

    with pytest.raises(MeasurementError, match=r"does not show the pulses.*give energy\.clock_offset_s in seconds"):
        align(clock.meter(), clock.sleep, clock)


def test_a_log_with_too_few_rows_is_not_aligned() -> None:
    with pytest.raises(MeasurementError, match="3 rows, too few to see 2 pulses"):
        find_offset([0.0, 1.0, 2.0], [1.0, 2.0, 1.0], [(0.0, 0.5), (1.0, 1.5)])


def test_offset_is_where_log_and_pulses_agree() -> None:
    times_s = [EPOCH_S + place / 10 for place in range(60)]
    powers_w = [90.0 if 15 <= place < 20 or 31 <= place < 39 else 20.0 for place in range(60)]  # 1.5-2.0 and 3.1-3.9 s
    pulses = [(EPOCH_S + 0.55, EPOCH_S + 1.05), (EPOCH_S + 2.15, EPOCH_S + 2.95)]

    # The first row of a pulse is up to 0.1 s behind its edge, so the middle is 0.05 s less than 1.5 - 0.55.
    assert find_offset(times_s, powers_w, pulses) == pytest.approx(0.90, abs=0.05)
