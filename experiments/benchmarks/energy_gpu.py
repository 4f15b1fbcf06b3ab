"""Is what we believe of a GPU's energy counter true of this one? Every figure of the protocol, measured on a real card.

What each section finds, and what it should find, is in the first lines of its function. Sections are independent: one
that fails is recorded with its error, and the rest goes on. All are written to one file, with the raw ticks. Needed are
torch, timm, nvidia-ml-py and the light modules of ecoNAS (a copy of the folder will do); nobody else may use the GPU.
It takes about a quarter of an hour.

    python experiments/benchmarks/energy_gpu.py --out energy_gpu.json
"""

import argparse
import json
import platform
import random
import sys
import time
import traceback
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module, metadata
from itertools import accumulate, cycle, pairwise
from pathlib import Path
from statistics import fmean, median, stdev
from types import TracebackType
from typing import Any, Protocol, Self

import timm
import torch
from polling_cost import cost_of, images_per_s

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.exclusivity import GpuWatch
from ecoNAS.energy.idle import measure_idle
from ecoNAS.energy.meter import Reading
from ecoNAS.energy.meters.calibration import find_period
from ecoNAS.energy.meters.nvml import POWER_INSTANT, NvmlMeter
from ecoNAS.energy.profile import profile_energy
from ecoNAS.energy.runner import CallableRunner, Runner
from ecoNAS.energy.ticks import TickLog
from ecoNAS.energy.windows import Bench, run_window
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import EcoNASError
from ecoNAS.measurement import DeviceState, Measurement

POWER_AVERAGE = 185  # NVML_FI_DEV_POWER_AVERAGE, in milliwatts
FINE_POLL_S = 0.001
SENSOR_PERIOD_S = 0.1  # of A100 and H100, arXiv 2312.02741
FINE = EnergySettings(poll_s=0.002)
RHYTHMS = (0.37, 0.61, 1.17, 2.3, 6.1)  # of square loads, in update periods
MIN_UPDATES = 20
MODELS = (
    "convnext_tiny",
    "deit_tiny_patch16_224",
    "densenet121",
    "efficientnet_b0",
    "mixer_b16_224",
    "mobilenetv2_100",
    "mobilenetv3_large_100",
    "regnety_016",
    "resnet18",
    "resnet50",
    "swin_tiny_patch4_window7_224",
    "vit_small_patch16_224",
)
BIG, SMALL = "resnet50", "mobilenetv3_small_100"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
PACKAGES = ("torch", "timm", "nvidia-ml-py", "econas", "zeus")
# So that a network takes about 16 s, and 30 at most.
PROTOCOL = EnergySettings(settle_max_s=10.0, max_blocks=2, max_s=30.0)
Found = dict[str, Any]  # what a section found: anything that JSON holds


@dataclass(frozen=True)
class Plan:
    """How long everything takes, in seconds unless the name says otherwise."""

    warm_s: float = 3.0
    square_s: float = 6.0
    window_periods: int = 20
    level_s: float = 8.0
    linear_s: float = 2.0
    linear_levels: int = 5
    num_windows: int = 10
    window_s: float = 2.0
    additive_s: float = 4.0
    additive_repeats: int = 4
    zeus_s: float = 10.0
    pairs: int = 20
    pair_s: float = 0.75
    models: tuple[str, ...] = MODELS
    settings: EnergySettings = PROTOCOL


QUICK = Plan(
    warm_s=0.5,
    square_s=3.0,
    window_periods=10,
    level_s=3.0,
    linear_levels=3,
    num_windows=3,
    window_s=1.0,
    additive_s=1.0,
    additive_repeats=2,
    pairs=4,
    pair_s=0.25,
    models=("mobilenetv3_large_100", "resnet18", "resnet50"),
    settings=EnergySettings(warm_up_s=0.5, settle_s=1.0, settle_max_s=2.0, idle_s=2.0, max_blocks=1, phases=4),
)


