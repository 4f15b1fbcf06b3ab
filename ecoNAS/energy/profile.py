"""The protocol: from a network that runs and a counter that moves to joules per image, with how sure that is.

Warm up until the device is settled, run blocks of windows at evenly spread phases, measure again what was disturbed,
and stop when the interval is narrow enough. A number comes out only if nothing speaks against it: everything else is a
MeasurementError that keeps what was counted as a lower bound. The lane is the caller's affair.

The target is held against the statistical part of the interval: the floor of the method does not shrink with more
windows, and with it a target of 1 % could never be met.
"""

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Final

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.exclusivity import Verdict, Watch
from ecoNAS.energy.idle import measure_idle
from ecoNAS.energy.intervals import Estimate, estimate, trend, widen
from ecoNAS.energy.meter import EnergyMeter
from ecoNAS.energy.runner import Runner
from ecoNAS.energy.ticks import TickLog
from ecoNAS.energy.windows import Bench, peak_power_w, run_block, run_for
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeasurementError
from ecoNAS.measurement import DeviceState, Idle, Measurement, ProfileStatus, Window

IDLE_SHARE: Final = 0.8  # a device that works takes at least this share of its idle power
LIMIT_SHARE: Final = 1.1  # and at most this share of its enforced limit
THROTTLED_S: Final = 1e-3
UNSTABLE_ERRORS: Final = 3.0  # blocks further apart than so many of their half-widths contradict each other
WARM_UP_STEP_S: Final = 0.5
DEFAULTS: Final = EnergySettings()


def profile_energy(
    runner: Runner,
    meter: EnergyMeter,
    settings: EnergySettings = DEFAULTS,
    *,
    target: float,
    period_s: float,
    seed: int = 0,
    idle: Idle | None = None,
    measures_idle_after: bool = False,
    watch: Watch | None = None,
    clock: Clock = REAL_CLOCK,
) -> Measurement:
    """Measure joules per image.

    Args:
        runner: What runs, ready to run.
        meter: Open, with the device in its lane.
        settings: The protocol.
        target: Blocks are added until half of the 95 % interval, without the floor of the method, is at most this share
            of the value.
        period_s: Update period of the counter.
        seed: Decides the phases.
        idle: Of the device before, for the net energy; None leaves that empty.
        measures_idle_after: Whether idle is measured again at the end and has to agree.
        watch: Looks whether others are on the device; None: nobody looks, and the record says so.
        clock: The clock of the meter.

    Raises:
        MeasurementError: if the counter cannot be trusted, the device was throttled or not ours alone again and again,
            or its power cannot be; with the joules counted so far as a lower bound.
    """
    started_s = clock.now_s()
    log = TickLog(meter, period_s, settings, clock)
    profile = _Profile(runner, meter, settings, log, clock, period_s, target, watch, started_s, random.Random(seed))
    try:
        with log.polling():
            profile.warm_up()
            profile.run_blocks()
        idle_after = measure_idle(meter, settings, period_s, clock) if measures_idle_after else None
        return profile.result(idle, idle_after)
    except MeasurementError as error:
        raise MeasurementError(error.args[0], max(error.lower_bound_j, log.counted_j)) from None


