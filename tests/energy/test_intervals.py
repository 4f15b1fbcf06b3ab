"""Quantiles against tables, levels against hand arithmetic, coverage against chance."""

import math
import random

import pytest

from ecoNAS.energy.intervals import estimate, t_quantile, trend, widen


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    # Two-sided 95 %: any table of Student's t.
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (7, 2.365), (11, 2.201), (30, 2.042), (1000, 1.962)],
)
def test_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert t_quantile(freedom) == pytest.approx(quantile, abs=0.001)


def test_without_phases_it_is_the_mean_with_students_interval() -> None:
    found = estimate([1.0, 2.0, 3.0], None)
    assert found.value == pytest.approx(2.0)
    assert found.half_width == pytest.approx(4.3027 * 1.0 / math.sqrt(3), rel=1e-4)


def test_a_wave_over_the_phase_is_no_error() -> None:
    phases = [(place + 0.3) / 8 for place in range(8)]
    found = estimate([5 + 2 * math.cos(2 * math.pi * phase + 1) for phase in phases], phases)
    assert found.value == pytest.approx(5.0)
    assert found.half_width == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("num_blocks", [1, 2, 3])
def test_intervals_of_pure_noise_cover_95_percent(num_blocks: int) -> None:
    rng, covered, runs = random.Random(3), 0, 4000
    for _ in range(runs):
        phases = [(place + first) / 8 for first in (rng.random() for _ in range(num_blocks)) for place in range(8)]
        found = estimate([10 + rng.gauss(0, 0.5) for _ in phases], phases)
        covered += abs(found.value - 10) <= found.half_width
    assert covered / runs == pytest.approx(0.95, abs=0.012)  # three and a half standard errors


def test_independent_errors_add_in_quadrature() -> None:
    assert widen(0.3, 10.0, 0.04) == pytest.approx(0.5)


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 636.619), (2, 31.599), (6, 5.959), (10, 4.587), (30, 3.646)])
def test_quantiles_far_out_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert t_quantile(freedom, 0.999) == pytest.approx(quantile, rel=1e-3)


def test_more_blocks_narrow_an_interval_no_further_than_the_spread_of_the_first_allows() -> None:
    """Six windows of mean 5; the first two are off by 3 each, the others not at all."""
    values = [2.0, 8.0, 5.0, 5.0, 5.0, 5.0]
    plain, kept = estimate(values, None), estimate(values, None, num_first=2)
    assert plain.value == kept.value == pytest.approx(5.0)
    assert plain.half_width == pytest.approx(2.5706 * math.sqrt(18 / 5 / 6), rel=1e-4)
    # Two windows keep 2 * 5/6 degrees of freedom: t lies between those of 1 and 2, and the variance is 18 * 6/10.
    error = math.sqrt(18 * 0.6 / 6)
    assert 4.303 * error < kept.half_width < 12.706 * error
    assert estimate(values[::-1], None, num_first=2).half_width == pytest.approx(plain.half_width)


def test_an_effect_of_phases_that_one_block_cannot_tell_from_noise_is_no_error_in_two() -> None:
    """Two waves a period: the one harmonic of a block does not fit them, the two harmonics of sixteen windows do."""
    phases = [(place + first) / 8 for first in (0.2, 0.7) for place in range(8)]
    values = [5 + math.cos(4 * math.pi * phase) for phase in phases]
    assert estimate(values[:8], phases[:8]).half_width > 0.5
    assert estimate(values, phases, num_first=8).half_width == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("per_block", "has_phases"), [(8, True), (4, False)])
def test_intervals_that_decide_when_to_stop_cover_95_percent(per_block: int, has_phases: bool) -> None:
    """Noise of 4 %, a target of 2 %, at most six blocks."""
    kept, plain = [
        coverage_with_stopping(per_block, has_phases, keeps_first=keeps_first) for keeps_first in (True, False)
    ]
    assert 0.94 <= kept <= 0.98
    assert plain < kept - 0.01  # this guards the test: plain intervals stop where chance made them narrow


def coverage_with_stopping(per_block: int, has_phases: bool, keeps_first: bool, runs: int = 3000) -> float:
    rng, covered = random.Random(5), 0
    for _ in range(runs):
        values, phases, num_blocks = list[float](), list[float](), 0
        while num_blocks < 6:
            offset, num_blocks = rng.random(), num_blocks + 1
            phases += [(place + offset) / per_block for place in range(per_block)]
            values += [100 + rng.gauss(0, 4) for _ in range(per_block)]
            found = estimate(values, phases if has_phases else None, per_block if keeps_first else None)
            if found.half_width <= 2.0:
                break
        covered += abs(found.value - 100) <= found.half_width
    return covered / runs


def test_a_straight_line_is_a_trend() -> None:
    assert trend([1.0, 2.0, 3.0, 4.0]) == (pytest.approx(3.0), True)


def test_noise_and_too_few_values_are_no_trend() -> None:
    assert trend([1.0, 9.0]) == (0.0, False)
    assert trend([5.0, 5.0, 5.0, 5.0]) == (0.0, False)
    rng = random.Random(1)
    alarms = sum(trend([rng.gauss(10, 1) for _ in range(8)])[1] for _ in range(5000))
    assert alarms <= 15  # five are expected at 99.9 %


def test_a_trend_has_the_slope_of_least_squares() -> None:
    # Times -1.5, -0.5, 0.5, 1.5; slope (-1.5 * 0 - 0.5 * 3 + 0.5 * 1 + 1.5 * 4) / 5 = 1, over three steps.
    change, _ = trend([0.0, 3.0, 1.0, 4.0])
    assert change == pytest.approx(3.0)
