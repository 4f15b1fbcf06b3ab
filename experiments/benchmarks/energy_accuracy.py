"""How wrong are joules per image? Common ways and ours against simulated loads whose joules are known exactly.

The card is simulated: a counter and a power sensor that move every 100 ms and see 25 ms of them, unless the row says
otherwise. Compared are a difference of the counter over 1 s of running and over as long as the protocol took, the mean
of the power polled every 10 ms over 1 s, and the protocol. `rms` and `worst` are errors relative to the truth. The last
columns say how often the protocol's 95 % interval holds the truth: the absolute one, with the gain of a card; the one
for ranking, with the floor of 1 %; and its statistical part alone.

    python experiments/benchmarks/energy_accuracy.py --runs 200
"""

import argparse
import math
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))  # the fakes are those of the tests

from energy_lab import (
    CpuMeter,
    Lab,
    Noise,
    NoisyLoad,
    Pieces,
    has_real_trace,
    real_batch,
    rms,
    square,
    worst,
)
from power_trace import PowerTrace

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.profile import profile_energy
from ecoNAS.measurement import Measurement

FLAT: Pieces = [(0.02, 200.0)]
METHODS = ("counter 1 s", "counter as long", "polling 1 s", "ours")


@dataclass
class Row:
    """One line of the table: a load, drawn anew for every run, and the card it runs on."""

    name: str
    pieces: Callable[[random.Random], Pieces]
    noise: Noise | None = None
    target: float = 0.02
    card: dict[str, float | bool] = field(default_factory=dict)


@dataclass
class Errors:
    """What came out of one row."""

    by_method: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in METHODS})
    holds_absolute: int = 0
    holds_ranking: int = 0
    holds_statistical: int = 0
    unmet: int = 0
    num_blocks: int = 0
    duration_s: float = 0.0

    def take(self, found: Measurement, true_j: float) -> None:
        """Note one profile."""
        self.by_method["ours"].append(found.value_j / true_j - 1)
        self.holds_absolute += found.absolute_j[0] <= true_j <= found.absolute_j[1]
        self.holds_ranking += found.ranking_j[0] <= true_j <= found.ranking_j[1]
        self.holds_statistical += abs(found.value_j - true_j) <= found.repeatability * found.value_j
        self.unmet += found.status == "ci_unmet"
        self.num_blocks += found.num_blocks
        self.duration_s += found.duration_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="of every load, with seeds of their own")
    runs = parser.parse_args().runs
    heads = "".join(f"{name:>18}" for name in METHODS)
    print(f"{'':38}{'rms / worst error of':>72}{'':25}{'truth within the interval':>28}")
    print(f"{f'{runs} runs a row':38}{heads}  blocks  seconds  unmet  absolute  ranking  statistical")
    for row in rows():
        show(row.name, on_card(row, runs), runs)
    show("CPU counter of 1 ms, noise 3 %", on_cpu(runs), runs)


