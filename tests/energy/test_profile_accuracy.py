"""The protocol against simulated truth: sensors that look away, rhythms that alias, gains, and a real card's trace."""

from itertools import pairwise
from statistics import fmean

import pytest
from energy_lab import (
    CpuMeter,
    Lab,
    Noise,
    NoisyLoad,
    has_real_trace,
    read_trace,
    real_batch,
    relative_error,
    rms,
    square,
    worst,
)
from fake_nvml import FakeGpu
from power_trace import PowerTrace

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.profile import profile_energy

needs_real_trace = pytest.mark.skipif(not has_real_trace(), reason="the trace of a real card is not beside the project")


@pytest.mark.parametrize("period_s", [0.02, 0.1, 0.104])
def test_a_flat_load_is_right_to_half_a_percent_at_any_phase_where_a_naive_difference_is_not(period_s: float) -> None:
    ours, naive = [], []
    for step in range(10):
        lab = Lab(period_s=period_s, window_s=min(period_s, 0.025), phase_s=step / 10 * period_s)
        load = lab.load([(0.007, 220.0)])
        naive.append(lab.naive(load)[0] / load.true_energy_j - 1)
        ours.append(relative_error(lab.profile(load), load))
    assert worst(ours) < 0.005
    assert worst(naive) > 0.005  # this guards the test: a method that reads at any moment must fail it


@pytest.mark.parametrize("target", [0.10, 0.02])
def test_rhythms_that_alias_stay_within_bounds_and_within_the_interval(target: float) -> None:
    errors, covered = [], []
    for rhythm_ms in (3, 4, 7, 10, 12.5, 20, 25, 33.3, 50, 67, 75, 90, 100, 104, 110, 130, 150, 200, 250, 300, 400):
        for duty in (0.3, 0.5, 0.7):
            lab = Lab(phase_s=0.013)
            load = lab.load(square(rhythm_ms / 1000, duty))
            found = lab.profile(load, target, seed=int(rhythm_ms))
            errors.append(relative_error(found, load))
            low_j, high_j = found.ranking_j
            covered.append(low_j <= load.true_energy_j <= high_j)
    assert worst(errors) <= 0.025
    assert rms(errors) <= 0.015
    assert sum(covered) / len(covered) >= 0.90


def test_a_rhythm_within_one_batch_is_right_too() -> None:
    errors = []
    for pulses in (2, 3, 5):
        lab = Lab(phase_s=0.04)
        load = lab.load([piece for _ in range(pulses) for piece in square(0.1 / pulses, 0.4)])
        errors.append(relative_error(lab.profile(load, 0.02), load))
    assert worst(errors) <= 0.025


def test_a_single_window_of_an_aliasing_load_is_far_off() -> None:
    """Guards the test above: without phases these very loads are wrong."""
    errors = []
    for step in range(8):
        lab = Lab(phase_s=step / 8 * 0.1)
        load = lab.load(square(0.1, 0.5))
        errors.append(lab.naive(load)[0] / load.true_energy_j - 1)
    assert rms(errors) > 0.1


def test_the_gain_of_a_card_is_carried_and_leaves_the_ranking_alone() -> None:
    found = {}
    for gain in (1.0, 0.95):
        lab = Lab(gain=gain)
        loads = [lab.load([(0.004, power_w)]) for power_w in (180.0, 200.0, 190.0)]
        found[gain] = [lab.profile(load) for load in loads]
    for true, low in zip(found[1.0], found[0.95], strict=True):
        assert low.value_j / true.value_j == pytest.approx(0.95, rel=1e-4)
        assert low.absolute_j[0] <= true.value_j <= low.absolute_j[1]
    orders = [sorted(range(3), key=lambda place: found[gain][place].value_j) for gain in found]
    assert orders[0] == orders[1] == [0, 2, 1]


def test_jitter_lag_and_slow_calls_do_no_harm() -> None:
    for card in ({"jitter": 0.05}, {"lag_s": 0.1}, {"call_s": 0.002}, {"is_sampled": False}):
        lab = Lab(**card)
        load = lab.load(square(0.005, 0.5))
        assert abs(relative_error(lab.profile(load, 0.02), load)) < 0.02, card


