"""Power becomes joules by the trapezoid rule, and a time in which nobody looked becomes none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoNAS.energy.meters.integral import PowerIntegral
from ecoNAS.errors import MeasurementError


def integral(power_w: float) -> PowerIntegral:
    return PowerIntegral("board/VDD", power_w, time_s=10.0, max_gap_s=1.0)


def test_joules_are_the_area_below_straight_lines_between_the_readings() -> None:
    sensor = integral(10.0)
    assert sensor.energy_j == 0
    assert sensor.advance(30.0, 10.5) == pytest.approx(10.0)  # 20 W on average for half a second
    assert sensor.advance(30.0, 11.0) == pytest.approx(25.0)
    assert sensor.advance(0.0, 11.0) == pytest.approx(25.0)  # a step takes no time
    assert sensor.advance(0.0, 12.0) == pytest.approx(25.0)


@given(
    start_w=st.floats(50.0, 500.0),
    slope_w=st.floats(-4.0, 4.0),
    gaps_s=st.lists(st.floats(0.0, 0.99), min_size=1, max_size=12),
)
def test_a_power_that_changes_evenly_is_exact_whenever_it_is_read(
    start_w: float, slope_w: float, gaps_s: list[float]
) -> None:
    sensor, passed_s = integral(start_w), 0.0
    for gap_s in gaps_s:
        passed_s += gap_s
        energy_j = sensor.advance(start_w + slope_w * passed_s, 10.0 + passed_s)
    assert energy_j == pytest.approx(start_w * passed_s + slope_w * passed_s**2 / 2, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("first_w", "next_w", "time_s", "message"),
    [
        (20.0, 20.0, 11.25, r"power sensor board/VDD was not read for 1.25 s, and nobody knows .*; measure again"),
        (20.0, -3.0, 10.5, r"power sensor board/VDD showed -3 W; measure again"),
        (-3.0, 20.0, 10.5, r"power sensor board/VDD showed -3 W; measure again"),
    ],
)
def test_a_gap_or_a_negative_power_is_refused_for_good(
    first_w: float, next_w: float, time_s: float, message: str
) -> None:
    sensor = integral(first_w)
    for when_s in (time_s, time_s + 0.1):
        with pytest.raises(MeasurementError, match=message):
            sensor.advance(next_w, when_s)


def test_what_was_counted_before_is_a_lower_bound() -> None:
    sensor = integral(40.0)
    sensor.advance(40.0, 10.5)
    with pytest.raises(MeasurementError) as caught:
        sensor.advance(40.0, 20.0)
    assert caught.value.lower_bound_j == pytest.approx(20.0)
