"""What does measuring cost: the throughput that polling a counter takes, and the seconds of one profile?

A small network runs on the CPU over a tree of files that counts like RAPL, driven in real time by another process. It
runs with and without polling in turns, since machines are noisy; the figure is the median of the ratios of neighbours.
What a real register costs to read, beyond a file, is not in it.

    python experiments/benchmarks/polling_cost.py
"""

import argparse
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median

import timm
import torch

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.meter import EnergyMeter
from ecoNAS.energy.meters.calibration import find_period
from ecoNAS.energy.meters.rapl import RaplMeter
from ecoNAS.energy.profile import profile_energy
from ecoNAS.energy.runner import CallableRunner, Runner
from ecoNAS.energy.ticks import TickLog
from ecoNAS.energy_settings import EnergySettings

FAKE = Path(__file__).resolve().parents[2] / "tests" / "fake_powercap.py"
POWER_W = 40.0
OFTEN_S = 0.005
TARGET_S = 15.0  # of a profile of a flat load


@dataclass(frozen=True)
class Ratio:
    """The median of ratios of neighbours and its 95 % interval, of order statistics: no distribution is assumed."""

    median: float
    low: float
    high: float
    num_pairs: int

    def __str__(self) -> str:
        return f"{self.median:.4f} [{self.low:.4f}, {self.high:.4f}] in {self.num_pairs} pairs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mobilenetv3_small_050", help="of timm")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=40, help="of runs with and without polling")
    parser.add_argument("--seconds", type=float, default=0.25, help="of each run")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runner = cpu_runner(arguments.model, arguments.batch)
    with tempfile.TemporaryDirectory() as name, driven_tree(Path(name)), RaplMeter(Path(name)) as meter:
        period_s = find_period(meter)
        show_polling(runner, meter, period_s, arguments.pairs, arguments.seconds)
        show_profile(runner, meter, period_s)


def show_polling(runner: Runner, meter: EnergyMeter, period_s: float, pairs: int, seconds: float) -> None:
    """Print the throughput with polling over that without, also for more of it and for a thread that only wakes."""
    images_per_s(runner, seconds, REAL_CLOCK)  # warm
    usual, often = EnergySettings(), EnergySettings(fast_poll_s=OFTEN_S)
    for name, aside in {
        f"as the protocol polls such a counter, every {usual.fast_poll_s * 1e3:.0f} ms": TickLog(
            meter, period_s, usual
        ).polling,
        f"polling every {OFTEN_S * 1e3:.0f} ms": TickLog(meter, period_s, often).polling,
        f"waking every {OFTEN_S * 1e3:.0f} ms": lambda: REAL_CLOCK.every(OFTEN_S, lambda: None),
    }.items():
        ratio, plain = cost_of(aside, runner, REAL_CLOCK, pairs, seconds)
        print(
            f"{name}: {ratio} of the throughput without ({plain:.1f} images/s); costs {1 - ratio.median:+.2%}, "
            "target below 1 %",
            flush=True,
        )


def show_profile(runner: Runner, meter: EnergyMeter, period_s: float) -> None:
    """Print how long a first pass over a flat load takes, and what it made of the known power."""
    settings = EnergySettings()
    found = profile_energy(runner, meter, settings, target=settings.first_target, period_s=period_s)
    print(
        f"profile of a flat load: {found.duration_s:.1f} s (target below {TARGET_S:.0f} s), {len(found.windows)} "
        f"windows, status {found.status}, half of the interval {found.repeatability:.2%}, "
        f"power {found.mean_power_w / POWER_W:.4f} of the true one, period of the counter {period_s * 1e3:.1f} ms"
    )


def cost_of(
    aside: Callable[[], AbstractContextManager[None]], runner: Runner, clock: Clock, pairs: int, seconds: float
) -> tuple[Ratio, float]:
    """Return the throughput with something going on aside over that without, and the latter in images per second."""

    def rate(context: AbstractContextManager[None]) -> float:
        with context:
            return images_per_s(runner, seconds, clock)

    return interleaved(lambda: rate(aside()), lambda: rate(nullcontext()), pairs)


def interleaved(one: Callable[[], float], other: Callable[[], float], pairs: int) -> tuple[Ratio, float]:
    """Return the ratio of `one` over `other`, run in pairs whose order alternates, and the median of `other`."""
    ratios, others = [], []
    for place in range(pairs):
        first, second = (one, other) if place % 2 else (other, one)
        found = {first: first(), second: second()}
        ratios.append(found[one] / found[other])
        others.append(found[other])
    return median_ratio(ratios), median(others)


def median_ratio(ratios: list[float]) -> Ratio:
    """Return the median and its 95 % interval: the widest of order statistics that miss it with 2.5 % on each side."""
    ordered, count = sorted(ratios), len(ratios)
    place, missed = 0, 1 / 2**count
    while place + 1 < (count + 1) // 2 and missed + math.comb(count, place + 1) / 2**count <= 0.025:
        place += 1
        missed += math.comb(count, place) / 2**count
    return Ratio(median(ordered), ordered[place], ordered[count - 1 - place], count)


def images_per_s(runner: Runner, duration_s: float, clock: Clock) -> float:
    """Return the throughput over some seconds."""
    runner.synchronise()
    start_s, count = clock.now_s(), 0
    while clock.now_s() - start_s < duration_s:
        runner.run()
        count += 1
    runner.synchronise()
    return count * runner.batch / (clock.now_s() - start_s)


def cpu_runner(model: str, batch: int) -> CallableRunner:
    """Return a network on the CPU, whose inputs rotate over four buffers."""
    network = timm.create_model(model, pretrained=False).eval()
    inputs = cycle([torch.randn(batch, 3, 224, 224) for _ in range(4)])

    def run() -> None:
        with torch.inference_mode():
            network(next(inputs))

    return CallableRunner("eager", batch, run)


@contextmanager
def driven_tree(root: Path) -> Iterator[None]:
    """Let a process of its own count `POWER_W` in a tree below `root`."""
    command = [sys.executable, str(FAKE), str(root), "--power-w", str(POWER_W)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        try:
            assert driver.stdout is not None
            if driver.stdout.readline().strip() != "ready":
                raise SystemExit(f"{FAKE} did not start")
            yield
        finally:
            driver.kill()


if __name__ == "__main__":
    main()
