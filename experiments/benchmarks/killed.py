"""Does a search with rungs survive kill -9 at any time? Kills one search again and again, and looks at what it leaves.

The driver and its workers are killed at random times, also while a checkpoint is written, and the search is resumed
until it ends. Then no part of a training may have been told twice, every candidate must have ended once, and, with one
worker in the driver's process, the candidates and scores must be those of a search that nobody killed.

    python experiments/benchmarks/killed.py --kills 30
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from ecoNAS import load_run
from ecoNAS.analysis.run import Run
from ecoNAS.events import RungReached, TrialEnded, TrialPromoted
from ecoNAS.records import Outcome

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--kind", choices=("in_process", "ray"), default="in_process")
    parser.add_argument("--longest", type=float, default=12.0, help="seconds that a driver lives at most")
    arguments = parser.parse_args()
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as place:
        folder, whole = Path(place) / "killed", Path(place) / "whole"
        command = [sys.executable, "-m", "ecoNAS", "search", str(ROOT / "experiments" / "digits.yaml")]
        for value in (
            f"search.trials={arguments.trials}",
            "search.halving={first: 1, factor: 2}",
            "training.epochs=6",
            f"workers={{kind: {arguments.kind}}}",
        ):
            command += ["--set", value]
        began_s, num_kills = time.monotonic(), 0
        while num_kills < arguments.kills:
            process = start(command, folder)
            try:
                process.wait(timeout=2.0 + rng.random() * (arguments.longest - 2.0))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # the workers too, as when the power fails
                process.wait()
                num_kills += 1
                continue
            break
        code = start(command, folder).wait()
        run = load_run(folder)
        print(f"{num_kills} kills, {time.monotonic() - began_s:.0f} s in all, exit code {code}")
        print(f"outcomes: {dict(run.counts)}")
        print(f"parts told twice: {num_repeated(run)}")
        print(f"left of checkpoints: {sum(1 for _ in (folder / 'checkpoints').rglob('*.safetensors'))}")
        if arguments.kind == "in_process":
            start(command, whole).wait()
            print(f"same candidates, outcomes and scores as undisturbed: {ends(run) == ends(load_run(whole))}")


def start(command: list[str], folder: Path) -> "subprocess.Popen[bytes]":
    """Start the search, or resume it, in a group of its own."""
    resume = ["--resume"] if (folder / "events.jsonl").exists() else []
    return subprocess.Popen(
        [*command, "--run-dir", str(folder), *resume],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def num_repeated(run: Run) -> int:
    """Return how many rungs, promotions and ends were told more than once."""
    told = Counter[tuple[str, int, int]]()
    for event in run.events:
        if isinstance(event, RungReached | TrialPromoted):
            told[event.type, event.trial, event.rung] += 1
        elif isinstance(event, TrialEnded) and event.outcome in (Outcome.EVALUATED, Outcome.STOPPED):
            told[event.type, event.trial, 0] += 1
    return sum(count - 1 for count in told.values())


def ends(run: Run) -> list[tuple[str, str, float | None]]:
    """Return what came of each trial."""
    return [
        (trial.digest, str(trial.outcome), trial.scores["accuracy"].value if "accuracy" in trial.scores else None)
        for trial in run.trials
    ]


if __name__ == "__main__":
    main()