class Loads(Protocol):
    """What can be run on the device."""

    about: dict[str, str]
    index: int  # of the device, among those that torch sees

    def burn(self) -> Runner:
        """Return about a millisecond of full power."""
        ...

    def network(self, model: str, batch: int, dtype: str) -> Runner:
        """Return a network that waits for its batches."""
        ...


class GpuLoads:
    """Loads on a GPU by torch.

    Args:
        uuid: Of the GPU, as NVML shows it.
    """

    def __init__(self, uuid: str) -> None:
        uuids = [str(torch.cuda.get_device_properties(place).uuid) for place in range(torch.cuda.device_count())]
        if not uuids:
            raise SystemExit("torch sees no GPU; look at CUDA_VISIBLE_DEVICES and `python -m torch.utils.collect_env`")
        known = [place for place, found in enumerate(uuids) if found.removeprefix("GPU-") == uuid.removeprefix("GPU-")]
        if len(uuids) > 1 and not known:
            raise SystemExit(f"torch does not see GPU {uuid} but {', '.join(uuids)}; set CUDA_VISIBLE_DEVICES={uuid}")
        self.index = known[0] if known else 0
        self._device = torch.device("cuda", self.index)
        torch.cuda.set_device(self._device)
        torch.backends.cudnn.benchmark = True
        self.about = {
            "gpu": torch.cuda.get_device_name(self._device),
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),
            "tf32": f"cudnn {torch.backends.cudnn.allow_tf32}, matmul {torch.backends.cuda.matmul.allow_tf32}",
        }

    def burn(self) -> Runner:
        """Return matrix products of about a millisecond."""
        left, right = (torch.randn(4096, 4096, device=self._device, dtype=torch.bfloat16) for _ in range(2))
        out, count = torch.empty_like(left), 1

        def run() -> None:
            for _ in range(count):
                torch.matmul(left, right, out=out)
            torch.cuda.synchronize(self._device)

        for _ in range(20):
            run()
        start_s = time.perf_counter()
        run()
        count = max(1, round(1e-3 / (time.perf_counter() - start_s)))
        return CallableRunner("matmul", 1, run)

    def network(self, model: str, batch: int, dtype: str) -> Runner:
        """Return a network of timm with random weights, in channels-last; inputs rotate over four buffers."""
        torch.cuda.empty_cache()
        where, layout = (self._device, DTYPES[dtype]), torch.channels_last
        network = timm.create_model(model, pretrained=False).eval().to(*where).to(memory_format=layout)
        inputs = cycle([torch.randn(batch, 3, 224, 224).to(*where).to(memory_format=layout) for _ in range(4)])

        def run() -> None:
            with torch.inference_mode():
                network(next(inputs))
            torch.cuda.synchronize(self._device)

        for _ in range(5):
            run()
        return CallableRunner("eager", batch, run)


