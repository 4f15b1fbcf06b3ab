"""Does searching help? Final hypervolume of each sampler against random sampling with the same number of trials.

Real trainings on digits, in process, paired by seed. All runs are scored on one scale in accuracy and MACs, so that no
run chooses its own. Prints one row a sampler and, with --json, the figures behind it.

    python experiments/benchmarks/search_vs_random.py --seeds 10
"""

import argparse
import json
import math
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from scipy.stats import t as student

from ecoNAS import ExperimentConfig, load_run, prepare, run_search
from ecoNAS.pareto import hypervolume
from ecoNAS.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
SAMPLERS = ("random", "nsga2", "tpe", "auto")
# Accuracy is scored from 0.5 up, MACs from 2.5 k to the bound of the experiment on a logarithmic scale: a network of
# half the MACs is worth the same everywhere on the front.
WORST_ACCURACY, BEST_MACS, WORST_MACS = 0.5, 2.5e3, 1.5e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    jobs = [(name, seed, arguments.trials, arguments.epochs) for seed in range(arguments.seeds) for name in SAMPLERS]
    results: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
        for result in pool.imap_unordered(search, jobs):
            results.append(result)
            print(f"{len(results)}/{len(jobs)} {result}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(results, indent=1))
    show(results, arguments.trials)


def search(job: tuple[str, int, int, int]) -> dict[str, Any]:
    """Run one search and score it."""
    torch.set_num_threads(1)
    sampler, seed, trials, epochs = job
    values = {
        "objectives": ["accuracy", "macs"],
        "search.trials": trials,
        "search.sampler": sampler,
        "search.seed": seed,
        "training.epochs": epochs,
        "workers": {"kind": "in_process", "device": "cpu"},
        "report.every_s": 1e9,
    }
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        config = ExperimentConfig.from_yaml(ROOT / "experiments" / "digits.yaml", values)
        run_search(prepare(config), RunFolder(folder), resume=False)
        found = load_run(folder)
        points = [(t.scores["accuracy"].value, t.scores["macs"].value) for t in found.trials if t.may_be_on_front]
    return {
        "sampler": sampler,
        "seed": seed,
        "hypervolume": hypervolume_of(points),
        "best_accuracy": max(accuracy for accuracy, _ in points),
        "front": len(found.front_trials()),
        "seconds": round(time.perf_counter() - started, 1),
    }


def hypervolume_of(points: list[tuple[float, float]]) -> float:
    """Return the hypervolume of (accuracy, MACs) on the fixed scale, from 0 to 1."""
    span = math.log(WORST_MACS / BEST_MACS)
    scaled = [
        ((1 - accuracy) / (1 - WORST_ACCURACY), max(0.0, math.log(macs / BEST_MACS) / span))
        for accuracy, macs in points
    ]
    return float(hypervolume(scaled, (1.0, 1.0), ("minimize", "minimize")))


def show(results: list[dict[str, Any]], trials: int) -> None:
    """Print the mean over seeds, and the paired difference to random with its 95 % interval."""
    by_run = {(item["sampler"], item["seed"]): item["hypervolume"] for item in results}
    seeds = sorted({item["seed"] for item in results})
    print(f"final hypervolume after {trials} trials, {len(seeds)} paired seeds (larger is better, at most 1)")
    print(f"{'sampler':10} {'mean':>8} {'sd':>7} {'minus random, 95 % interval':>32} {'better in':>10}")
    for sampler in SAMPLERS:
        values = [by_run[sampler, seed] for seed in seeds]
        differences = [by_run[sampler, seed] - by_run["random", seed] for seed in seeds]
        spread = stdev(values) if len(seeds) > 1 else math.nan
        row = f"{sampler:10} {mean(values):8.4f} {spread:7.4f}"
        if sampler != "random" and len(seeds) > 1:
            half = student.ppf(0.975, len(seeds) - 1) * stdev(differences) / math.sqrt(len(seeds))
            wins = sum(difference > 0 for difference in differences)
            row += f" {mean(differences):+12.4f} [{mean(differences) - half:+.4f}, {mean(differences) + half:+.4f}]"
            row += f" {wins:>6}/{len(seeds)}"
        print(row)


if __name__ == "__main__":
    main()