@dataclass(slots=True)
class _Profile:
    """One profile under way."""

    runner: Runner
    meter: EnergyMeter
    settings: EnergySettings
    log: TickLog
    clock: Clock
    period_s: float
    target: float
    watch: Watch | None
    started_s: float
    rng: random.Random
    windows: list[Window] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    capped_s: float = 0.0
    num_blocks: int = 0
    is_settled: bool = True
    before: DeviceState = field(default_factory=DeviceState)
    after: DeviceState = field(default_factory=DeviceState)
    bench: Bench | None = None

    def warm_up(self) -> None:
        """Run until the minimal seconds and batches are over and the temperature stands still."""
        settings, clock = self.settings, self.clock
        self.runner.synchronise()
        first_s = clock.now_s()
        self.runner.run()
        self.runner.synchronise()
        iteration_s = max(clock.now_s() - first_s, 1e-9)
        temperatures: deque[tuple[float, float | None]] = deque()
        num_iterations, settle_until_s = 1, None
        while True:
            count, elapsed_s = run_for(self._bench(iteration_s), WARM_UP_STEP_S)
            iteration_s, num_iterations = elapsed_s / count, num_iterations + count
            now_s = clock.now_s()
            temperatures.append((now_s, self.meter.state().temperature_c))
            while temperatures[0][0] < now_s - settings.settle_s - WARM_UP_STEP_S:
                temperatures.popleft()
            if now_s - first_s < settings.warm_up_s or num_iterations < settings.warm_up_iterations:
                continue
            settle_until_s = settle_until_s or now_s + settings.settle_max_s
            self.is_settled = _is_settled(temperatures, settings)
            if self.is_settled or now_s >= settle_until_s:
                break
        self.bench = self._bench(iteration_s)

    def run_blocks(self) -> None:
        """Add blocks until the target is met or time or blocks run out."""
        self.before = self.meter.state()
        while True:
            self._run_block()
            self.after = self.meter.state()
            level = self._estimate()
            if level.half_width <= self.target * level.value:
                return
            elapsed_s = self.clock.now_s() - self.started_s
            if self.num_blocks >= self.settings.max_blocks or elapsed_s >= self.settings.max_s:
                return

    def result(self, idle: Idle | None, idle_after: Idle | None) -> Measurement:
        """Return what came out; raises MeasurementError if the power cannot be true."""
        settings, counted, level = self.settings, self._counting(), self._estimate()
        after = self.after
        mean_power_w = fmean(window.power_w for window in counted)
        idles = [found.power_w for found in (idle, idle_after) if found is not None]
        self._check_power(mean_power_w, idles, after)
        ranking = widen(level.half_width, level.value, settings.method_floor)
        # A meter that shows (1 ± gain) times the truth: the truth is what it shows over (1 ± gain).
        below = widen(level.half_width, level.value, settings.method_floor, 1 - 1 / (1 + settings.gain))
        above = widen(level.half_width, level.value, settings.method_floor, 1 / (1 - settings.gain) - 1)
        if self.capped_s > 0:
            self.reasons.append(f"power was capped for {self.capped_s:.2f} s")
        doubts = [verdict.reason for verdict in self.verdicts if verdict.state != "exclusive"]
        if self.watch is None:
            doubts = ["nobody looked who else was on the device"]
        self.reasons += dict.fromkeys(doubts)
        ticks = self.log.ticks
        return Measurement(
            meter=self.meter.info,
            period_s=self.period_s,
            batch=self.runner.batch,
            value_j=level.value,
            repeatability=level.half_width / level.value,
            ranking_j=(max(level.value - ranking, 0.0), level.value + ranking),
            absolute_j=(max(level.value - below, 0.0), level.value + above),
            net_j=self._net_j(level.value, idles),
            idle_w=tuple(idles),
            windows=tuple(self.windows),
            num_blocks=self.num_blocks,
            mean_power_w=mean_power_w,
            peak_power_w=max(peak_power_w(ticks, self.period_s), after.power_w or 0.0, mean_power_w),
            before=self.before,
            after=after,
            exclusivity="unverifiable" if doubts else "exclusive",
            duration_s=self.clock.now_s() - self.started_s,
            status=self._status(level),
            reasons=tuple(self.reasons),
        )

    def _bench(self, iteration_s: float) -> Bench:
        is_cpu = not self.meter.info.scope.startswith("gpu")
        return Bench(self.runner, self.log, self.settings, self.clock, iteration_s, self.period_s, is_cpu)

    def _run_block(self) -> None:
        """Run one block; measure it again, a few times at most, where it was disturbed."""
        assert self.bench is not None
        for _ in range(self.settings.max_attempts):
            if self.watch is not None:
                self.watch.begin()
            before = self.meter.state()
            windows = run_block(self.bench, self.num_blocks, self.rng)
            why_not = self._why_not(before, self.meter.state())
            if not why_not:
                self.windows += windows
                self.num_blocks += 1
                return
        raise MeasurementError(f"measured {self.settings.max_attempts} times in vain: {why_not}")

    def _why_not(self, before: DeviceState, after: DeviceState) -> str:
        """Return why a block does not count; empty if it does."""
        if _advance(before.throttled_s, after.throttled_s) > THROTTLED_S:
            throttled_s = _advance(before.throttled_s, after.throttled_s)
            return (
                f"the device slowed down for {throttled_s:.2f} s (heat or hardware); cool it, or lower its power limit"
            )
        if self.watch is not None:
            verdict = self.watch.verdict()
            if verdict.state == "violated":
                return f"{verdict.reason}; stop what else runs there"
            self.verdicts.append(verdict)
        self.capped_s += _advance(before.capped_s, after.capped_s)
        return ""

    def _counting(self) -> list[Window]:
        return [window for window in self.windows if not window.replaced]

    def _estimate(self, block: int | None = None) -> Estimate:
        """Return the level of the windows that count, of all blocks or of one; repetitions share their phase."""
        assert self.bench is not None
        energies: dict[tuple[int, float], list[float]] = {}
        for window in self._counting():
            if block in (None, window.block):
                energies.setdefault((window.block, window.phase), []).append(window.energy_j)
        phases = [phase for _, phase in energies] if self.bench.has_phases else None
        num_first = sum(block == min(energies)[0] for block, _ in energies)
        return estimate([fmean(values) for values in energies.values()], phases, num_first)

    def _status(self, level: Estimate) -> ProfileStatus:
        """Return the gravest thing that is wrong with the value, and note all of them.

        Unstable is a value whose blocks are further from it than three times their own intervals allow, or that moved
        steadily, by more than twice the floor of the method, while it was measured.
        """
        found: list[ProfileStatus] = []
        blocks = [self._estimate(block) for block in range(self.num_blocks)]
        floor = self.settings.method_floor * level.value
        if any(abs(block.value - level.value) > UNSTABLE_ERRORS * max(block.half_width, floor) for block in blocks):
            self.reasons.append("blocks contradict each other: the load or the device changed on the way")
            found.append("unstable")
        change_j, is_no_chance = trend([window.energy_j for window in self._counting()])
        if is_no_chance and abs(change_j) > 2 * floor:
            self.reasons.append(f"the energy per image moved steadily by {change_j / level.value:+.1%} on the way")
            found.append("unstable")
        if not self.is_settled:
            self.reasons.append(f"the temperature still moved after {self.settings.settle_max_s:.0f} s")
            found.append("thermal_unsettled")
        if level.half_width > self.target * level.value:
            num_blocks = "1 block" if self.num_blocks == 1 else f"{self.num_blocks} blocks"
            self.reasons.append(
                f"half of the 95 % interval is {level.half_width / level.value:.1%} after {num_blocks}, "
                f"above the target of {self.target:.1%}"
            )
            found.append("ci_unmet")
        return found[0] if found else "ok"

    def _check_power(self, power_w: float, idles: Sequence[float], state: DeviceState) -> None:
        if power_w <= 0:
            raise MeasurementError(f"a working device cannot take {power_w:.3g} W; the counter is broken")
        if idles and power_w < IDLE_SHARE * min(idles):
            raise MeasurementError(
                f"the device took {power_w:.3g} W at work and {min(idles):.3g} W idle, which cannot be; measure again"
            )
        limit_w = state.power_limit_w
        if limit_w is not None and power_w > LIMIT_SHARE * limit_w:
            raise MeasurementError(
                f"the counter says {power_w:.3g} W, above the enforced limit of {limit_w:.3g} W; it cannot be trusted"
            )

    def _net_j(self, value_j: float, idles: Sequence[float]) -> float | None:
        """Return joules per image above idle; None where idle is not known or did not stay the same."""
        if not idles:
            return None
        if max(idles) - min(idles) > self.settings.idle_tolerance * max(idles):
            self.reasons.append(f"idle power moved from {idles[0]:.3g} W to {idles[-1]:.3g} W; no net energy")
            return None
        image_s = fmean(window.image_s for window in self._counting())
        return max(value_j - fmean(idles) * image_s, 0.0)


def _is_settled(temperatures: Sequence[tuple[float, float | None]], settings: EnergySettings) -> bool:
    """Whether the temperature stood still long enough; a device that does not tell it counts as settled."""
    known = [value for _, value in temperatures if value is not None]
    if len(known) < len(temperatures):
        return True
    covers = temperatures[-1][0] - temperatures[0][0] >= settings.settle_s - WARM_UP_STEP_S
    return covers and max(known) - min(known) < settings.settle_c


def _advance(before: float | None, after: float | None) -> float:
    return after - before if before is not None and after is not None else 0.0