class RecordingMeter:
    """The NVML meter, which remembers every reading that differed from the one before."""

    def __init__(self, meter: NvmlMeter) -> None:
        self.info, self._meter = meter.info, meter
        self._moved: list[Reading] = []

    def read(self) -> Reading:
        """Return joules since it was opened."""
        reading = self._meter.read()
        if not self._moved or reading.energy_j > self._moved[-1].energy_j:
            self._moved.append(reading)
        return reading

    def state(self) -> DeviceState:
        """Return what the device says of itself."""
        return self._meter.state()

    def __enter__(self) -> Self:
        """Open the device."""
        self._meter.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give it back."""
        self._meter.__exit__(kind, error, traceback)

    def take(self) -> Found:
        """Return the readings since the last call as differences: the first from 0, whole numbers only."""
        moved, self._moved = self._moved, []
        return {
            "time_us": differences([round(reading.time_s * 1e6) for reading in moved]),
            "energy_mj": differences([round(reading.energy_j * 1e3) for reading in moved]),
        }


class Rig:
    """A card under test: its meter, its power sensor, loads, and what sections have in common.

    Args:
        meter: Open.
        nvml: The module `pynvml`, or a fake.
        clock: The clock of the meter.
        loads: What can be run on the card.
        plan: How long everything takes.
    """

    def __init__(self, meter: RecordingMeter, nvml: Any, clock: Clock, loads: Loads, plan: Plan) -> None:
        self.meter, self.nvml, self.clock, self.loads, self.plan = meter, nvml, clock, loads, plan
        handles = [nvml.nvmlDeviceGetHandleByIndex(place) for place in range(nvml.nvmlDeviceGetCount())]
        (self.handle,) = [found for found in handles if str(nvml.nvmlDeviceGetUUID(found)) == meter.info.device]
        self.burn = loads.burn()
        self.period_s = find_period(meter, clock)

    @cached_property
    def idle_w(self) -> float:
        """Watts of a second of rest after work."""
        self.run(self.burn, self.plan.warm_s)
        return measure_idle(self.meter, self.plan.settings, self.period_s, self.clock).power_w

    def power_field_w(self, field: int) -> float | None:
        """Return a power that the driver has as a field; None where it has not."""
        (value,) = self.nvml.nvmlDeviceGetFieldValues(self.handle, [field])
        return value.value.uiVal / 1e3 if value.nvmlReturn == self.nvml.NVML_SUCCESS else None

    def power_w(self) -> float:
        """Return what the power sensor shows, as the meter of ecoNAS asks it."""
        power_w = self.power_field_w(POWER_INSTANT)
        return float(self.nvml.nvmlDeviceGetPowerUsage(self.handle)) / 1e3 if power_w is None else power_w

    def run(self, runner: Runner, duration_s: float) -> float:
        """Run batch after batch for so long; return the seconds of one."""
        rate = images_per_s(runner, duration_s, self.clock)
        return runner.batch / rate

    def run_square(self, rhythm_s: float, duty: float, duration_s: float) -> list[tuple[float, float]]:
        """Run a load that is on for the first part of each rhythm; return from when to when it was on."""
        start_s, pieces = self.clock.now_s(), list[tuple[float, float]]()
        for place in range(max(1, round(duration_s / rhythm_s))):
            begin_s = start_s + place * rhythm_s
            self.clock.sleep(max(0.0, begin_s - self.clock.now_s()))
            on_s = self.clock.now_s()
            while self.clock.now_s() < begin_s + duty * rhythm_s:
                self.burn.run()
            pieces.append((on_s, self.clock.now_s()))
        self.clock.sleep(max(0.0, start_s + duration_s - self.clock.now_s()))
        return pieces

    @contextmanager
    def sampling(self, every_s: float) -> Iterator["Samples"]:
        """Note counter and power, as often as asked for or as the driver answers."""
        samples = Samples([], [], [])

        def look() -> None:
            begin_s = self.clock.now_s()
            reading = self.meter.read()
            power_w, end_s = self.power_w(), self.clock.now_s()
            samples.readings.append(reading)
            samples.powers.append(((reading.time_s + end_s) / 2, power_w))
            samples.calls_s.append((reading.time_s - begin_s, end_s - reading.time_s))

        with self.clock.every(every_s, look):
            yield samples

    def joules_of(self, work: Callable[[], object], phase: float) -> tuple[float, float]:
        """Return the joules of some work, idle power before and after it taken off, and its seconds.

        Args:
            work: Does it, and returns when it is done.
            phase: Its start after a tick, as a share of the period: where the sensor looks away at its ends cancels in
                the mean over phases.
        """
        log = TickLog(self.meter, self.period_s, FINE, self.clock)
        with log.polling():
            self.clock.sleep(3 * self.period_s)
            log.wait_for_tick()
            before = log.ticks[-1]
            self.clock.sleep(phase * self.period_s)
            start_s = self.clock.now_s()
            work()
            work_s = self.clock.now_s() - start_s
            log.wait_until(self.clock.now_s() + 3 * self.period_s)
        after = log.ticks[-1]
        rest_s = after.time_s - before.time_s - work_s
        return after.energy_j - before.energy_j - self.idle_w * rest_s, work_s


@dataclass
class Samples:
    """Counter and power over time, and the seconds of each call."""

    readings: list[Reading]
    powers: list[tuple[float, float]]
    calls_s: list[tuple[float, float]]

    def ticks(self) -> list[Reading]:
        """Return the readings at which the counter had moved, in the middle between two polls."""
        return [
            Reading(two.energy_j, (one.time_s + two.time_s) / 2)
            for one, two in pairwise(self.readings)
            if two.energy_j > one.energy_j
        ]

    def updates(self) -> list[tuple[float, float]]:
        """Return (seconds, watts) of the powers that differed from the one before."""
        return [((one[0] + two[0]) / 2, two[1]) for one, two in pairwise(self.powers) if two[1] != one[1]]

    def raw_power(self) -> Found:
        """Return the powers as differences, as `RecordingMeter.take` does."""
        updates = self.updates()
        return {
            "time_us": differences([round(time_s * 1e6) for time_s, _ in updates]),
            "power_mw": differences([round(power_w * 1e3) for _, power_w in updates]),
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    parser.add_argument("--device", help="UUID or PCI bus id; needed where there are several")
    parser.add_argument("--quick", action="store_true", help="everything shorter, to see whether it runs")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="SECTION")
    arguments = parser.parse_args()
    nvml = import_module("pynvml")
    try:
        meter = NvmlMeter(arguments.device, nvml)
        loads = GpuLoads(meter.info.device)
        with RecordingMeter(meter) as opened:
            rig = Rig(opened, nvml, REAL_CLOCK, loads, QUICK if arguments.quick else Plan())
            report = run_sections(rig, arguments.only, arguments.out)
    except EcoNASError as error:
        raise SystemExit(str(error)) from None
    return int(any(found["status"] == "failed" for found in report.values()))


def run_sections(rig: Rig, names: Sequence[str], out: Path) -> Found:
    """Run sections, print a line for each, and write what is known after each of them; return it."""
    report: Found = {}
    for name in names:
        start_s = rig.clock.now_s()
        rig.meter.take()
        try:
            figures = SECTIONS[name](rig)
            found: Found = {"status": "skipped" if "skipped" in figures else "ok", **figures}
        except Exception as error:  # whatever it is, it is in the record, and the GPU is there now for the rest
            found = {"status": "failed", "error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
        found["duration_s"] = round(rig.clock.now_s() - start_s, 3)
        found.setdefault("ticks", rig.meter.take())
        report[name] = found
        lines = (f"{json.dumps(name)}: {json.dumps(section, default=sorted)}" for name, section in report.items())
        out.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        shown = {key: value for key, value in found.items() if isinstance(value, float | str | bool) and key != "trace"}
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in shown.items()), flush=True)
    return report


def device(rig: Rig) -> Found:
    """Say what was measured: the card, its driver, limits and versions, at which time."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = ""
    return {
        **asdict(rig.meter.info),
        **rig.loads.about,
        "state": asdict(rig.meter.state()),
        "versions": {**versions, "python": platform.python_version(), "system": platform.platform()},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "period_s": rig.period_s,
        "idle_w": rig.idle_w,
        "has_instant_power": rig.power_field_w(POWER_INSTANT) is not None,
        "has_average_power": rig.power_field_w(POWER_AVERAGE) is not None,
    }


