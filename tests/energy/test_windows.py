"""Windows start where they should, last as long as they must, and read power between the right ticks."""

import random
from itertools import pairwise

import pytest
from energy_lab import Lab, square
from power_trace import SimulatedLoad

from ecoNAS.energy.meter import Reading
from ecoNAS.energy.ticks import TickLog
from ecoNAS.energy.windows import Bench, peak_power_w, run_block, run_for, run_window
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeasurementError
from ecoNAS.measurement import Window

SETTINGS = EnergySettings()


def bench_of(
    lab: Lab, load: SimulatedLoad, settings: EnergySettings = SETTINGS, period_s: float = 0.1, is_cpu: bool = False
) -> Bench:
    log = TickLog(lab.meter, period_s, settings, lab.clock)
    return Bench(load, log, settings, lab.clock, load.true_image_s * load.batch, period_s, is_cpu)


def one_window(lab: Lab, bench: Bench, phase: float = 0.0) -> Window:
    with lab.meter, bench.log.polling():
        return run_window(bench, 0, phase)


@pytest.mark.parametrize(
    ("batch_s", "period_s", "is_cpu", "length_s"),
    [
        (0.001, 0.1, False, 1.0),
        (0.001, 0.001, True, 2.0),
        (0.001, 0.2, False, 2.0),  # ten periods
        (0.3, 0.1, False, 6.0),  # twenty batches
    ],
)
def test_a_window_is_the_longest_of_seconds_periods_and_batches(
    batch_s: float, period_s: float, is_cpu: bool, length_s: float
) -> None:
    lab = Lab()
    bench = bench_of(lab, lab.load([(batch_s, 200.0)]), period_s=period_s, is_cpu=is_cpu)
    assert bench.length_s == pytest.approx(length_s)


def test_the_phases_of_a_block_are_evenly_spread_shuffled_and_decided_by_the_seed() -> None:
    lab = Lab()
    bench = bench_of(lab, lab.load([(0.001, 200.0)]))
    phases = bench.draw_phases(random.Random(3))
    ordered = sorted(phases)
    assert len(phases) == 8
    assert 0 <= ordered[0] < 1 / 8
    assert [two - one for one, two in pairwise(ordered)] == pytest.approx([1 / 8] * 7)
    assert phases != ordered
    assert phases == bench.draw_phases(random.Random(3))
    assert phases != bench.draw_phases(random.Random(4))


@pytest.mark.parametrize(("wanted", "period_s", "count"), [(8, 0.001, 4), (8, 0.01, 4), (1, 0.1, 2), (2, 0.001, 2)])
def test_counters_without_a_phase_need_half_the_windows_and_two_are_the_least(
    wanted: int, period_s: float, count: int
) -> None:
    lab = Lab()
    bench = bench_of(lab, lab.load([(0.001, 200.0)]), EnergySettings(phases=wanted), period_s)
    assert len(bench.draw_phases(random.Random(0))) == count


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.9])
def test_a_window_starts_at_its_phase_after_a_tick(phase: float) -> None:
    """Ticks come at multiples of 100 ms after 30 ms, and are seen within two polls."""
    lab, starts = Lab(phase_s=0.03), list[float]()

    class Noted(SimulatedLoad):
        def run(self) -> None:
            starts.append(self.clock.now_s())
            super().run()

    bench = bench_of(lab, Noted(lab.trace, lab.clock, [(0.01, 200.0)]))
    one_window(lab, bench, phase)
    late_s = (starts[0] - 0.03 - phase * 0.1) % 0.1
    assert late_s <= 2 * SETTINGS.poll_s + 1e-9


def test_what_happens_in_the_first_two_periods_does_not_count() -> None:
    """A burst of 150 ms at 600 W after each pause, as capacitors and clocks make."""
    lab = Lab(is_sampled=False)

    class Bursting(SimulatedLoad):
        def run(self) -> None:
            power_w = 600.0 if self.clock.now_s() < started_s + 0.15 else 200.0
            self.trace.put(self.clock.now_s(), 0.01, power_w)
            self.clock.sleep(0.01)

    started_s = lab.clock.now_s() + 0.1
    found = one_window(lab, bench_of(lab, Bursting(lab.trace, lab.clock, [(0.01, 200.0)])))
    assert found.power_w == pytest.approx(200.0, rel=0.005)
    assert found.image_s == pytest.approx(0.01)
    assert found.num_iterations in (100, 101)  # of 10 ms, until a second is over
    assert 6 <= found.num_ticks <= 8


