"""A profile says what it measured, stops when it may, and calls by name whatever is wrong with its value."""

import math
import time
from dataclasses import replace
from statistics import fmean

import pytest
from energy_lab import CpuMeter, Lab, Noise
from power_trace import PowerTrace, SimulatedLoad

from ecoNAS.energy.clock import RealClock, VirtualClock
from ecoNAS.energy.exclusivity import Verdict
from ecoNAS.energy.meter import SimulatedMeter
from ecoNAS.energy.profile import profile_energy
from ecoNAS.energy.runner import CallableRunner
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.measurement import Idle

SETTINGS = EnergySettings()
FLAT = [(0.005, 200.0)]  # a batch of eight: 0.125 J per image


def test_the_record_holds_everything_that_stands_behind_the_value() -> None:
    lab = Lab()
    found = lab.profile(lab.load(FLAT))
    assert (found.status, found.reasons) == ("ok", ("nobody looked who else was on the device",))
    assert (found.num_blocks, len(found.windows), found.batch, found.period_s) == (1, 8, 8, 0.1)
    assert found.value_j == pytest.approx(0.125, rel=0.005)
    assert found.mean_power_w == pytest.approx(200.0, rel=0.005)
    # A tick is placed to within a poll of 5 ms: 20 J in 95 instead of 100 ms are 210.5 W.
    assert 199.9 <= found.peak_power_w <= 210.6
    assert found.windows[0].image_s == pytest.approx(0.005 / 8)
    assert found.before.temperature_c == found.after.temperature_c == 50
    assert (found.net_j, found.idle_w) == (None, ())
    assert found.meter.scope == "gpu"


def test_the_two_intervals_hold_the_floor_of_the_method_and_the_gain_of_the_card() -> None:
    """A flat load repeats itself, so that what is left is 1 %, and a gain of 0.95 to 1.05 with it."""
    lab = Lab()
    found = lab.profile(lab.load(FLAT))
    statistical = found.repeatability
    assert statistical < 0.003
    low, high = (bound / found.value_j - 1 for bound in found.ranking_j)
    assert (-low, high) == pytest.approx((math.hypot(statistical, 0.01),) * 2)
    low, high = (bound / found.value_j - 1 for bound in found.absolute_j)
    # 1 / 1.05 is 4.76 % below 1, and 1 / 0.95 is 5.26 % above it.
    assert -low == pytest.approx(math.sqrt(statistical**2 + 0.01**2 + 0.047619**2), rel=1e-4)
    assert high == pytest.approx(math.sqrt(statistical**2 + 0.01**2 + 0.052632**2), rel=1e-4)


def test_the_same_seed_gives_the_same_profile() -> None:
    def once(seed: int) -> tuple[float, ...]:
        lab = Lab()
        found = lab.profile(lab.load(FLAT, Noise(window=0.03)), seed=seed)
        return tuple(window.phase for window in found.windows)

    assert once(1) == once(1)
    assert once(1) != once(2)


def test_a_narrower_target_takes_more_blocks_and_keeps_its_promise() -> None:
    lab = Lab()
    wide = lab.profile(lab.load(FLAT, Noise(window=0.04)), target=0.10)
    lab = Lab()
    narrow = lab.profile(lab.load(FLAT, Noise(window=0.04)), target=0.025)
    assert wide.num_blocks == 1 < narrow.num_blocks
    assert narrow.status == "ok"
    assert narrow.repeatability <= 0.025
    assert len(narrow.windows) >= 8 * narrow.num_blocks


def test_a_profile_ends_after_its_seconds_though_the_target_is_not_met() -> None:
    lab = Lab()
    found = lab.profile(lab.load(FLAT, Noise(window=0.1)), target=0.01, settings=replace(SETTINGS, max_s=30.0))
    assert found.status == "ci_unmet"
    assert found.num_blocks < SETTINGS.max_blocks
    assert found.duration_s < 30 + 8 * 2.5  # the block that was under way
    assert "above the target of 1.0%" in found.reasons[-1]