def sensor(rig: Rig) -> Found:
    """Find how often counter and power sensor update, and which stretch before each update they average.

    The stretch is that whose share under square loads of several rhythms explains the powers best (as in arXiv
    2312.02741); for the counter these are its steps. A counter whose stretch is shorter than its period looks away.
    """
    pieces = list[tuple[float, float]]()
    with rig.sampling(FINE_POLL_S) as samples:
        for share in RHYTHMS:
            pieces += rig.run_square(share * rig.period_s, 0.5, rig.plan.square_s)
    ticks, powers = samples.ticks(), samples.updates()
    steps = [(two.time_s, (two.energy_j - one.energy_j) / (two.time_s - one.time_s)) for one, two in pairwise(ticks)]
    return {
        "counter": describe_sensor(steps, pieces),
        "power": describe_sensor(powers, pieces),
        "counter_call_s": median(call[0] for call in samples.calls_s),
        "power_call_s": median(call[1] for call in samples.calls_s),
        "load_us": [[round(on_s * 1e6), round(off_s * 1e6)] for on_s, off_s in pieces],
        "raw_power": samples.raw_power(),
    }


def aliasing(rig: Rig) -> Found:
    """Run loads with the rhythm of the sensor from different phases on: a counter that sees all shows no difference.

    The rhythms are the period of the counter and, where that is another, the 100 ms of the sensors of A100 and H100,
    whose power a faster counter may add up. `spread` is the highest mean power less the lowest, over the mean.
    """
    rhythms_s = [rig.period_s] + ([SENSOR_PERIOD_S] if abs(rig.period_s / SENSOR_PERIOD_S - 1) > 0.1 else [])
    found = [spread_over_phases(rig, rhythm_s) for rhythm_s in rhythms_s]
    return {
        "aliases": any(one["spread"] > max(0.05, 3 * one["flat_spread"]) for one in found),
        "spread": max(one["spread"] for one in found),
        "rhythms": found,
    }