def rows() -> list[Row]:
    """Return the loads of the accuracy tests, then those that stray by chance."""
    found = [
        Row(f"flat, T {period_s * 1e3:.0f} ms", lambda rng: [(0.007, 220.0)], card={"period_s": period_s, **seen})
        for period_s, seen in ((0.02, {"window_s": 0.02}), (0.1, {}), (0.104, {}))
    ]
    found += [
        Row("rhythm 3-400 ms, duty 0.3-0.7", rhythm),
        Row("the same, first pass (target 10 %)", rhythm, target=0.10),
        Row("rhythm 100 ms, duty 0.3-0.7", lambda rng: square(0.1, rng.uniform(0.3, 0.7))),
        Row("2-5 pulses within a batch of 100 ms", pulses),
        Row("rhythm, sensor period jitters by 5 %", rhythm, card={"jitter": 0.05}),
        Row("rhythm, the counter counts the truth", rhythm, card={"is_sampled": False}),
        Row("flat, gain of the card 0.95", lambda rng: FLAT, card={"gain": 0.95}),
    ]
    if has_real_trace():
        batch = real_batch()
        found.append(Row("the load of a real A100", lambda rng: batch, card={"period_s": 0.1035}))
    noisy = Noise(window=0.04, batch=0.02)
    found += [
        Row("noise 2 %, target 2 %", lambda rng: FLAT, Noise(window=0.02, batch=0.02)),
        Row("noise 4 %, target 10 %", lambda rng: FLAT, noisy, 0.10),
        Row("noise 4 %, target 2 %", lambda rng: FLAT, noisy),
        Row("noise 4 %, batch time jitters by 10 %", lambda rng: FLAT, Noise(0.04, 0.02, 0.10), 0.05),
        Row("rhythm, noise 3 %, target 5 %", rhythm, Noise(window=0.03, batch=0.02), 0.05),
        Row("wanders by 0.5 % within 20 s", lambda rng: FLAT, Noise(drift=0.005, drift_s=20.0)),
        Row("wanders by 2 % within 20 s", lambda rng: FLAT, Noise(drift=0.02, drift_s=20.0)),
    ]
    return found


def rhythm(rng: random.Random) -> Pieces:
    """Return one batch that is one pulse of 3 to 400 ms."""
    return square(math.exp(rng.uniform(math.log(0.003), math.log(0.4))), rng.uniform(0.3, 0.7))


def pulses(rng: random.Random) -> Pieces:
    """Return one batch of 100 ms that is several pulses."""
    count, duty = rng.randint(2, 5), rng.uniform(0.3, 0.7)
    return [piece for _ in range(count) for piece in square(0.1 / count, duty)]


def on_card(row: Row, runs: int) -> Errors:
    """Measure the loads of a row in every way, each time on a fresh card whose sensor stands anywhere in its period."""
    errors = Errors()
    for seed in range(runs):
        rng = random.Random(seed)
        phase_s, pieces = rng.random() * 0.1, row.pieces(rng)

        def lab() -> Lab:
            return Lab(**{"phase_s": phase_s, "seed": seed, **row.card})  # noqa: B023 - called at once

        fresh = lab()
        load = fresh.load(pieces, row.noise, seed)
        found, true_j = fresh.profile(load, row.target, seed), load.true_energy_j
        errors.take(found, true_j)
        for name, duration_s in (("counter 1 s", 1.0), ("counter as long", found.duration_s)):
            fresh = lab()
            counted_j, polled_j = fresh.naive(fresh.load(pieces, row.noise, seed), duration_s)
            errors.by_method[name].append(counted_j / true_j - 1)
            if name == "counter 1 s":
                errors.by_method["polling 1 s"].append(polled_j / true_j - 1)
    return errors


def on_cpu(runs: int) -> Errors:
    """Profile a noisy load on the counter of a package."""
    errors = Errors()
    for seed in range(runs):
        clock, trace = VirtualClock(), PowerTrace(10.0)
        load = NoisyLoad(trace, clock, [(0.03, 60.0)], 8, noise=Noise(window=0.03), seed=seed)
        with CpuMeter(trace, clock) as meter:
            found = profile_energy(load, meter, target=0.10, period_s=meter.PERIOD_S, seed=seed, clock=clock)
        errors.take(found, load.true_energy_j)
    return errors


def show(name: str, errors: Errors, runs: int) -> None:
    """Print one line."""
    cells = "".join(
        f"{f'{rms(values):.2%} / {worst(values):.2%}' if values else '-':>18}" for values in errors.by_method.values()
    )
    print(
        f"{name:38}{cells}{errors.num_blocks / runs:8.1f}{errors.duration_s / runs:9.1f}{errors.unmet / runs:7.0%}"
        f"{errors.holds_absolute / runs:10.1%}{errors.holds_ranking / runs:9.1%}"
        f"{errors.holds_statistical / runs:13.1%}",
        flush=True,
    )


if __name__ == "__main__":
    main()
