"""How long does who measures wait for its turn? The lane against a plain lock, beside trainings that hardly let go.

Processes that train hold the device in common for batches of 20 ms and re-take it after each; another asks for it
alone, time and again. A plain lock is `flock` with LOCK_SH for batches and LOCK_EX to measure: Linux hands it to
whoever finds it compatible, so that batches that overlap keep the one who measures out for as long as they overlap.
The lane lets trainings stop at their next batch boundary.

    python experiments/benchmarks/lane_waits.py --rounds 50
"""

import argparse
import fcntl
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import median

from ecoNAS.energy.lane import Lane

BETWEEN_S = 0.05  # at most, between two rounds: a wait is asked for at any moment of a batch
HELD_S = 0.005
WARM_UP_S = 2.0  # until all trainings run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--trainings", type=int, default=2)
    parser.add_argument("--batch-ms", type=float, default=20.0)
    arguments = parser.parse_args()
    print(f"{arguments.trainings} trainings, batches of {arguments.batch_ms:g} ms, {arguments.rounds} rounds")
    print(f"{'':10} {'median wait':>12} {'worst wait':>12} {'worst, in batches':>18}")
    for way in ("flock", "lane"):
        waits_s = measure_waits(way, arguments.rounds, arguments.trainings, arguments.batch_ms / 1e3)
        in_batches = max(waits_s) / (arguments.batch_ms / 1e3)
        print(f"{way:10} {median(waits_s) * 1e3:9.1f} ms {max(waits_s) * 1e3:9.1f} ms {in_batches:18.1f}", flush=True)


def measure_waits(way: str, rounds: int, num_trainings: int, batch_s: float) -> list[float]:
    """Return the seconds that each round waited beside trainings in processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        spawn = multiprocessing.get_context("spawn")
        trainings = [
            spawn.Process(target=train, args=(way, Path(folder), batch_s), daemon=True) for _ in range(num_trainings)
        ]
        for training in trainings:
            training.start()
        try:
            time.sleep(WARM_UP_S)
            waits_s = [wait_for_turn(way, Path(folder)) for _ in range(rounds)]
            if not all(training.is_alive() for training in trainings):
                raise SystemExit("a training ended early; see its error above")
            return waits_s
        finally:
            for training in trainings:
                training.kill()
                training.join()


def train(way: str, folder: Path, batch_s: float) -> None:
    """Run batches until killed."""
    if way == "lane":
        with Lane("benchmark", folder).training() as turn:
            while True:
                time.sleep(batch_s)
                turn.yield_()
    while True:
        with plain_lock(folder, fcntl.LOCK_SH):
            time.sleep(batch_s)


def wait_for_turn(way: str, folder: Path) -> float:
    """Return after how many seconds the device was ours alone."""
    time.sleep(random.uniform(0.0, BETWEEN_S))
    alone: AbstractContextManager[None] = (
        Lane("benchmark", folder).measuring() if way == "lane" else plain_lock(folder, fcntl.LOCK_EX)
    )
    asked_s = time.perf_counter()
    with alone:
        waited_s = time.perf_counter() - asked_s
        time.sleep(HELD_S)
    return waited_s


@contextmanager
def plain_lock(folder: Path, how: int) -> Iterator[None]:
    file = os.open(folder / "plain", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(file, how)
        yield
    finally:
        os.close(file)


if __name__ == "__main__":
    main()