def agreement(rig: Rig) -> Found:
    """Hold the counter against integrated power at idle, about 30 % and full load: within 2 % of one another."""
    rng, levels = random.Random(0), dict[str, float]()

    def load(duty: float, duration_s: float) -> None:
        until_s = rig.clock.now_s() + duration_s
        while rig.clock.now_s() < until_s:  # rhythms drawn anew, so that none can fall in step with a sensor
            rhythm_s = rng.uniform(0.006, 0.014)
            rig.run_square(rhythm_s, duty, rhythm_s)

    power: Found = {}
    for name, duty in {"idle": 0.0, "partial": 0.3, "full": 1.0}.items():
        load(duty, rig.plan.warm_s)
        with rig.sampling(max(rig.period_s / 10, FINE.poll_s)) as samples:
            load(duty, rig.plan.level_s)
        ticks = samples.ticks()
        counted_w = (ticks[-1].energy_j - ticks[0].energy_j) / (ticks[-1].time_s - ticks[0].time_s)
        inside = [(time_s, watts) for time_s, watts in samples.powers if ticks[0].time_s <= time_s <= ticks[-1].time_s]
        summed_j = sum((one[1] + two[1]) / 2 * (two[0] - one[0]) for one, two in pairwise(inside))
        levels[name] = counted_w / (summed_j / (inside[-1][0] - inside[0][0]))
        power[name] = samples.raw_power()
    worst = max(abs(ratio - 1) for ratio in levels.values())
    return {"passes": worst <= 0.02, "worst": worst, "counter_over_power": levels, "raw_power": power}


def linear(rig: Rig) -> Found:
    """Hold joules against the number of batches: a straight line with R2 above 0.999."""
    runner = rig.loads.network(BIG, 64, "fp32")
    base = max(1, round(rig.plan.linear_s / rig.run(runner, rig.plan.warm_s)))
    counts = [base * level for level in range(1, rig.plan.linear_levels + 1)]
    random.Random(0).shuffle(counts)
    joules = [
        rig.joules_of(lambda: run_many(runner, count), place / len(counts))[0]  # noqa: B023 - called at once
        for place, count in enumerate(counts)
    ]
    slope, r2 = fit_line(counts, joules)
    return {"passes": r2 > 0.999, "r2": r2, "batch_j": slope, "num_batches": counts, "energy_j": joules}