def test_slow_batches_warm_up_by_number() -> None:
    lab = Lab()
    settings = replace(SETTINGS, phases=2, window_iterations=2)
    found = lab.profile(lab.load([(0.4, 200.0)]), settings=settings)
    assert found.duration_s > 50 * 0.4 + 2 * 1.0


def test_a_flat_load_on_a_cpu_takes_four_windows_and_less_than_fifteen_seconds() -> None:
    clock, trace = VirtualClock(), PowerTrace(10.0)
    load = SimulatedLoad(trace, clock, [(0.012, 65.0)], 4)
    with CpuMeter(trace, clock) as meter:
        found = profile_energy(load, meter, target=0.10, period_s=meter.PERIOD_S, clock=clock)
    assert len(found.windows) == 4
    assert found.duration_s < 15
    assert found.value_j == pytest.approx(65.0 * 0.012 / 4, rel=0.005)
    assert found.status == "ok"


def test_net_energy_needs_idle_powers_that_agree() -> None:
    lab = Lab()
    with lab.meter:
        found = profile_energy(
            lab.load(FLAT),
            lab.meter,
            target=0.05,
            period_s=0.1,
            idle=Idle(62.0, 0.0),
            measures_idle_after=True,
            clock=lab.clock,
        )
    assert found.idle_w == (62.0, pytest.approx(60.0, rel=0.001))
    assert found.net_j == pytest.approx((200.0 - 61.0) * 0.005 / 8, rel=0.005)


def test_one_block_that_could_not_be_verified_makes_the_whole_unverifiable_and_says_why() -> None:
    class Watch:
        verdicts = [Verdict("exclusive"), Verdict("unverifiable", "the list of processes cannot be read")]

        def begin(self) -> None:
            return

        def verdict(self) -> Verdict:
            return self.verdicts.pop(0) if self.verdicts else Verdict("exclusive")

    lab = Lab()
    with lab.meter:
        found = profile_energy(
            lab.load(FLAT, Noise(window=0.05)),
            lab.meter,
            target=0.015,
            period_s=0.1,
            watch=Watch(),
            clock=lab.clock,
        )
    assert found.num_blocks >= 3
    assert found.exclusivity == "unverifiable"
    assert "the list of processes cannot be read" in found.reasons


def test_power_that_moves_steadily_is_called_unstable() -> None:
    lab = Lab()

    class Rising(SimulatedLoad):
        def run(self) -> None:  # 0.5 % per second
            power_w = 200.0 * (1 + 0.005 * (self.clock.now_s() - 5.0))
            self.trace.put(self.clock.now_s(), 0.005, power_w)
            self.clock.sleep(0.005)

    found = lab.profile(Rising(lab.trace, lab.clock, FLAT, 8))
    assert found.status == "unstable"
    assert any("moved steadily by +" in reason for reason in found.reasons)


def test_noise_is_not_called_unstable() -> None:
    for seed in range(60):
        lab = Lab()
        found = lab.profile(lab.load(FLAT, Noise(window=0.04), seed), target=0.03, seed=seed)
        assert found.status in ("ok", "ci_unmet")


def test_a_profile_in_real_time_reads_the_power_of_its_meter() -> None:
    """A thread polls 100 W while another sleeps; the seconds per image are what they are."""
    settings = EnergySettings(
        fast_poll_s=0.01,
        warm_up_s=0.05,
        warm_up_iterations=3,
        cpu_window_s=0.1,
        window_iterations=5,
        window_periods=1,
        phases=4,
    )
    clock = RealClock()
    with SimulatedMeter(100.0, clock) as meter:
        found = profile_energy(
            CallableRunner("sleep", 4, lambda: time.sleep(0.004)),
            meter,
            settings,
            target=10.0,
            period_s=0.001,
            clock=clock,
        )
    assert found.mean_power_w == pytest.approx(100.0, rel=1e-3)
    mean_image_s = fmean(window.image_s for window in found.windows if not window.replaced)
    assert found.value_j == pytest.approx(100.0 * mean_image_s, rel=0.05)