@pytest.mark.slow
@pytest.mark.parametrize("target", [0.10, pytest.param(0.02, marks=pytest.mark.long)])
def test_95_percent_intervals_hold_the_truth_95_times_in_100(target: float) -> None:
    """Noise of 4 % between windows, 2 % between batches, batches that take 5 % more or less time, without the floor.

    At a target of 10 % one block is enough; at 2 % blocks are added until the interval is narrow. The bounds lie three
    standard errors of 1.3 points from 95 %, so that this is no matter of luck; `test_intervals` holds the estimate
    itself, over thousands of runs, to narrower ones.
    """
    covered, num_blocks, runs = 0, 0, 300
    for seed in range(runs):
        lab = Lab(phase_s=(seed % 10) / 100)
        load = lab.load([(0.02, 200.0)], Noise(window=0.04, batch=0.02, time=0.05), seed)
        found = lab.profile(load, target, seed)
        covered += abs(found.value_j - load.true_energy_j) <= found.repeatability * found.value_j
        num_blocks += found.num_blocks
    assert 0.91 <= covered / runs <= 0.99
    assert (num_blocks > 2 * runs) == (target == 0.02)


@pytest.mark.slow
def test_intervals_on_a_cpu_hold_the_truth_too() -> None:
    covered, runs = 0, 120
    for seed in range(runs):
        clock, trace = VirtualClock(), PowerTrace(10.0)
        load = NoisyLoad(trace, clock, [(0.03, 60.0)], 8, noise=Noise(window=0.03), seed=seed)
        with CpuMeter(trace, clock) as meter:
            found = profile_energy(load, meter, target=0.10, period_s=meter.PERIOD_S, seed=seed, clock=clock)
        covered += found.ranking_j[0] <= load.true_energy_j <= found.ranking_j[1]
    assert covered / runs >= 0.89  # 95 % less three standard errors of 2 points


def test_a_flat_load_takes_less_than_fifteen_seconds() -> None:
    lab = Lab()
    lab.gpu.temperature_c = 60
    assert lab.profile(lab.load([(0.01, 300.0)]), target=0.10).duration_s < 15


SENSOR_PERIOD_S = 0.1035  # the median time between two changes of the card's own series


def card_series() -> tuple[PowerTrace, list[tuple[float, float]]]:
    """Return the true power of the real card, and (time, watts) whenever what it reported changed."""
    truth, sensor = read_trace("a100_square_load_truth.csv.gz"), read_trace("a100_square_load_sensor.csv.gz")
    rows = list(zip(sensor["time_s"], sensor["power_instant_w"], strict=True))
    changes = [row for before, row in pairwise(rows) if row[1] != before[1] and 0.5 < row[0] < 9.5]
    return PowerTrace.from_samples(truth["time_s"], truth["power_w"]), changes


@needs_real_trace
def test_the_fake_card_reproduces_what_a_real_one_reported() -> None:
    trace, changes = card_series()
    found = []
    for lag_ms in range(0, 20, 2):
        gpu = FakeGpu(trace, period_s=0.001, window_s=0.03, lag_s=lag_ms / 1000)
        seen_w = [gpu.power_mw(time_s) / 1e3 for time_s, _ in changes]
        gain = sum(a * b for a, (_, b) in zip(seen_w, changes, strict=True)) / sum(a * a for a in seen_w)
        found.append((rms([gain * a - b for a, (_, b) in zip(seen_w, changes, strict=True)]), gain))
    best_w, gain = min(found)
    print(f"RMS difference {best_w:.1f} W over {len(changes)} updates of a load of 50 to 205 W, gain {gain:.3f}")
    assert best_w < 15
    assert gain == pytest.approx(0.945, abs=0.03)  # the card's own error, -5.5 % (arXiv 2312.02741)


@needs_real_trace
def test_the_protocol_is_right_on_the_real_load_where_single_windows_are_far_off() -> None:
    truth, sensor = read_trace("a100_square_load_truth.csv.gz"), read_trace("a100_square_load_sensor.csv.gz")
    trace = PowerTrace.from_samples(truth["time_s"], truth["power_w"])
    reported = list(zip(sensor["time_s"], sensor["power_instant_w"], strict=True))
    singles = []
    for length_s in (0.5, 1.0, 1.5):
        for step in range(50):
            start_s = 1.2 + step / 50 * (7.5 - length_s)
            seen_w = [power_w for time_s, power_w in reported if start_s <= time_s < start_s + length_s]
            singles.append(fmean(seen_w) / trace.mean_power_w(start_s, start_s + length_s) - 1)
    assert 0.2 < rms(singles) < 0.35

    pieces = real_batch()
    errors = []
    for seed in range(6):
        lab = Lab(period_s=SENSOR_PERIOD_S, phase_s=seed * 0.017)
        load = lab.load(pieces)
        errors.append(relative_error(lab.profile(load, 0.02, seed), load))
    print(f"single windows: {rms(singles):.1%} rms; the protocol: {rms(errors):.2%} rms, {worst(errors):.2%} at worst")
    assert worst(errors) <= 0.025
    assert rms(errors) <= 0.015
