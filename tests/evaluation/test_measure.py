"""Measuring one runner on a card whose joules are known: the value, what it cost, the shared idle power, the record."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from energy_lab import IDLE_W, CpuMeter, Lab
from fake_nvml import FakeGpu
from fake_powercap import FakePowercap

from ecoNAS.architecture import Deployment
from ecoNAS.energy.lane import Lane
from ecoNAS.energy.measure import Measured, Place, measure
from ecoNAS.energy.meters.rapl import RaplMeter
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeterError
from ecoNAS.evaluation.measure import measure_runner
from ecoNAS.records import Costs, EnergyProfile, ProfileKey, Workload

HOST = f"{FakeGpu.uuid}+cpu:host"
FLAT = [(0.005, 200.0)]  # a batch of eight: 1 J, 0.125 J per image
SETTINGS = EnergySettings()


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECONAS_LANES", str(tmp_path / "lanes"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture
def place(lab: Lab, tmp_path: Path) -> Place:
    return Place(
        lab.meter, HOST, SETTINGS, target=0.05, root=tmp_path, clock=lab.clock, idle_file=tmp_path / "idle.json"
    )


def run(lab: Lab, place: Place) -> Measured:
    return measure(lambda: lab.load(FLAT), place)


def note_idle(place: Place, power_w: float, age_s: float, **changes: Any) -> None:
    device = changes.pop("device", place.meter.info.device)
    assert place.idle_file is not None
    place.idle_file.write_text(json.dumps({device: {"power_w": power_w, "unix_s": time.time() - age_s, **changes}}))


def test_the_joules_are_those_of_the_load_and_what_it_cost_is_all_that_the_card_took(lab: Lab, place: Place) -> None:
    began_s = lab.clock.now_s()
    found = run(lab, place)
    took_j = lab.trace.energy_j(began_s, lab.clock.now_s())

    assert found.measurement.value_j == pytest.approx(0.125, rel=0.01)
    # 200 W of which 60 W would flow anyway, for 0.625 ms per image.
    assert found.measurement.net_j == pytest.approx(140 * 0.005 / 8, rel=0.01)
    assert found.spent_j == pytest.approx(took_j, rel=0.01)
    # 3 s of warm-up, 8 windows of 1 s and 3 s of latency at 200 W, and 10 s of idle, at least.
    assert found.spent_j > 14 * 200 * 0.95 + 10 * IDLE_W * 0.95
    assert found.latency.median_s == pytest.approx(0.005)
    assert (found.latency.batch, found.runner) == (8, "simulated")


def test_the_runner_is_made_in_the_lanes_of_the_meter_and_of_what_computes(lab: Lab, place: Place) -> None:
    held = list[str]()

    def make() -> Any:
        held.extend(Lane(device).status().owner for device in (lab.gpu.uuid, HOST))
        return lab.load(FLAT)

    measure(make, replace(place, owner="the test"))

    assert held == ["the test", "the test"]
    assert Lane(f"{lab.gpu.uuid}+{HOST}").status().pid is None
    with pytest.raises(MeterError, match="not open"):
        lab.meter.read()


def test_idle_power_is_measured_once_and_shared_by_a_file(lab: Lab, place: Place) -> None:
    begun_s = lab.clock.now_s()
    first = run(lab, place)
    first_s, begun_s = lab.clock.now_s() - begun_s, lab.clock.now_s()
    second = run(lab, place)
    second_s = lab.clock.now_s() - begun_s

    assert first.measurement.idle_w == second.measurement.idle_w
    assert first.measurement.idle_w == (pytest.approx(IDLE_W, rel=0.01),)
    # Idle takes 10 s, and finding the period of the counter, which is known the second time, some more.
    assert first_s - second_s >= 10.0


@pytest.mark.parametrize(
    ("age_s", "changes", "is_used"),
    [
        (1.0, {}, True),
        (590.0, {}, True),
        (610.0, {}, False),
        (-60.0, {}, False),
        (1.0, {"device": "another card"}, False),
        (1.0, {"unix_s": "torn"}, False),
    ],
)
def test_a_stale_or_strange_idle_power_is_measured_again(
    lab: Lab, place: Place, age_s: float, changes: dict[str, str], is_used: bool
) -> None:
    note_idle(place, 61.0, age_s, **changes)
    (found_w,) = run(lab, place).measurement.idle_w
    assert found_w == (61.0 if is_used else pytest.approx(IDLE_W, abs=0.5))
    assert place.idle_file is not None
    kept = json.loads(place.idle_file.read_text())[lab.gpu.uuid]
    assert kept["power_w"] == found_w


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": 1}'])
def test_a_torn_idle_file_is_replaced_and_leaves_nothing_beside_it(lab: Lab, place: Place, content: str) -> None:
    assert place.idle_file is not None
    place.idle_file.write_text(content)
    assert run(lab, place).measurement.idle_w == (pytest.approx(IDLE_W, rel=0.01),)
    assert [path.name for path in place.idle_file.parent.glob("idle*")] == ["idle.json"]


def test_a_reference_measures_idle_before_and_after_whatever_the_file_says(lab: Lab, place: Place) -> None:
    note_idle(place, 61.0, 1.0)
    found = run(lab, replace(place, is_reference=True))
    assert found.measurement.idle_w == (pytest.approx(IDLE_W, rel=0.01), pytest.approx(IDLE_W, rel=0.01))


def test_without_a_file_idle_is_measured_each_time(lab: Lab, place: Place) -> None:
    found = run(lab, replace(place, idle_file=None))
    assert found.measurement.idle_w == (pytest.approx(IDLE_W, rel=0.01),)


def test_memory_of_a_gpu_is_what_it_says_since_the_runner_was_made(lab: Lab, place: Place) -> None:
    peaks = iter([999, 42])  # the first belongs to whatever ran before
    assert run(lab, replace(place, gpu_peak_bytes=lambda: next(peaks))).peak_memory_bytes == 42


def test_memory_on_a_cpu_is_by_how_much_the_process_grew(lab: Lab, place: Place) -> None:
    kept = list[bytes]()

    def make() -> Any:
        kept.append(b"x" * 200_000_000)
        return lab.load(FLAT)

    peak_bytes = measure(make, place).peak_memory_bytes
    if peak_bytes is None:
        pytest.skip("the process was larger before, and this kernel cannot forget it")
    assert peak_bytes >= 100_000_000


def test_the_record_is_whole_and_survives_json(lab: Lab, place: Place) -> None:
    how = Deployment(batch=8, resolution=32)
    costs = Costs(params=10, macs=100, activation_memory_bytes=40)
    workload = Workload(model="net", digest="a" * 64, shape=(8, 3, 32, 32), deployment=how, costs=costs)
    key = ProfileKey(architecture="a" * 64, deployment=how, device=lab.gpu.uuid)

    record = measure_runner(lambda: lab.load(FLAT), place, workload, key)

    assert EnergyProfile.model_validate_json(record.model_dump_json()) == record
    assert EnergyProfile.model_validate(json.loads(json.dumps(record.model_dump(mode="json")))) == record
    assert record.energy is not None
    assert record.spent is not None
    assert record.measurement is not None
    assert record.energy.kind == record.spent.kind == "measured"
    assert record.energy.value_j == pytest.approx(0.125, rel=0.01)
    assert (record.energy.low_j, record.energy.high_j) == record.measurement.ranking_j
    assert (record.energy.method, record.energy.scope, record.energy.device) == ("energy_counter", "gpu", lab.gpu.uuid)
    assert (record.workload, record.key, record.quantity) == (workload, key, "energy_per_image")
    assert (record.runner, record.status) == ("simulated", "ok")
    assert set(record.software) >= {"python", "torch", "timm"}
    assert record.started <= record.ended


def test_joules_of_a_simulated_counter_are_called_so(place: Place, lab: Lab) -> None:
    meter = CpuMeter(lab.trace, lab.clock)
    how = Deployment(batch=8)
    workload = Workload(model="net", digest="a", shape=(8, 3, 32, 32), deployment=how)
    key = ProfileKey(architecture="a", deployment=how, device=meter.info.device)

    record = measure_runner(
        lambda: lab.load(FLAT), replace(place, meter=meter), workload, key, quantity="energy_per_image_b1"
    )

    assert record.energy is not None
    assert (record.energy.kind, record.quantity) == ("simulated", "energy_per_image_b1")
    assert record.energy.value_j == pytest.approx(0.125, rel=0.01)


@pytest.mark.parametrize("batch_s", [0.005, 0.5])  # latency is measured for seconds, too
def test_power_that_is_added_up_is_read_while_the_runner_is_made_and_while_nothing_is_measured(
    tmp_path: Path, batch_s: float
) -> None:
    lab = Lab(has_counter=False)

    def make() -> Any:
        lab.clock.sleep(30.0)  # a compiler at work
        return lab.load([(batch_s, 200.0)])

    found = measure(make, Place(lab.meter, HOST, SETTINGS, target=0.05, root=tmp_path, clock=lab.clock))

    assert found.measurement.value_j == pytest.approx(200 * batch_s / 8, rel=0.01)


def test_a_register_that_wraps_while_a_compiler_is_at_work_is_counted(tmp_path: Path) -> None:
    tree, lab = FakePowercap(tmp_path, {"intel-rapl:0": "package-0"}, range_uj=65_532_610_987), Lab()

    def tick() -> None:
        tree.add(lab.trace.energy_j(lab.clock.now_s() - 0.01, lab.clock.now_s()))

    def make() -> Any:
        lab.clock.sleep(60.0)  # in which it might wrap once at 1,500 W
        return lab.load(FLAT)

    place = Place(RaplMeter(tmp_path, lab.clock), HOST, SETTINGS, target=0.05, root=tmp_path, clock=lab.clock)
    with lab.clock.every(0.01, tick):
        assert measure(make, place).measurement.value_j == pytest.approx(0.125, rel=0.02)


@pytest.mark.parametrize(
    ("computes_on", "is_refused"),
    [("GPU-1+cpu:host", True), (f"{FakeGpu.uuid}+cpu:host", False), ("cpu:host", True)],
)
def test_a_meter_of_another_gpu_than_the_one_that_computes_is_refused(
    lab: Lab, place: Place, computes_on: str, is_refused: bool
) -> None:
    place = replace(place, computes_on=computes_on)
    if is_refused:
        with pytest.raises(MeterError, match=rf"counts GPU-0.* and the network runs on {re.escape(computes_on)}; "):
            run(lab, place)
    else:
        assert run(lab, place).measurement.value_j == pytest.approx(0.125, rel=0.01)


@pytest.mark.parametrize(("computes_on", "is_of_gpu"), [("cpu:host", False), (HOST, True)])
def test_memory_is_that_of_the_device_that_computes_even_where_there_is_a_gpu(
    lab: Lab, place: Place, monkeypatch: pytest.MonkeyPatch, computes_on: str, is_of_gpu: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("ecoNAS.evaluation.measure._gpu_peak_bytes", lambda: 42)
    monkeypatch.setattr("ecoNAS.energy.measure.counts_another_gpu", lambda meter, computes_on: False)
    workload = Workload(model="net", digest="a", shape=(8, 3, 32, 32), deployment=Deployment(batch=8))
    key = ProfileKey(architecture="a", deployment=Deployment(batch=8), device=lab.gpu.uuid)
    record = measure_runner(lambda: lab.load(FLAT), replace(place, computes_on=computes_on), workload, key)
    assert (record.peak_memory_bytes == 42) == is_of_gpu


def test_the_state_after_is_that_at_the_end_of_the_last_window_and_not_after_idle(lab: Lab, place: Place) -> None:
    found = run(lab, replace(place, is_reference=True)).measurement
    assert found.after.power_w == pytest.approx(200.0, rel=0.01)
