"""Latency is the median of enough calls, within bounds of time and count; all on a virtual clock."""

import itertools
from collections.abc import Callable, Iterable

import pytest

from ecoNAS.energy.clock import RealClock, VirtualClock
from ecoNAS.energy.latency import measure_latency, standard_error_of_median


def takes(clock: VirtualClock, durations_s: Iterable[float]) -> Callable[[], None]:
    """Return something that runs for the given seconds, call after call."""
    upcoming = iter(durations_s)
    return lambda: clock.sleep(next(upcoming))


def test_latency_of_a_steady_runner_is_its_duration() -> None:
    clock = VirtualClock(start_s=1000)

    latency = measure_latency(takes(clock, itertools.repeat(1 / 64)), batch=32, clock=clock)

    assert (latency.median_s, latency.p95_s, latency.standard_error_s) == (1 / 64, 1 / 64, 0)
    assert (latency.batch, latency.num_iterations) == (32, 20)


def test_slow_first_calls_do_not_count() -> None:
    clock = VirtualClock()

    latency = measure_latency(takes(clock, itertools.chain([0.03] * 3, itertools.repeat(0.01))), 1, clock)

    assert latency.p95_s == pytest.approx(0.01)


def test_fast_runners_are_called_until_a_fifth_of_a_second_has_passed() -> None:
    clock = VirtualClock()

    latency = measure_latency(takes(clock, itertools.repeat(0.001)), 1, clock)

    assert latency.num_iterations == pytest.approx(200, abs=1)


def test_a_runner_of_many_seconds_is_measured_once() -> None:
    clock = VirtualClock()

    latency = measure_latency(takes(clock, itertools.repeat(60.0)), 1, clock)

    assert (latency.num_iterations, latency.median_s) == (1, 60)
    assert clock.now_s() == 120  # one call to warm up, one that counts


def test_a_runner_too_fast_for_the_clock_ends_too() -> None:
    assert measure_latency(lambda: None, 1, VirtualClock()).num_iterations == 10_000


def test_median_ignores_hiccups_that_the_95th_percentile_shows() -> None:
    clock = VirtualClock()
    durations = [0.05] * 3 + ([0.02] * 9 + [0.2]) * 2

    latency = measure_latency(takes(clock, durations), 1, clock)

    assert latency.median_s == pytest.approx(0.02)
    assert latency.p95_s == pytest.approx(0.2)


def test_standard_error_of_the_median_agrees_with_the_reference_implementation() -> None:
    # As `msmedse` of the R package WRS2 computes it: n = 20, k = round(10.5 - 2.5758 * sqrt(5)) = round(4.74) = 5, so
    # (x16 - x5) / 5.1517 = 11 / 5.1517.
    assert standard_error_of_median([float(value) for value in range(1, 21)]) == pytest.approx(2.1352, abs=1e-4)


def test_standard_error_covers_the_spread_of_medians() -> None:
    # For normal values it approaches sqrt(pi / 2) / sqrt(n) = 0.1253 at n = 100: ordinary order statistics.
    from statistics import NormalDist

    quantiles = [NormalDist().inv_cdf((place + 0.5) / 100) for place in range(100)]
    assert standard_error_of_median(quantiles) == pytest.approx(0.1253, rel=0.1)


def test_real_clock_runs_forward() -> None:
    clock = RealClock()
    before_s = clock.now_s()

    clock.sleep(0.001)

    assert clock.now_s() - before_s >= 0.001


def test_no_clock_runs_backward() -> None:
    with pytest.raises(ValueError, match="negative"):
        VirtualClock().sleep(-1)