def repeatable(rig: Rig) -> Found:
    """Repeat one window of running: the spread of joules per image is below 1 % at batch 256, 2 % at batch 1."""
    found: Found = {"passes": True}
    settings = EnergySettings(window_s=rig.plan.window_s)
    for batch, target in ((256, 0.01), (1, 0.02)):
        runner = rig.loads.network(BIG, batch, "fp32")
        rig.run(runner, rig.plan.warm_s)
        log = TickLog(rig.meter, rig.period_s, settings, rig.clock)
        with log.polling():
            bench = Bench(runner, log, settings, rig.clock, rig.run(runner, 0.5), rig.period_s, False)
            phases = [place / rig.plan.num_windows for place in range(rig.plan.num_windows)]
            energies = [run_window(bench, 0, phase).energy_j for phase in phases]
        cv = stdev(energies) / fmean(energies)
        found[f"cv_batch_{batch}"], found[f"image_j_batch_{batch}"] = cv, energies
        found["passes"] = found["passes"] and cv < target
    return found


def additive(rig: Rig) -> Found:
    """Hold joules of A, then those of B, against A and B in one go: within 2 %."""
    works = list[Callable[[], None]]()
    for model in (BIG, SMALL):
        runner = rig.loads.network(model, 64, "fp32")
        count = max(1, round(rig.plan.additive_s / rig.run(runner, rig.plan.warm_s)))
        works.append(lambda runner=runner, count=count: run_many(runner, count))  # type: ignore[misc]
    one, other = works
    joules: dict[str, list[float]] = {"a": [], "b": [], "a_then_b": []}
    for place in range(rig.plan.additive_repeats):
        for name, parts in {"a": [one], "b": [other], "a_then_b": [one, other]}.items():
            phase = place / rig.plan.additive_repeats
            joules[name].append(rig.joules_of(lambda: [part() for part in parts], phase)[0])  # noqa: B023
    ratio = fmean(joules["a_then_b"]) / (fmean(joules["a"]) + fmean(joules["b"]))
    return {"passes": abs(ratio - 1) <= 0.02, "together_over_sum": ratio, "energy_j": joules}


def zeus(rig: Rig) -> Found:
    """Measure the same 10 s with zeus: within 1 % of one another."""
    try:
        monitor = import_module("zeus.monitor").ZeusMonitor(gpu_indices=[rig.loads.index])
    except ImportError as error:
        return {"skipped": f"zeus cannot be imported: {error}"}
    runner = rig.loads.network(BIG, 8, "fp32")
    log = TickLog(rig.meter, rig.period_s, EnergySettings(), rig.clock)

    def run_to_tick(duration_s: float) -> None:
        """Run on until just after a tick, so that what the counter does not show yet is little."""
        rig.run(runner, duration_s)
        count = len(log.ticks)
        while len(log.ticks) == count:
            runner.run()
            log.check()

    with log.polling():
        run_to_tick(rig.plan.warm_s)
        start_s = rig.clock.now_s()
        monitor.begin_window("same")
        run_to_tick(rig.plan.zeus_s)
        theirs_j = float(monitor.end_window("same").total_energy)
        duration_s = rig.clock.now_s() - start_s
    ticks = log.between(start_s + 2 * rig.period_s, start_s + duration_s)
    ours_j = (ticks[-1].energy_j - ticks[0].energy_j) / (ticks[-1].time_s - ticks[0].time_s) * duration_s
    ratio = ours_j / theirs_j
    return {"passes": abs(ratio - 1) <= 0.01, "ours_over_zeus": ratio, "ours_j": ours_j, "zeus_j": theirs_j}


def polling(rig: Rig) -> Found:
    """Run a small network at batch 1 with and without polling in turns: it costs below 1 % of the throughput."""
    found: Found = {"passes": True}
    for model in (SMALL, BIG):
        runner = rig.loads.network(model, 1, "fp32")
        rig.run(runner, rig.plan.warm_s)
        log = TickLog(rig.meter, rig.period_s, EnergySettings(), rig.clock)
        ratio, plain = cost_of(log.polling, runner, rig.clock, rig.plan.pairs, rig.plan.pair_s)
        found[model] = {**asdict(ratio), "images_per_s": plain}
        found[f"cost_{model}"] = 1 - ratio.median
        found["passes"] = found["passes"] and 1 - ratio.median < 0.01
    return found


