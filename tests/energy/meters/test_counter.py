"""A register that wraps becomes joules that are exact and only grow; a register that was reset gives none."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ecoNAS.energy.meters.counter import WrappingCounter
from ecoNAS.errors import MeasurementError

INTEL_UJ = 262_143_328_850
AMD_UJ = 65_712_999_613
RANGES = st.sampled_from([INTEL_UJ, AMD_UJ])


def counter(raw_uj: int, range_uj: int = INTEL_UJ) -> WrappingCounter:
    return WrappingCounter("package-0 (intel-rapl:0)", raw_uj, range_uj, time_s=100.0)


@given(
    range_uj=RANGES,
    before_end_uj=st.integers(0, AMD_UJ),
    steps=st.lists(st.tuples(st.floats(0.0, 20.0), st.floats(0.0, 1.0)), max_size=30),
)
@example(range_uj=AMD_UJ, before_end_uj=0, steps=[(20.0, 1.0)] * 30)
@example(range_uj=INTEL_UJ, before_end_uj=1, steps=[(0.0, 0.0), (0.001, 0.001), (0.0, 0.0)])
def test_every_step_below_plausible_power_is_counted_exactly_wherever_the_register_wraps(
    range_uj: int, before_end_uj: int, steps: list[tuple[float, float]]
) -> None:
    raw_uj, time_s, spent_uj = range_uj - before_end_uj, 100.0, 0
    register = counter(raw_uj, range_uj)
    for duration_s, share in steps:
        gained_uj = int(share * duration_s * 1500e6)
        time_s, spent_uj = time_s + duration_s, spent_uj + gained_uj
        raw_uj += gained_uj
        if raw_uj > range_uj:
            raw_uj -= range_uj + 1
        energy_j = register.advance(raw_uj, time_s)
        assert energy_j >= 0
        assert round(energy_j * 1e6) == spent_uj


@pytest.mark.parametrize(
    ("before_uj", "after_uj", "gained_uj"),
    [
        (999_999_999, 0, 1),
        (999_999_999, 999_999_999, 0),
        (999_999_998, 999_999_999, 1),
        (999_999_000, 499, 1499),  # 999 to the end, 1 to zero, 499 beyond
        (0, 0, 0),
        (900_000_000, 0, 100_000_000),
    ],
)
def test_a_wrap_counts_the_step_from_the_last_value_to_zero(before_uj: int, after_uj: int, gained_uj: int) -> None:
    assert counter(before_uj, 999_999_999).advance(after_uj, 100.1) == pytest.approx(gained_uj * 1e-6, abs=1e-9)


def test_two_readings_around_a_wrap_give_what_one_over_it_gives() -> None:
    around, over = counter(INTEL_UJ - 2_000_000), counter(INTEL_UJ - 2_000_000)
    assert around.advance(INTEL_UJ, 100.01) == pytest.approx(2.0)
    assert around.advance(2_999_999, 100.02) == over.advance(2_999_999, 100.02) == pytest.approx(5.0)


def test_a_wrap_that_once_gave_minus_261895_joules_is_counted() -> None:
    # From 262,100 J to the end at 262,143.328850 J, one microjoule to zero, and 205 J: the difference is -261,895 J.
    assert counter(262_100_000_000).advance(205_000_000, 101.0) == pytest.approx(248.328851)


def test_a_reset_that_once_gave_212244_joules_gives_none() -> None:
    register = counter(49_899_000_000)
    register.advance(49_999_000_000, 101.0)
    # 262,143.3 - 49,999 + 100 J, were it a wrap; 100 J before the reset and 100 J after it were true.
    with pytest.raises(MeasurementError, match=r"fell as no wrap explains: it was reset; measure again") as caught:
        register.advance(100_000_000, 102.0)
    assert caught.value.lower_bound_j == pytest.approx(100.0)


@given(range_uj=RANGES, start=st.floats(0.0, 1.0), left=st.floats(0.0, 1.0), elapsed_s=st.floats(0.0, 0.5))
def test_a_reset_never_yields_a_number(range_uj: int, start: float, left: float, elapsed_s: float) -> None:
    # At most 900 J are plausible in 0.6 s; closer to its end than that, a reset cannot be told from a wrap.
    start_uj = 1 + int(start * (range_uj - 901_000_000))
    reset_uj = min(int(left * 750e6), start_uj - 1)
    register = counter(start_uj, range_uj)
    with pytest.raises(MeasurementError, match="it was reset") as first:
        register.advance(reset_uj, 100.0 + elapsed_s)
    with pytest.raises(MeasurementError) as second:
        register.advance(start_uj, 101.0)
    assert str(second.value) == str(first.value)
    assert register.energy_j == second.value.lower_bound_j == 0


@pytest.mark.parametrize(
    ("gained_j", "elapsed_s", "message"),
    [
        (150.1, 0.0, r"grew by 150.1 J in 0 s, more than 1500 W"),
        (1651.0, 1.0, r"grew by 1651 J in 1 s, more than 1500 W"),
        (10.0, -5.0, None),  # a clock that stepped back counts as no time
        (149.9, 0.0, None),  # a register shows the joules of its last update at once
        (1649.0, 1.0, None),
    ],
)
def test_a_growth_that_no_device_can_take_is_refused(gained_j: float, elapsed_s: float, message: str | None) -> None:
    register = counter(1_000_000)
    raw_uj = 1_000_000 + round(gained_j * 1e6)
    if message is None:
        assert register.advance(raw_uj, 100.0 + elapsed_s) == pytest.approx(gained_j)
        return
    with pytest.raises(MeasurementError, match=message):
        register.advance(raw_uj, 100.0 + elapsed_s)


@pytest.mark.parametrize(("range_uj", "longest_s"), [(INTEL_UJ, 174.6), (AMD_UJ, 43.7)])
def test_a_gap_in_which_it_may_have_wrapped_unseen_is_refused(range_uj: int, longest_s: float) -> None:
    # 262,143 J or 65,713 J at 1,500 W, less the 0.1 s of slack.
    assert counter(5_000_000, range_uj).advance(6_000_000, 100.0 + longest_s) == pytest.approx(1.0)
    with pytest.raises(MeasurementError, match=rf"was not read for {longest_s + 0.2:.0f} s, in which it may have"):
        counter(5_000_000, range_uj).advance(6_000_000, 100.0 + longest_s + 0.2)


@pytest.mark.parametrize("raw_uj", [-1, INTEL_UJ + 1])
def test_a_value_outside_of_the_range_is_refused_as_such(raw_uj: int) -> None:
    for start_uj in (0, INTEL_UJ):
        with pytest.raises(MeasurementError, match=rf"shows {raw_uj} uJ, outside of its range of 0 to {INTEL_UJ} uJ"):
            counter(start_uj).advance(raw_uj, 101.0)