def test_a_device_is_synchronised_at_both_ends_and_four_times_a_second() -> None:
    lab, moments = Lab(), list[float]()

    class Noted(SimulatedLoad):
        def synchronise(self) -> None:
            moments.append(self.clock.now_s())

    bench = bench_of(lab, Noted(lab.trace, lab.clock, [(0.007, 200.0)]))
    with lab.meter, bench.log.polling():
        count, elapsed_s = run_for(bench, 1.0)
    gaps = [two - one for one, two in pairwise(moments)]
    assert max(gaps) <= 0.25
    assert moments[-1] - moments[0] == pytest.approx(elapsed_s) == pytest.approx(count * 0.007)


def test_slow_batches_count_as_whole_ones() -> None:
    """Of each batch of 300 ms half is at 300 W, half at 100 W: a part of one at an end would shift the mean."""
    for phase in (0.1, 0.35, 0.6, 0.85):
        lab = Lab(is_sampled=False, phase_s=0.02)
        found = one_window(lab, bench_of(lab, lab.load(square(0.3, 0.5, 300.0, 100.0))), phase)
        assert found.power_w == pytest.approx(200.0, rel=0.01)
        assert found.duration_s / 0.3 == pytest.approx(round(found.duration_s / 0.3), abs=0.05)


def test_too_few_ticks_are_refused_with_the_remedy() -> None:
    lab = Lab(period_s=0.4)
    settings = EnergySettings(window_periods=3)
    bench = bench_of(lab, lab.load([(0.01, 200.0)]), settings, period_s=0.4)
    with pytest.raises(MeasurementError, match=r"moved 1 times .* set energy\.protocol\.window_s higher") as caught:
        one_window(lab, bench)
    assert caught.value.lower_bound_j > 100  # more than a second, most of it at 200 W


def test_windows_that_differ_by_their_phase_alone_all_count() -> None:
    """A load of 100 ms under a sensor of 25 in 100 ms looks like two loads, which is no reason to drop one."""
    lab = Lab()
    bench = bench_of(lab, lab.load(square(0.1, 0.3)))
    with lab.meter, bench.log.polling():
        windows = run_block(bench, 0, random.Random(1))
    assert max(window.power_w for window in windows) > 1.5 * min(window.power_w for window in windows)
    assert not any(window.replaced for window in windows)


def test_a_window_that_was_disturbed_gives_way_to_its_repetition() -> None:
    """Others take 300 W for the whole of the third window of eight."""
    lab = Lab()
    others_s = (lab.clock.now_s() + 2.4, lab.clock.now_s() + 3.4)

    class Disturbed(SimulatedLoad):
        def run(self) -> None:
            more_w = 300.0 if others_s[0] < self.clock.now_s() < others_s[1] else 0.0
            self.trace.put(self.clock.now_s(), 0.005, 200.0 + more_w)
            self.clock.sleep(0.005)

    bench = bench_of(lab, Disturbed(lab.trace, lab.clock, [(0.005, 200.0)]))
    with lab.meter, bench.log.polling():
        windows = run_block(bench, 0, random.Random(1))
    replaced = [window for window in windows if window.replaced]
    assert 1 <= len(replaced) <= 2
    for window in replaced:
        (again,) = [other for other in windows if other.phase == window.phase and not other.replaced]
        assert again.power_w == pytest.approx(200.0, rel=0.005)


def test_peak_power_is_read_between_ticks_a_period_apart() -> None:
    # 100 W for 0.1 s, 300 W for 0.1 s, 200 W for 0.1 s.
    ticks = [Reading(0.0, 0.0), Reading(10.0, 0.1), Reading(40.0, 0.2), Reading(60.0, 0.3)]
    assert peak_power_w(ticks, 0.1) == pytest.approx(300.0)
    # Two ticks of a millisecond each are noise: 50 ms count.
    assert peak_power_w([Reading(0.0, 0.0), Reading(5.0, 0.001), Reading(5.5, 0.055)], 0.001) == pytest.approx(100.0)
    assert peak_power_w([], 0.1) == 0.0
