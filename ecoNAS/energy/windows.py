"""Windows: stretches of continuous running whose power is read between two ticks of the counter.

A sensor that looks for 25 of every 100 ms sees a load with a rhythm of its own always at the same place, so the windows
of a block begin at offsets after a tick that are spread evenly over the update period, in shuffled order. (arXiv
2312.02741 shows sensors that look away; that random offsets would be worse than stratified ones follows from theirs.)
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from ecoNAS.energy.clock import Clock
from ecoNAS.energy.meter import Reading
from ecoNAS.energy.runner import Runner
from ecoNAS.energy.ticks import TickLog
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeasurementError
from ecoNAS.measurement import Window

MIN_TICKS: Final = 3
# How much of a window may be given up so that what is left holds whole batches.
TRIMMED_SHARE: Final = 0.2
PEAK_SPAN_S: Final = 0.05
MADS_TO_SD: Final = 1.4826  # of a normal distribution
GROSS: Final = 3.0  # times the distance from which on a window is measured again


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that a window needs: what runs, who looks, and what is known of both.

    Attributes:
        iteration_s: Seconds of one batch, as the warm-up saw them.
        period_s: Update period of the counter.
        is_cpu: Whether the meter is that of a CPU or a board, whose windows are longer.
    """

    runner: Runner
    log: TickLog
    settings: EnergySettings
    clock: Clock
    iteration_s: float
    period_s: float
    is_cpu: bool

    @property
    def length_s(self) -> float:
        """Seconds that a window lasts at least."""
        settings = self.settings
        plain_s = settings.cpu_window_s if self.is_cpu else settings.window_s
        return max(plain_s, settings.window_periods * self.period_s, settings.window_iterations * self.iteration_s)

    @property
    def has_phases(self) -> bool:
        """Whether the counter is slow enough to be started against."""
        return self.period_s > 2 * self.settings.poll_s

    def draw_phases(self, rng: random.Random) -> list[float]:
        """Return the offsets of one block as shares of the period: evenly spaced from a random first one, shuffled.

        Even spacing also spreads over rhythms that are a part of the period, where one random offset in each stratum
        would sample them at random. A counter that moves as often as it is polled has no phase: half as many windows
        will do, so that a profile stays short although the windows of a CPU are long.
        """
        count = max(2, self.settings.phases if self.has_phases else self.settings.phases // 2)  # one has no interval
        first = rng.random()
        phases = [(stratum + first) / count for stratum in range(count)]
        rng.shuffle(phases)
        return phases


def run_for(bench: Bench, duration_s: float, at_least: int = 1) -> tuple[int, float]:
    """Run batch after batch; return how many, and the seconds from the synchronised start to the synchronised end."""
    runner, clock = bench.runner, bench.clock
    # Counted in batches, since a device that works on its own accepts them faster than it runs them.
    every = max(1, int(bench.settings.synchronise_s / bench.iteration_s)) if bench.iteration_s > 0 else 1
    runner.synchronise()
    start_s, count = clock.now_s(), 0
    while True:
        runner.run()
        count += 1
        if count % every == 0:
            runner.synchronise()
        if clock.now_s() - start_s >= duration_s and count >= at_least:
            runner.synchronise()
            bench.log.check()
            return count, clock.now_s() - start_s


def run_block(bench: Bench, block: int, rng: random.Random) -> list[Window]:
    """Run the windows of one block, and those far from their median once more at the same phase.

    Both count, since dropping what is merely unlikely would make the interval too narrow; only a first that is grossly
    off and is not confirmed, as after an interruption, gives way to its repetition. Where the sensor sees only a part
    of each period windows differ by their phase: the repetition comes out the same, and nothing is lost.
    """
    windows = [run_window(bench, block, phase) for phase in bench.draw_phases(rng)]
    middle = median(window.energy_j for window in windows)
    spread = MADS_TO_SD * median(abs(window.energy_j - middle) for window in windows)
    # Windows that agree to the last digit would make everything an outlier.
    unit = bench.settings.outlier_mads * max(spread, bench.settings.method_floor * middle)
    found = []
    for window in windows:
        off = abs(window.energy_j - middle) / unit
        if off <= 1:
            found.append(window)
            continue
        again = run_window(bench, block, window.phase)
        is_confirmed = abs(window.energy_j - again.energy_j) <= unit
        found += [replace(window, replaced=off > GROSS and not is_confirmed), again]
    return found


def run_window(bench: Bench, block: int, phase: float) -> Window:
    """Run one window; raises MeasurementError where the counter moved too seldom in it."""
    bench.log.wait_for_tick()
    if bench.has_phases:
        bench.clock.sleep(phase * bench.period_s)
    start_s = bench.clock.now_s()
    count, elapsed_s = run_for(bench, bench.length_s, bench.settings.window_iterations)
    stop_s = start_s + elapsed_s
    bench.log.wait_until(stop_s - bench.period_s)
    ticks = bench.log.between(start_s + bench.settings.lead_periods * bench.period_s, stop_s)
    if len(ticks) < MIN_TICKS:
        raise MeasurementError(
            f"the counter moved {len(ticks)} times in a window of {elapsed_s:.2f} s, at least {MIN_TICKS} are needed; "
            "set energy.protocol.window_s higher",
            bench.log.counted_j,
        )
    first, last = _whole_batches(ticks, bench)
    duration_s = last.time_s - first.time_s
    return Window(
        block=block,
        phase=phase,
        power_w=(last.energy_j - first.energy_j) / duration_s,
        image_s=elapsed_s / (count * bench.runner.batch),
        num_ticks=sum(first.time_s <= tick.time_s <= last.time_s for tick in ticks),
        num_iterations=count,
        duration_s=duration_s,
    )


def peak_power_w(ticks: Sequence[Reading], period_s: float) -> float:
    """Return the highest power between ticks a period, and at least 50 ms, apart; 0 for too few ticks.

    Ticks are placed to within a poll, so that it may be too high by a poll's share of that span: 5 % at 5 and 100 ms.
    """
    peak_w, first = 0.0, ticks[0] if ticks else None
    for tick in ticks:
        assert first is not None
        if tick.time_s - first.time_s >= max(0.9 * period_s, PEAK_SPAN_S):
            peak_w = max(peak_w, (tick.energy_j - first.energy_j) / (tick.time_s - first.time_s))
            first = tick
    return peak_w


def _whole_batches(ticks: Sequence[Reading], bench: Bench) -> tuple[Reading, Reading]:
    """Return the first and last tick, or a pair near them with a more nearly whole number of batches between them.

    A part of a batch at an end would count with its own power and not with the mean; this matters where few batches
    fit.
    """
    whole_s = ticks[-1].time_s - ticks[0].time_s
    if bench.iteration_s < 2 * bench.settings.poll_s:
        return ticks[0], ticks[-1]
    spare_s = TRIMMED_SHARE / 2 * whole_s
    firsts = [tick for tick in ticks if tick.time_s - ticks[0].time_s <= spare_s]
    lasts = [tick for tick in ticks if ticks[-1].time_s - tick.time_s <= spare_s]

    def partial(pair: tuple[Reading, Reading]) -> tuple[float, float]:
        span_s = pair[1].time_s - pair[0].time_s
        batches = span_s / bench.iteration_s
        # Within the resolution of a tick the longest span is the best.
        off_s = abs(batches - round(batches)) * bench.iteration_s
        return (max(off_s, bench.settings.poll_s) / span_s, -span_s)

    return min(((first, last) for first in firsts for last in lasts if last.time_s > first.time_s), key=partial)
