"""Whatever goes wrong while joules are measured never yields a number; what was counted before stays a lower bound."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from fake_nvml import FakeGpu, FakeNvml
from power_trace import PowerTrace, SimulatedLoad

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.exclusivity import Verdict
from ecoNAS.energy.meters.nvml import NvmlMeter
from ecoNAS.energy.profile import profile_energy
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeasurementError
from ecoNAS.measurement import Idle, Measurement


class Bench:
    """A card at 60 W idle, and a load of 200 W in batches of 8 that take 5 ms."""

    def __init__(self) -> None:
        self.clock, self.trace = VirtualClock(5.0), PowerTrace(60.0)
        self.gpu = FakeGpu(self.trace)
        self.load = SimulatedLoad(self.trace, self.clock, [(0.005, 200.0)], 8)
        self.meter = NvmlMeter(nvml=FakeNvml(self.clock, self.gpu), clock=self.clock)

    def profile(self, settings: EnergySettings | None = None, target: float = 0.05, **more: object) -> Measurement:
        with self.meter:
            return profile_energy(
                self.load,
                self.meter,
                settings or EnergySettings(),
                target=target,
                period_s=0.1,
                clock=self.clock,
                **more,  # type: ignore[arg-type]
            )


class Script:
    """A watch that gives the verdicts of a list, then says that nobody else was there."""

    def __init__(self, *verdicts: Verdict) -> None:
        self.verdicts, self.num_begun = list(verdicts), 0

    def begin(self) -> None:
        self.num_begun += 1

    def verdict(self) -> Verdict:
        return self.verdicts.pop(0) if self.verdicts else Verdict("exclusive")


VIOLATED = Verdict("violated", "others took 9.0 % of the CPU time: stress (4711)")


def at(bench: Bench, time_s: float, action: Callable[[], None]) -> None:
    """Let something happen while the load runs."""
    run = bench.load.run
    pending = [action]

    def running() -> None:
        if pending and bench.clock.now_s() >= time_s:
            pending.pop()()
        run()

    bench.load.run = running  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"lost_s": 12.0}, "does not answer any more: GPU is lost"),
        ({"reset_s": 12.0}, "ran backward"),
        ({"stuck_s": 12.0}, "stood still for"),
    ],
)
def test_a_counter_that_dies_leaves_a_lower_bound_and_no_number(fault: dict[str, float], said: str) -> None:
    bench = Bench()
    bench.gpu = FakeGpu(bench.trace, **fault)  # type: ignore[arg-type]
    bench.meter = NvmlMeter(nvml=FakeNvml(bench.clock, bench.gpu), clock=bench.clock)

    with pytest.raises(MeasurementError, match=said) as caught:
        bench.profile()

    # Seven seconds of which most were at 200 W.
    assert 800 < caught.value.lower_bound_j <= 7.0 * 200
    assert "\n" not in str(caught.value)


def test_a_machine_that_slept_is_measured_again() -> None:
    bench = Bench()
    at(bench, 12.0, lambda: bench.clock.suspend(30.0))
    with pytest.raises(MeasurementError, match=r"suspended for 30\.0 s"):
        bench.profile()


def test_a_block_that_others_disturbed_is_measured_again_and_does_not_count() -> None:
    bench, watch = Bench(), Script(VIOLATED, VIOLATED)
    found = bench.profile(watch=watch)
    assert watch.num_begun == 3
    assert found.num_blocks == 1
    assert found.exclusivity == "exclusive"
    assert found.status == "ok"


def test_a_device_that_is_never_ours_alone_is_refused_by_name() -> None:
    with pytest.raises(MeasurementError, match=r"3 times in vain: others took 9\.0 % .*stress \(4711\)"):
        Bench().profile(watch=Script(*[VIOLATED] * 3))


def test_what_cannot_be_verified_is_recorded_as_such() -> None:
    reason = "the driver does not list the processes on the GPU"
    found = Bench().profile(watch=Script(Verdict("unverifiable", reason)))
    assert found.exclusivity == "unverifiable"
    assert found.reasons == (reason,)


def test_nobody_looking_is_recorded_as_such() -> None:
    assert Bench().profile().exclusivity == "unverifiable"


def test_a_block_in_which_the_card_slowed_down_is_measured_again() -> None:
    bench = Bench()

    def heat() -> None:
        bench.gpu.throttled_s += 0.3

    at(bench, 14.0, heat)
    found = bench.profile()
    assert found.num_blocks == 1
    assert found.duration_s > 20  # one block more than was counted


def test_a_card_that_slows_down_again_and_again_is_refused() -> None:
    bench = Bench()

    class Hot(SimulatedLoad):
        def run(self) -> None:
            bench.gpu.throttled_s += 0.001
            super().run()

    bench.load = Hot(bench.trace, bench.clock, [(0.005, 200.0)], 8)
    with pytest.raises(MeasurementError, match="slowed down for"):
        bench.profile()


def test_power_capping_is_allowed_and_recorded() -> None:
    bench = Bench()

    def cap() -> None:
        bench.gpu.capped_s += 0.25

    at(bench, 14.0, cap)
    found = bench.profile()
    assert found.status == "ok"
    assert any("capped for 0.25 s" in reason for reason in found.reasons)


def test_less_power_at_work_than_idle_is_refused() -> None:
    with pytest.raises(MeasurementError, match="200 W at work and 400 W idle"):
        Bench().profile(idle=Idle(400.0, 0.0))


def test_more_power_than_the_enforced_limit_is_refused() -> None:
    bench = Bench()
    bench.gpu.power_limit_w = 150.0
    with pytest.raises(MeasurementError, match="above the enforced limit of 150 W"):
        bench.profile()


def test_net_energy_is_gross_without_idle() -> None:
    found = Bench().profile(idle=Idle(60.0, 0.0))
    assert found.net_j == pytest.approx((200.0 - 60.0) * 0.005 / 8, rel=0.005)
    assert found.value_j == pytest.approx(200.0 * 0.005 / 8, rel=0.005)


def test_an_idle_power_that_moved_leaves_net_energy_empty() -> None:
    found = Bench().profile(idle=Idle(90.0, 0.0), measures_idle_after=True)
    assert found.net_j is None
    assert found.idle_w == (90.0, pytest.approx(60.0, rel=0.01))
    assert any("idle power moved from 90 W to 60 W" in reason for reason in found.reasons)


def test_a_target_that_is_not_met_keeps_its_wide_interval_and_says_so() -> None:
    bench = Bench()
    bench.load = SimulatedLoad(bench.trace, bench.clock, [(0.04, 250.0), (0.06, 80.0)], 8)
    found = bench.profile(replace(EnergySettings(), max_blocks=2), target=0.0001)
    assert found.status == "ci_unmet"
    assert found.num_blocks == 2
    assert found.ranking_j[0] < found.value_j < found.ranking_j[1]


def test_a_temperature_that_keeps_moving_is_waited_for_and_then_reported() -> None:
    bench = Bench()

    class Warming(SimulatedLoad):
        def run(self) -> None:
            bench.gpu.temperature_c = 40 + bench.clock.now_s()
            super().run()

    bench.load = Warming(bench.trace, bench.clock, [(0.005, 200.0)], 8)
    found = bench.profile()
    assert found.status == "thermal_unsettled"
    assert found.duration_s > 60


def test_an_interruption_in_one_window_does_not_count() -> None:
    """Someone takes 300 W more for one second: the window is measured again, and both stay in the record."""
    bench = Bench()

    class Interrupted(SimulatedLoad):
        def run(self) -> None:
            more_w = 300.0 if 14.0 < self.clock.now_s() < 15.0 else 0.0
            self.trace.put(self.clock.now_s(), 0.005, 200.0 + more_w)
            self.clock.sleep(0.005)

    bench.load = Interrupted(bench.trace, bench.clock, [(0.005, 200.0)], 8)
    found = bench.profile()
    assert any(window.replaced for window in found.windows)
    assert found.value_j == pytest.approx(200.0 * 0.005 / 8, rel=0.005)


def test_blocks_that_contradict_each_other_are_called_unstable() -> None:
    bench = Bench()

    class Drifting(SimulatedLoad):
        def run(self) -> None:
            power_w = 200.0 if self.clock.now_s() < 20 else 300.0
            for duration_s, piece_w in ((0.011, power_w), (0.009, 80.0)):
                self.trace.put(self.clock.now_s(), duration_s, piece_w)
                self.clock.sleep(duration_s)

    bench.load = Drifting(bench.trace, bench.clock, [(0.02, 200.0)], 8)
    assert bench.profile(replace(EnergySettings(), max_blocks=4), target=0.0001).status == "unstable"
