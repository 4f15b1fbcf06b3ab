"""A fake card on a virtual clock with loads whose joules are known, and two common ways of measuring to compare with.

Shared by the tests of the protocol and by `experiments/benchmarks/energy_accuracy.py`.
"""

import csv
import gzip
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fake_nvml import FakeGpu, FakeNvml
from power_trace import PowerTrace, SimulatedLoad

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.meter import Reading, SimulatedMeter
from ecoNAS.energy.meters.nvml import NvmlMeter
from ecoNAS.energy.profile import profile_energy
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.measurement import DeviceState, Measurement, MeterInfo

TRACE = Path(__file__).parents[2] / "shared" / "energy"
IDLE_W = 60.0
Pieces = Sequence[tuple[float, float]]


@dataclass
class Noise:
    """How a load strays by chance from its pieces, as relative standard deviations.

    Attributes:
        window: Of the power, drawn anew whenever the load was interrupted.
        batch: Of the power, drawn anew for every batch.
        time: Of the seconds of a batch.
        drift: Of a power that wanders (an Ornstein-Uhlenbeck process)
        drift_s: within so many seconds.
    """

    window: float = 0.0
    batch: float = 0.0
    time: float = 0.0
    drift: float = 0.0
    drift_s: float = 5.0


@dataclass
class NoisyLoad(SimulatedLoad):
    """A load that strays by chance; its true joules are those of its pieces, which are its mean."""

    noise: Noise = field(default_factory=Noise)
    seed: int = 0

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._level, self._wander = 1.0, self._rng.gauss(0.0, self.noise.drift)
        self._ended_s = -math.inf

    def run(self) -> None:
        noise, rng, now_s = self.noise, self._rng, self.clock.now_s()
        if now_s > self._ended_s + 1e-6:
            self._level = 1 + noise.window * rng.gauss(0, 1)
        if noise.drift:
            kept = math.exp(-min(now_s - self._ended_s, 1e3) / noise.drift_s)
            self._wander = kept * self._wander + math.sqrt(1 - kept**2) * rng.gauss(0, noise.drift)
            self._ended_s = now_s
        power = self._level * (1 + noise.batch * rng.gauss(0, 1)) + self._wander
        time = max(0.1, 1 + noise.time * rng.gauss(0, 1))
        for duration_s, power_w in self.pieces:
            self.trace.put(self.clock.now_s(), duration_s * time, power_w * power)
            self.clock.sleep(duration_s * time)
        if not noise.drift:
            self._ended_s = self.clock.now_s()


class Lab:
    """A fake card, and loads to run on it.

    Args:
        card: What differs from the fake card's own values.
    """

    def __init__(self, **card: float | bool) -> None:
        self.clock, self.trace = VirtualClock(5.0), PowerTrace(IDLE_W)
        self.gpu = FakeGpu(self.trace, **card)  # type: ignore[arg-type]
        self.meter = NvmlMeter(nvml=FakeNvml(self.clock, self.gpu), clock=self.clock)

    def load(self, pieces: Pieces, noise: Noise | None = None, seed: int = 0, batch: int = 8) -> SimulatedLoad:
        if noise is None:
            return SimulatedLoad(self.trace, self.clock, pieces, batch)
        return NoisyLoad(self.trace, self.clock, pieces, batch, noise=noise, seed=seed)

    def profile(
        self, load: SimulatedLoad, target: float = 0.05, seed: int = 0, settings: EnergySettings | None = None
    ) -> Measurement:
        with self.meter:
            return profile_energy(
                load,
                self.meter,
                settings or EnergySettings(),
                target=target,
                period_s=self.gpu.period_s,
                seed=seed,
                clock=self.clock,
            )

    def naive(self, load: SimulatedLoad, duration_s: float = 1.0) -> tuple[float, float]:
        """Return joules per image as commonly measured: a difference of the counter, and the mean of polled power.

        Power is asked for every 10 ms, more often than any common tool does.
        """
        with self.meter:
            powers_w = list[float]()
            before, start_s, images = self.meter.read(), self.clock.now_s(), 0
            with self.clock.every(0.01, lambda: powers_w.append(self.gpu.power_mw(self.clock.now_s()) / 1e3)):
                while self.clock.now_s() - start_s < duration_s:
                    load.run()
                    images += load.batch
            elapsed_s = self.clock.now_s() - start_s
            counted_j = self.meter.read().energy_j - before.energy_j
        return counted_j / images, sum(powers_w) / len(powers_w) * elapsed_s / images


class CpuMeter(SimulatedMeter):
    """A counter of a package that moves every millisecond, over a power that is known exactly."""

    PERIOD_S = 0.001

    def __init__(self, trace: PowerTrace, clock: VirtualClock) -> None:
        super().__init__(0.0, clock)
        self.info = MeterInfo("simulated", "simulated", "energy_counter", "package", "simulated:cpu")
        self._trace = trace

    def state(self) -> DeviceState:
        return DeviceState()

    def read(self) -> Reading:
        opened_s, now_s = self._require_open(), self._clock.now_s()
        return Reading(self._trace.energy_j(opened_s, now_s - now_s % self.PERIOD_S), now_s)


def square(rhythm_s: float, duty: float, high_w: float = 250.0, low_w: float = 80.0) -> Pieces:
    """Return one batch that takes a rhythm, of which the first part is spent at high power."""
    return [(rhythm_s * duty, high_w), (rhythm_s * (1 - duty), low_w)]


def relative_error(measurement: Measurement, load: SimulatedLoad) -> float:
    return measurement.value_j / load.true_energy_j - 1


def worst(errors: Sequence[float]) -> float:
    return max(abs(error) for error in errors)


def rms(errors: Sequence[float]) -> float:
    return math.sqrt(sum(error**2 for error in errors) / len(errors))


def has_real_trace() -> bool:
    return (TRACE / "a100_square_load_truth.csv.gz").exists()


def read_trace(name: str) -> dict[str, list[float]]:
    """Return the columns of a file of the real card; see the README beside it."""
    with gzip.open(TRACE / name, "rt") as file:
        rows = list(csv.DictReader(file))
    return {column: [float(row[column]) for row in rows if row[column]] for column in rows[0]}


def real_batch(num_pieces: int = 100) -> Pieces:
    """Return one rhythm of the load that ran on the real card, as the external meter saw it."""
    truth = read_trace("a100_square_load_truth.csv.gz")
    trace = PowerTrace.from_samples(truth["time_s"], truth["power_w"])
    rise_s, rhythm_s = 2.093277, 0.10427  # where the load switches on, and its measured rhythm
    step_s = rhythm_s / num_pieces
    edges = [rise_s + place * step_s for place in range(num_pieces)]
    return [(step_s, trace.mean_power_w(edge, edge + step_s)) for edge in edges]