def ranking(rig: Rig) -> Found:
    """Profile networks in fp32 and bf16 and rank them; those whose intervals overlap are tied."""
    values: dict[str, tuple[float, tuple[float, float]]] = {}
    found: Found = {"profiles": {}, "failed": {}, "ticks": {}}
    for model in rig.plan.models:
        for dtype in DTYPES:
            name = f"{model} {dtype}"
            rig.meter.take()
            try:
                measured = profile_network(rig, model, dtype)
            except (EcoNASError, RuntimeError) as error:  # one network that does not fit or run is no end
                found["failed"][name] = f"{type(error).__name__}: {error}"
                continue
            values[name] = (measured.value_j, measured.ranking_j)
            found["profiles"][name] = asdict(measured)
            found["ticks"][name] = rig.meter.take()
    return {**found, "ranks": rank(values), "passes": not found["failed"]}


SECTIONS: dict[str, Callable[[Rig], Found]] = {
    section.__name__: section
    for section in (device, sensor, aliasing, agreement, linear, repeatable, additive, zeus, polling, ranking)
}


def profile_network(rig: Rig, model: str, dtype: str) -> Measurement:
    """Return joules per image at batch 64."""
    return profile_energy(
        rig.loads.network(model, 64, dtype),
        rig.meter,
        rig.plan.settings,
        target=rig.plan.settings.near_target,
        period_s=rig.period_s,
        watch=GpuWatch(rig.meter),
        clock=rig.clock,
    )


