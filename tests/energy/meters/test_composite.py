"""Several meters as one: what the sum says of itself, and what becomes of it when one part fails."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from energy_lab import CpuMeter
from fake_meter_log import LoggedClock
from fake_nvml import FakeGpu, FakeNvml
from fake_powercap import FakePowercap
from power_trace import PowerTrace, SimulatedLoad

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.meter import Reading, SimulatedMeter
from ecoNAS.energy.meters.composite import CompositeMeter
from ecoNAS.energy.meters.nvml import NvmlMeter
from ecoNAS.energy.meters.rapl import RaplMeter
from ecoNAS.energy.profile import profile_energy
from ecoNAS.energy.ticks import TickLog
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import JoulesMixError, MeasurementError, MeterError
from ecoNAS.measurement import DeviceState


class Pair:
    """Two cards at 100 W and 40 W, counted as one."""

    def __init__(self, first: dict[str, object] | None = None, second: dict[str, object] | None = None) -> None:
        self.clock = VirtualClock(5.0)
        self.gpus = [
            FakeGpu(PowerTrace(100.0), uuid="GPU-1", name="Big", **(first or {})),  # type: ignore[arg-type]
            FakeGpu(PowerTrace(40.0), uuid="GPU-2", name="Small", **(second or {})),  # type: ignore[arg-type]
        ]
        self.nvml = FakeNvml(self.clock, *self.gpus)
        self.meter = CompositeMeter([NvmlMeter(gpu.uuid, self.nvml, self.clock) for gpu in self.gpus])


def test_a_sum_says_what_it_is_made_of(tmp_path: Path) -> None:
    clock = VirtualClock(5.0)
    tree = FakePowercap(tmp_path, {"intel-rapl:0": "package-0", "intel-rapl:0:0": "dram"})
    gpu = NvmlMeter(None, FakeNvml(clock, FakeGpu(PowerTrace(100.0), uuid="GPU-1", name="Big")), clock)
    cpu = RaplMeter(tmp_path, clock)

    with CompositeMeter([gpu, cpu]) as meter:
        clock.sleep(2.0)
        tree.add({"intel-rapl:0": 30.0, "intel-rapl:0:0": 4.0})
        reading = meter.read()

    assert reading.energy_j == pytest.approx(200 + 30 + 4, abs=0.002)
    assert reading.time_s == 7
    info = meter.info
    assert (info.name, info.kind, info.scope) == ("nvml+rapl", "measured", "gpu+package+dram")
    assert info.method == f"energy_counter+{cpu.info.method}"
    assert info.device == f"GPU-1+{cpu.info.device}"
    assert info.device_name == f"Big + {cpu.info.device_name}"
    assert info.domains == ("total energy", *cpu.info.domains)
    assert info.driver.startswith("NVIDIA 580.00")


def test_a_sum_ticks_with_its_slowest_part() -> None:
    pair, ticks = Pair({"period_s": 0.02}, {"period_s": 0.104}), list[Reading]()

    with pair.meter as meter:
        for _ in range(5200):
            pair.clock.sleep(0.001)
            reading = meter.read()
            if not ticks or reading.energy_j > ticks[-1].energy_j:
                ticks.append(reading)

    assert 50 <= len(ticks) - 1 <= 51  # 5.2 s / 0.104 s, and the first reading
    for one, two in itertools.pairwise(ticks[1:]):
        assert two.time_s - one.time_s == pytest.approx(0.104, abs=0.0015)
        # The fast part may have moved five or six times meanwhile.
        assert 100 * 0.1 + 40 * 0.104 - 0.01 < two.energy_j - one.energy_j < 100 * 0.12 + 40 * 0.104 + 0.01


def test_a_part_that_is_stuck_stops_the_sum() -> None:
    pair = Pair(second={"stuck_s": 8.0})

    with pair.meter as meter:
        log = TickLog(meter, 0.1, EnergySettings(), pair.clock)
        with pytest.raises(MeasurementError, match=r"'nvml\+nvml' stood still"), log.polling():
            pair.clock.sleep(5.0)


def test_the_newest_part_gives_the_time(tmp_path: Path) -> None:
    clock = LoggedClock(tmp_path / "log.csv", PowerTrace(40.0), "energy_j", late_s=0.5)
    gpu = NvmlMeter(None, FakeNvml(clock, FakeGpu(PowerTrace(100.0))), clock)

    with CompositeMeter([gpu, clock.meter()]) as meter:
        clock.sleep(1.0)
        assert meter.read().time_s == clock.now_s()


@pytest.mark.parametrize("broken", ["first", "second"])
@pytest.mark.parametrize(("fault", "said"), [("lost_s", "GPU is lost"), ("reset_s", "ran backward")])
def test_one_part_that_fails_fails_the_sum_for_good(broken: str, fault: str, said: str) -> None:
    pair = Pair(**{broken: {fault: 7.5}})

    with pair.meter as meter:
        pair.clock.sleep(2.0)
        assert meter.read().energy_j == pytest.approx(280.0, abs=0.01)
        pair.clock.sleep(1.0)
        for _ in range(2):
            with pytest.raises(MeasurementError, match=said) as caught:
                meter.read()
    # What the other part counted meanwhile may be part of what was spent at least.
    assert 279.9 < caught.value.lower_bound_j < 420.1
    assert pair.nvml.sessions == 0


def test_a_part_that_cannot_be_opened_closes_those_before_it() -> None:
    pair = Pair()
    pair.gpus[1].lost_s = 0.0

    with pytest.raises(MeasurementError, match="GPU is lost"):
        pair.meter.__enter__()

    assert pair.nvml.sessions == 0
    with pytest.raises(MeterError, match=r"'nvml\+nvml' is not open"):
        pair.meter.read()


def test_joules_count_from_when_the_last_part_is_open(tmp_path: Path) -> None:
    clock = LoggedClock(tmp_path / "log.csv", PowerTrace(40.0), "energy_j", period_s=4.0)
    gpu = NvmlMeter(None, FakeNvml(clock, FakeGpu(PowerTrace(100.0))), clock)

    with CompositeMeter([gpu, clock.meter()]) as meter:  # waits for the row of 52 s
        assert meter.read().energy_j == pytest.approx(0)
        clock.sleep(4.0)
        assert meter.read().energy_j == pytest.approx(4 * 140.0)


def test_joules_of_different_kind_are_not_added() -> None:
    clock = VirtualClock()
    gpu = NvmlMeter(None, FakeNvml(clock, FakeGpu(PowerTrace(100.0))), clock)

    with pytest.raises(JoulesMixError, match="measured, simulated"):
        CompositeMeter([gpu, SimulatedMeter(5.0, clock)])


def test_the_same_device_is_not_counted_twice() -> None:
    clock = VirtualClock()
    nvml = FakeNvml(clock, FakeGpu(PowerTrace(100.0), uuid="GPU-1", bus_id="00000000:01:00.0"))

    with pytest.raises(MeterError, match="gpu of GPU-1 would be counted twice"):
        CompositeMeter([NvmlMeter("GPU-1", nvml, clock), NvmlMeter("00000000:01:00.0", nvml, clock)])


def test_state_adds_slow_downs_and_limits_and_joins_processes() -> None:
    pair = Pair(
        {"throttled_s": 1.0, "capped_s": 0.5, "power_limit_w": 400.0, "temperature_c": 60.0, "process_ids": [1, 2]},
        {"throttled_s": 0.25, "capped_s": 0.25, "power_limit_w": 75.0, "temperature_c": 40.0, "process_ids": [2, 3]},
    )

    with pair.meter as meter:
        state = meter.state()

    assert state == DeviceState(
        temperature_c=60,
        throttled_s=pytest.approx(1.25),
        capped_s=pytest.approx(0.75),
        power_limit_w=pytest.approx(475.0),
        clock_mhz=1980,
        process_ids=frozenset({1, 2, 3}),
    )


def test_a_limit_that_one_part_does_not_tell_is_no_limit_of_the_sum(tmp_path: Path) -> None:
    clock = LoggedClock(tmp_path / "log.csv", PowerTrace(40.0))
    gpu = FakeGpu(PowerTrace(100.0), throttled_s=2.0, process_ids=[4])

    with CompositeMeter([clock.meter(), NvmlMeter(None, FakeNvml(clock, gpu), clock)]) as meter:
        state = meter.state()

    assert state.power_limit_w is None
    assert state.power_w is None
    assert state.throttled_s == pytest.approx(2.0)
    assert state.process_ids == frozenset({4})


@pytest.mark.parametrize(
    "pieces",
    [[(0.005, 250.0)], [(0.012, 250.0), (0.008, 80.0)], [(0.07, 250.0), (0.03, 80.0)], [(0.06, 250.0), (0.14, 80.0)]],
)
def test_joules_per_image_of_a_slow_and_a_fast_part_meet_the_truth(pieces: Sequence[tuple[float, float]]) -> None:
    clock = VirtualClock(5.0)
    trace = PowerTrace(60.0)
    slow = NvmlMeter(None, FakeNvml(clock, FakeGpu(trace)), clock)
    fast = CpuMeter(trace, clock)  # sees the same power again
    fast.info = type(fast.info)("cpu", "measured", "energy_counter", "package", "cpu:0", device_name="Fake CPU")
    load = SimulatedLoad(trace, clock, pieces, 8)

    with CompositeMeter([slow, fast]) as meter:
        found = profile_energy(load, meter, EnergySettings(), target=0.02, period_s=0.1, clock=clock)

    assert found.value_j == pytest.approx(2 * load.true_energy_j, rel=0.02)
    assert found.ranking_j[0] <= 2 * load.true_energy_j <= found.ranking_j[1]
