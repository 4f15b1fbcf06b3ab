"""The table of measured networks: ranks with their doubt, figures whole at 80 columns, and nothing passed off as ok."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from measured_records import record
from small_run import measured_elsewhere

from ecoNAS.architecture import Deployment
from ecoNAS.joules import MeasuredJoules
from ecoNAS.measurement import Latency
from ecoNAS.measuring.table import print_records, ranks
from ecoNAS.records import EnergyProfile


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def printed(capsys: pytest.CaptureFixture[str], records: Sequence[EnergyProfile]) -> list[str]:
    print_records(records)
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 80
    return lines


def between(low_j: float, high_j: float) -> EnergyProfile:
    middle = (low_j + high_j) / 2
    found = MeasuredJoules(value_j=middle, low_j=low_j, high_j=high_j, method="rapl", scope="package", device="x")
    return record(0, None, 1.0, energy=found)


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([(1, 2), (3, 4), (5, 6)], [(1, 1), (2, 2), (3, 3)]),
        ([(1, 3), (2, 4), (5, 6)], [(1, 2), (1, 2), (3, 3)]),
        # A chain: the middle one may be anything, the outer ones are sure of each other.
        ([(1, 3), (2, 5), (4, 6)], [(1, 2), (1, 3), (2, 3)]),
        ([(1, 9), (2, 3), (4, 5)], [(1, 3), (1, 2), (2, 3)]),
        ([(1, 2), (2, 3)], [(1, 2), (1, 2)]),
        ([(5, 6), None, (1, 2)], [(2, 2), (3, 3), (1, 1)]),
    ],
)
def test_a_rank_is_a_range_where_intervals_overlap(
    intervals: list[tuple[float, float] | None], expected: list[tuple[int, int]]
) -> None:
    records = [between(*bounds) if bounds else record(0, None, 1.0, energy=None) for bounds in intervals]
    assert list(ranks(records)) == expected


def test_the_fewest_joules_come_first_and_what_is_common_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, [measured_elsewhere(0, 30.0), measured_elsewhere(1, 10.0), measured_elsewhere(2, 20.0)])
    text = "\n".join(lines)
    rows = [line.split() for line in lines if "trial" in line]
    assert rows == [
        [str(place), "trial", str(number), joules, "mJ", "±2.0%", *["4.00", "ms", "5.00", "ms", "7.50", "W", "9", "W"]]
        for place, number, joules in ((1, 1, "10.0"), (2, 2, "20.0"), (3, 0, "30.0"))
    ]
    assert "Measured by rapl (package) on A board." in text
    for fact in ("runtime eager", "dtype fp32", "batch 4", "threads 1", "images 1 x 8 x 8"):
        assert " ".join(lines).count(fact) == 1, fact
    assert "memory" not in text  # nobody measured it


def test_what_differs_has_a_column(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, [measured_elsewhere(0, 3.0), measured_elsewhere(1, 3.0, deployment=Deployment(batch=16))])
    heading = next(line for line in lines if line.startswith("#"))
    assert heading.split()[:3] == ["#", "network", "batch"]
    assert "batch 4" not in "\n".join(lines)


def every_way() -> list[EnergyProfile]:
    """Return long names in ways that differ in everything, with long figures."""
    choices = itertools.product(("eager", "onnxruntime"), ("fp32", "bf16"), (1, 256), (1, 16))
    made = []
    for number, (runtime, dtype, batch, threads) in enumerate(choices):
        fields: dict[str, Any] = {"runtime": runtime, "dtype": dtype, "batch": batch, "threads": threads}
        how = Deployment(**fields, layout="channels_last" if number % 2 else "contiguous")
        found = measured_elsewhere(0, 111.0 + 100 * number, deployment=how, peak_memory_bytes=123_456_789)
        assert found.workload is not None
        workload = found.workload.model_copy(update={"model": "mobilenetv3_small_050.lamb_in1k"})
        latency = Latency(median_s=0.123, p95_s=0.456, standard_error_s=0.001, num_iterations=9, batch=batch)
        made.append(found.model_copy(update={"workload": workload, "latency": latency}))
    return made


def test_no_figure_is_torn_at_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, every_way())
    rows = [line for line in lines if " mJ ±2.0%" in line or " J ±2.0%" in line]
    assert len(rows) == 16
    for row in rows:
        assert all(figure in row for figure in ("123 ms", "456 ms", "7.50 W", "9 W", "123 MB")), row
    assert sum("onnxruntime" in line for line in lines) == 8
    assert sum("channels_last" in line for line in lines) == 8


def test_a_wide_interval_shows_its_upper_half(capsys: pytest.CaptureFixture[str]) -> None:
    """From 0 to 30 mJ around 10 mJ: the lower half ends at nothing, the upper one is 200 %."""
    wide = MeasuredJoules(value_j=0.01, low_j=0.0, high_j=0.03, method="rapl", scope="package", device="cpu:board")
    assert "±200.0%" in "\n".join(printed(capsys, [measured_elsewhere(0, 10.0, energy=wide)]))


def test_what_is_not_ok_is_marked_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    doubtful = measured_elsewhere(
        0, 10.0, status="ci_unmet", reasons=("half of it is 9 %",), deployment=Deployment(batch=9)
    )
    invalid = measured_elsewhere(1, 10.0).model_copy(update={"energy": None, "status": "invalid", "reasons": ()})
    lines = printed(capsys, [doubtful, invalid, measured_elsewhere(2, 20.0, reasons=("power was capped",))])
    assert "* trial 0, batch 9: ci_unmet; half of it is 9 %" in lines
    assert "* trial 1, batch 4: invalid" in lines
    assert "trial 2, batch 4: power was capped" in lines
    assert [line.split()[:4] for line in lines if "trial" in line][:3] == [
        ["1", "trial", "0", "*"],
        ["2", "trial", "2", "4"],
        ["3", "trial", "1", "*"],
    ]


def test_what_is_true_of_all_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    own = measured_elsewhere(1, 20.0, reasons=("nobody looked", "power was capped"))
    lines = printed(capsys, [measured_elsewhere(0, 10.0, reasons=("nobody looked",)), own])
    assert [line for line in lines if "nobody looked" in line] == ["Of all: nobody looked."]
    assert "trial 1: power was capped" in lines


def test_estimates_are_called_so_in_the_heading_and_have_no_empty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    made = [record(number, None, 0.001 * (number + 1), kind="estimated", device="class:cpu") for number in range(2)]
    lines = printed(capsys, made)
    assert lines[0].startswith("Estimated for class:cpu; nothing was measured.")
    assert any("(estimated)" in line for line in lines)
    assert "Measured" not in "\n".join(lines)
    assert "latency" not in "\n".join(lines)