def spread_over_phases(rig: Rig, rhythm_s: float) -> Found:
    """Return how the mean power of a rhythm depends on its phase.

    `flat_spread` is that of a load without rhythm; `error_by_phases` the worst error of the mean over so many evenly
    spaced phases, against that over all.
    """

    def powers_w(duty: float) -> list[float]:
        phases = [place / count for place in range(count)]
        random.Random(0).shuffle(phases)
        found = {phase: slope_w(rig, phase, duty, rhythm_s) for phase in phases}
        return [found[phase] for phase in sorted(phases)]

    count = 8
    rhythmic, flat = powers_w(0.5), powers_w(1.0)
    spread, flat_spread = ((max(found) - min(found)) / fmean(found) for found in (rhythmic, flat))
    errors = {}
    for num in (1, 2, 4):
        means = [fmean(rhythmic[first :: count // num]) for first in range(count // num)]
        errors[num] = max(abs(mean / fmean(rhythmic) - 1) for mean in means)
    return {
        "rhythm_s": rhythm_s,
        "spread": spread,
        "flat_spread": flat_spread,
        "error_by_phases": errors,
        "powers_w": rhythmic,
        "flat_powers_w": flat,
    }


def slope_w(rig: Rig, phase: float, duty: float, rhythm_s: float) -> float:
    """Return the power by ticks of a load that starts at a phase of its rhythm after a tick."""
    log, periods = TickLog(rig.meter, rig.period_s, FINE, rig.clock), rig.plan.window_periods
    with log.polling():
        rig.clock.sleep(2 * rig.period_s)
        log.wait_for_tick()
        rig.clock.sleep(phase * rhythm_s)
        start_s = rig.clock.now_s()
        rig.run_square(rhythm_s, duty, (periods + 3) * rhythm_s)
    ticks = log.between(start_s + 2 * rhythm_s, start_s + (periods + 3) * rhythm_s)
    return (ticks[-1].energy_j - ticks[0].energy_j) / (ticks[-1].time_s - ticks[0].time_s)


def rank(values: dict[str, tuple[float, tuple[float, float]]]) -> list[Found]:
    """Return names by value; a rank counts those that are surely better, and ties are those that overlap."""
    return [
        {
            "rank": 1 + sum(interval[1] < low for _, interval in values.values()),
            "name": name,
            "image_j": value,
            "interval_j": [low, high],
            "tied_with": [
                other
                for other, (_, interval) in values.items()
                if other != name and interval[0] <= high and low <= interval[1]
            ],
        }
        for name, (value, (low, high)) in sorted(values.items(), key=lambda item: item[1][0])
    ]


def run_many(runner: Runner, count: int) -> None:
    for _ in range(count):
        runner.run()
    runner.synchronise()


def describe_sensor(updates: Sequence[tuple[float, float]], pieces: Sequence[tuple[float, float]]) -> Found:
    """Return how often something updates and what it sees; only a count where it hardly moved."""
    if len(updates) < MIN_UPDATES:
        return {"num_updates": len(updates)}
    period_s = fit_period([time_s for time_s, _ in updates])
    return {"num_updates": len(updates), "period_s": period_s, **fit_window(updates, pieces, period_s)}


def fit_period(times_s: Sequence[float]) -> float:
    """Return the period of updates, some of which were not seen: the slope of their times over their numbers."""
    gaps_s = [two - one for one, two in pairwise(times_s)]
    usual_s = sorted(gaps_s)[len(gaps_s) // 5]
    numbers = list(accumulate((max(1, round(gap_s / usual_s)) for gap_s in gaps_s), initial=0))
    return fit_line(numbers, times_s)[0]


def fit_window(
    updates: Sequence[tuple[float, float]], pieces: Sequence[tuple[float, float]], period_s: float
) -> dict[str, float]:
    """Return the stretch before an update, and its lag, whose share of load explains the powers best.

    Args:
        updates: (seconds, watts).
        pieces: From when to when the load was on.
        period_s: Of the updates.
    """
    starts_s = [on_s for on_s, _ in pieces]
    before_s = list(accumulate((off_s - on_s for on_s, off_s in pieces), initial=0.0))
    updates = [update for update in updates if pieces[0][0] + period_s < update[0] < pieces[-1][1]]
    updates = updates[:: max(1, len(updates) // 200)]
    powers_w = [power_w for _, power_w in updates]

    def on_until(time_s: float) -> float:
        place = bisect_right(starts_s, time_s) - 1
        return before_s[place] + min(time_s, pieces[place][1]) - starts_s[place] if place >= 0 else 0.0

    def r2(window_s: float, lag_s: float) -> float:
        ends = [time_s - lag_s for time_s, _ in updates]
        return fit_line([(on_until(end_s) - on_until(end_s - window_s)) / window_s for end_s in ends], powers_w)[1]

    shares = [0.04 * 1.15**step for step in range(42)]  # up to 12 periods
    places = [(share * period_s, lag / 20 * period_s) for share in shares for lag in range(21)]
    window_s, lag_s = max(places, key=lambda place: r2(*place))
    for width in (0.1, 0.03):
        places = [
            (window_s * (1 + width * step / 5), max(0.0, lag_s + width / 2 * period_s * lag / 5))
            for step in range(-8, 9)
            for lag in range(-8, 9)
        ]
        window_s, lag_s = max(places, key=lambda place: r2(*place))
    return {"window_s": window_s, "lag_s": lag_s, "share": window_s / period_s, "r2": r2(window_s, lag_s)}


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float]:
    """Return slope and R2 of the straight line through points; 0 where one of the two does not vary."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    xx, yy = sum((x - mean_x) ** 2 for x in xs), sum((y - mean_y) ** 2 for y in ys)
    xy = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return (xy / xx, xy**2 / (xx * yy)) if xx > 0 and yy > 0 else (0.0, 0.0)


def differences(values: Sequence[int]) -> list[int]:
    return [two - one for one, two in pairwise([0, *values])]


if __name__ == "__main__":
    sys.exit(main())
