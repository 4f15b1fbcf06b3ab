"""The script for real GPUs, run against a fake card whose settings its figures must find."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest
import timm
from fake_nvml import FakeGpu, FakeNvml
from power_trace import PowerTrace, SimulatedLoad

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.meters.nvml import NvmlMeter

BENCHMARKS = Path(__file__).parents[2] / "experiments" / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import energy_gpu  # noqa: E402
from energy_gpu import QUICK, SECTIONS, RecordingMeter, Rig, rank, run_sections  # noqa: E402
from polling_cost import interleaved, median_ratio  # noqa: E402

IDLE_W, BURN_W = 60.0, 400.0
# Watts of each network; a batch of 64 in fp32 takes 40 ms.
POWERS_W = {"resnet50": 300.0, "resnet18": 200.0, "mobilenetv3_large_100": 200.0, "mobilenetv3_small_100": 120.0}


class FakeLoads:
    """Loads that put their power on the trace of a fake card."""

    def __init__(self, trace: PowerTrace, clock: VirtualClock) -> None:
        self.about, self.index = {"gpu": "fake"}, 0
        self._trace, self._clock = trace, clock

    def burn(self) -> SimulatedLoad:
        return SimulatedLoad(self._trace, self._clock, [(0.001, BURN_W)])

    def network(self, model: str, batch: int, dtype: str) -> SimulatedLoad:
        seconds = (0.02 if dtype == "bf16" else 0.04) * max(batch, 8) / 64
        return SimulatedLoad(self._trace, self._clock, [(seconds, POWERS_W[model])], batch)


@contextmanager
def fake_rig(**card: float | bool) -> Iterator[Rig]:
    clock, trace = VirtualClock(5.0), PowerTrace(IDLE_W)
    nvml = FakeNvml(clock, FakeGpu(trace, **card))  # type: ignore[arg-type]
    with RecordingMeter(NvmlMeter(nvml=nvml, clock=clock)) as meter:
        yield Rig(meter, nvml, clock, FakeLoads(trace, clock), QUICK)


def figures_of(section: str, **card: float | bool) -> dict[str, Any]:
    with fake_rig(**card) as rig:
        return SECTIONS[section](rig)


@pytest.mark.parametrize(
    ("card", "seen_s"),
    [({}, 0.025), ({"is_sampled": False}, 0.1), ({"period_s": 0.02, "window_s": 0.02}, 0.02)],
    ids=["sampled counter", "true counter", "20 ms, sees all"],
)
def test_periods_and_windows_of_the_sensor_are_those_of_the_card(card: dict[str, Any], seen_s: float) -> None:
    found = figures_of("sensor", **card)
    period_s = card.get("period_s", 0.1)
    assert found["counter"]["period_s"] == pytest.approx(period_s, rel=0.02)
    assert found["power"]["period_s"] == pytest.approx(period_s, rel=0.02)
    assert found["power"]["window_s"] == pytest.approx(card.get("window_s", 0.025), abs=0.004)
    assert found["counter"]["window_s"] == pytest.approx(seen_s, rel=0.15)
    assert found["power"]["r2"] > 0.98


def test_the_lag_of_the_sensor_is_found() -> None:
    assert figures_of("sensor", lag_s=0.03)["power"]["lag_s"] == pytest.approx(0.03, abs=0.004)


def test_aliasing_is_seen_on_a_counter_that_looks_away() -> None:
    found = figures_of("aliasing")
    assert found["aliases"]
    # Half of each 100 ms at 400 W, else 60 W; the 25 ms that are seen fall into either: (400 - 60) / 230.
    assert found["spread"] == pytest.approx(340 / 230, rel=0.05)
    assert found["rhythms"][0]["error_by_phases"][1] == pytest.approx(170 / 230, rel=0.05)
    assert found["rhythms"][0]["error_by_phases"][4] < 0.1


def test_aliasing_is_not_seen_on_a_counter_of_the_truth() -> None:
    found = figures_of("aliasing", is_sampled=False)
    assert not found["aliases"]
    assert found["spread"] < 0.02
    assert found["rhythms"][0]["powers_w"] == pytest.approx([230.0] * 8, rel=0.02)


def test_a_fast_counter_is_tried_with_the_rhythm_of_slow_sensors_too() -> None:
    found = figures_of("aliasing", period_s=0.02, window_s=0.02)
    assert [line["rhythm_s"] for line in found["rhythms"]] == pytest.approx([0.02, 0.1], rel=0.02)
    assert not found["aliases"]


@pytest.mark.parametrize(("counter_gain", "passes"), [(1.0, True), (1.1, False)])
def test_a_counter_that_contradicts_its_power_sensor_is_told_by_how_much(counter_gain: float, passes: bool) -> None:
    found = figures_of("agreement", counter_gain=counter_gain)
    assert found["passes"] is passes
    assert found["counter_over_power"] == pytest.approx(dict.fromkeys(("idle", "partial", "full"), counter_gain), 0.01)


def test_joules_are_a_straight_line_over_batches() -> None:
    found = figures_of("linear")
    assert found["passes"]
    assert found["batch_j"] == pytest.approx(300 * 0.04, rel=0.02)


def test_windows_of_a_flat_load_repeat() -> None:
    found = figures_of("repeatable")
    assert found["passes"]
    assert found["image_j_batch_256"] == pytest.approx([300 * 0.16 / 256] * 3, rel=0.005)
    assert found["image_j_batch_1"] == pytest.approx([300 * 0.005] * 3, rel=0.005)


def test_joules_of_two_works_add_up() -> None:
    found = figures_of("additive")
    assert found["passes"]
    assert sum(found["energy_j"]["a"]) / 2 == pytest.approx(300 * 1.0, rel=0.05)


def test_polling_that_takes_no_time_costs_nothing() -> None:
    assert figures_of("polling")["cost_resnet50"] == pytest.approx(0.0, abs=1e-9)


def test_zeus_is_skipped_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeus.monitor", None)
    assert "zeus cannot be imported" in figures_of("zeus")["skipped"]


@pytest.mark.parametrize(("gain", "passes"), [(1.0, True), (0.9, False)])
def test_zeus_is_held_against_the_same_seconds(monkeypatch: pytest.MonkeyPatch, gain: float, passes: bool) -> None:
    with fake_rig() as rig:

        class Monitor:
            """Reads the counter at both ends, as zeus does."""

            def __init__(self, gpu_indices: list[int]) -> None:
                assert gpu_indices == [0]

            def begin_window(self, name: str) -> None:
                self._first_mj = rig.nvml.nvmlDeviceGetTotalEnergyConsumption(rig.handle)

            def end_window(self, name: str) -> SimpleNamespace:
                last_mj = rig.nvml.nvmlDeviceGetTotalEnergyConsumption(rig.handle)
                return SimpleNamespace(total_energy=gain * (last_mj - self._first_mj) / 1e3)

        monkeypatch.setitem(sys.modules, "zeus.monitor", SimpleNamespace(ZeusMonitor=Monitor))
        found = SECTIONS["zeus"](rig)
    assert found["passes"] is passes
    assert found["ours_over_zeus"] == pytest.approx(1 / gain, rel=0.01)


def test_ranks_follow_joules_and_name_ties() -> None:
    found = figures_of("ranking")
    ranks = {line["name"]: (line["rank"], line["tied_with"]) for line in found["ranks"]}
    assert found["passes"]
    # 200 W or 300 W, 20 ms in bf16 or 40 ms in fp32: 4, 6, 8 and 12 J a batch.
    assert ranks == {
        "mobilenetv3_large_100 bf16": (1, ["resnet18 bf16"]),
        "resnet18 bf16": (1, ["mobilenetv3_large_100 bf16"]),
        "resnet50 bf16": (3, []),
        "mobilenetv3_large_100 fp32": (4, ["resnet18 fp32"]),
        "resnet18 fp32": (4, ["mobilenetv3_large_100 fp32"]),
        "resnet50 fp32": (6, []),
    }


def test_a_chain_of_overlaps_is_no_common_tie() -> None:
    values = {"b": (2.0, (1.5, 2.5)), "a": (1.0, (0.4, 1.6)), "c": (3.0, (2.4, 3.6))}
    assert [(line["name"], line["rank"], line["tied_with"]) for line in rank(values)] == [
        ("a", 1, ["b"]),
        ("b", 1, ["a", "c"]),
        ("c", 2, ["b"]),
    ]


def test_a_failing_section_is_recorded_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(rig: Rig) -> dict[str, Any]:
        raise RuntimeError("out of memory")

    monkeypatch.setitem(SECTIONS, "linear", fails)
    out = tmp_path / "gpu.json"
    with fake_rig() as rig:
        run_sections(rig, ["device", "linear", "repeatable"], out)
    report = json.loads(out.read_text())
    assert [report[name]["status"] for name in report] == ["ok", "failed", "ok"]
    assert report["linear"]["error"] == "RuntimeError: out of memory"
    assert report["device"]["device_name"] == "NVIDIA Fake"
    assert report["device"]["idle_w"] == pytest.approx(IDLE_W, rel=0.01)


def test_raw_ticks_are_kept_as_differences(tmp_path: Path) -> None:
    with fake_rig() as rig:
        report = run_sections(rig, ["repeatable"], tmp_path / "gpu.json")
    ticks = report["repeatable"]["ticks"]
    assert len(ticks["time_us"]) == len(ticks["energy_mj"]) > 50
    assert median(ticks["time_us"]) == pytest.approx(100_000, rel=0.02)
    assert median(ticks["energy_mj"]) == pytest.approx(300 * 0.1 * 1e3, rel=0.01)


def test_all_twelve_networks_exist() -> None:
    assert len(set(energy_gpu.MODELS)) == 12
    assert set(energy_gpu.MODELS) | {energy_gpu.BIG, energy_gpu.SMALL} <= set(timm.list_models())


@pytest.mark.slow
def test_the_script_needs_only_torch_timm_and_the_light_modules() -> None:
    heavy = ("optuna", "ray", "fvcore", "pydantic", "pandas", "plotly", "sklearn", "rich")
    code = f"import sys; sys.modules.update(dict.fromkeys({heavy})); import energy_gpu"
    paths = {"PYTHONPATH": f"{BENCHMARKS.parents[1]}:{BENCHMARKS}"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, env=paths)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [(6, 1, 6), (10, 2, 9), (20, 6, 15)],  # the table of the sign test: 2.5 % on each side
)
def test_the_interval_of_a_median_is_that_of_the_sign_test(count: int, low: int, high: int) -> None:
    found = median_ratio([float(place) for place in range(count, 0, -1)])
    assert (found.median, found.low, found.high) == ((count + 1) / 2, low, high)


def test_pairs_alternate_their_order() -> None:
    called = list[str]()

    def rate(name: str, value: float) -> Callable[[], float]:
        return lambda: called.append(name) or value

    found, plain = interleaved(rate("with", 9.0), rate("without", 10.0), 2)
    assert called == ["without", "with", "with", "without"]
    assert (found.median, plain) == (0.9, 10.0)
