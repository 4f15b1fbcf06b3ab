"""Does searching help? Hypervolume of each sampler as it grows with the images trained, by real trainings.

In process, paired by seed. All runs are scored on one scale in accuracy and MACs, so that no run chooses its own; only
networks that were trained to the end count. Those that halve begin so many more networks that they train about as many
images. Prints a row a sampler, then what share of NSGA-II's images, training joules and seconds each needs to reach
NSGA-II's final hypervolume. Each search is written to a file as it ends, one JSON object a line; those that the file
holds already are not run again.

    python experiments/benchmarks/search_vs_random.py --seeds 10
    python experiments/benchmarks/search_vs_random.py --epochs 9 --samplers random nsga2 auto auto+halving
    ECONAS_DATA=data python experiments/benchmarks/search_vs_random.py --data flowers17 --seeds 3 --into flowers17.jsonl
"""

import argparse
import json
import math
import multiprocessing
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from scipy.stats import t as student

from ecoNAS import ExperimentConfig, load_run, prepare, run_search
from ecoNAS.analysis.run import Run
from ecoNAS.config import HalvingConfig
from ecoNAS.events import RungReached, TrialEnded
from ecoNAS.pareto import hypervolume_growth
from ecoNAS.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
PLAIN = ("random", "nsga2", "tpe", "auto")
SAMPLERS = (*PLAIN, "auto+proxies", "random+halving", "nsga2+halving", "auto+halving")
# Accuracy is scored from the first figure up, MACs between the others on a logarithmic scale: a network of half the
# MACs is worth the same everywhere on the front. The last figure is the bound of the experiment.
SCALES = {"digits": (0.5, 2.5e3, 1.5e6), "flowers17": (0.15, 1e4, 8e6), "cifar10_13k": (0.2, 2e4, 1e6)}
# What an experiment is searched with beside its file: photographs of half their size, so that an afternoon is enough.
CHANGES: dict[str, dict[str, Any]] = {"cifar10_13k": {"data.resolution": 16, "constraints": ["macs <= 1M"]}}
QUANTITIES = {"images": "images trained", "energy_j": "training energy (estimated)", "wall_s": "wall time"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=tuple(SCALES), default="digits")
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=PLAIN)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--first", type=int, default=1, help="epochs to the first rung of those that halve")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--into", type=Path, help="file of results, to go on from")
    arguments = parser.parse_args()
    jobs = [
        Job(arguments.data, name, seed, arguments.trials, arguments.epochs, arguments.first)
        for seed in range(arguments.seeds)
        for name in arguments.samplers
    ]
    results = read(arguments.into, jobs)
    known = {(result["sampler"], result["seed"]) for result in results}
    left = [job for job in jobs if (job.sampler, job.seed) not in known]
    with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
        for result in pool.imap_unordered(search, left):
            results.append(result)
            if arguments.into is not None:
                with arguments.into.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")
            final = result["hypervolume"][-1]
            print(
                f"{len(results)}/{len(jobs)} {result['sampler']}, seed {result['seed']}: {final:.4f}, "
                f"{result['seconds']} s",
                file=sys.stderr,
            )
    show(results, f"{arguments.data}, {arguments.trials} trials of {arguments.epochs} epochs")


@dataclass(frozen=True)
class Job:
    """One search."""

    data: str
    sampler: str
    seed: int
    trials: int
    epochs: int
    first: int


def read(path: Path | None, jobs: list[Job]) -> list[dict[str, Any]]:
    """Return the results of some searches that a file holds."""
    if path is None or not path.exists():
        return []
    results = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    asked = [asdict(job) for job in jobs]
    return [result for result in results if result["job"] in asked]


def search(job: Job) -> dict[str, Any]:
    """Run one search and score it."""
    torch.set_num_threads(1)
    name, *with_what = job.sampler.split("+")
    halving = HalvingConfig(first=job.first) if "halving" in with_what else None
    values = {
        "objectives": ["accuracy", "macs"],
        "search.trials": round(job.trials * job.epochs / (mean_epochs(halving, job.epochs) if halving else job.epochs)),
        "search.sampler": name,
        "search.proxies": ["naswot", "snip"] if "proxies" in with_what else [],
        "search.halving": halving.model_dump() if halving is not None else None,
        "search.seed": job.seed,
        "training.epochs": job.epochs,
        "workers": {"kind": "in_process", "device": "cpu"},
        "report.every_s": 1e9,
        **CHANGES.get(job.data, {}),
    }
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        config = ExperimentConfig.from_yaml(ROOT / "experiments" / f"{job.data}.yaml", values)
        run_search(prepare(config), RunFolder(folder), resume=False)
        run = load_run(folder)
    points, spent = trace(run)
    return {
        "job": asdict(job),
        "sampler": job.sampler,
        "seed": job.seed,
        "hypervolume": growth_of(points, *SCALES[job.data]),
        **spent,
        "best_accuracy": max(accuracy for accuracy, _ in points),
        "seconds": round(time.perf_counter() - started, 1),
    }


def mean_epochs(halving: HalvingConfig, epochs: int) -> float:
    """Return how many epochs a candidate is trained for on average."""
    ends = (0, *halving.rungs(epochs), epochs)
    return sum((end - begin) * halving.factor**-place for place, (begin, end) in enumerate(pairwise(ends)))


def trace(run: Run) -> tuple[list[tuple[float, float]], dict[str, list[float]]]:
    """Return (accuracy, MACs) of each full training, and what the search had spent by then, by quantity."""
    begun, images, energy_j = run.events[0].time, 0.0, 0.0
    points, spent = list[tuple[float, float]](), {name: list[float]() for name in QUANTITIES}
    epochs = dict[int, int]()
    for event in run.events:
        if not isinstance(event, RungReached | TrialEnded) or not event.phases:
            continue
        trial = run.trial(event.trial)
        training = trial.evaluation.training if trial.evaluation else None
        if training is None:
            continue
        last = run.config.recipe.restarts[event.rung] if isinstance(event, RungReached) else len(training.curve)
        images += training.images_seen / len(training.curve) * (last - epochs.get(event.trial, 0))
        epochs[event.trial] = last
        energy_j += sum(phase.energy.value_j for phase in event.phases if phase.energy is not None)
        if isinstance(event, TrialEnded) and trial.may_be_on_front:
            points.append((trial.scores["accuracy"].value, trial.scores["macs"].value))
            for name, value in zip(QUANTITIES, (images, energy_j, (event.time - begun).total_seconds()), strict=True):
                spent[name].append(value)
    return points, spent


def growth_of(points: list[tuple[float, float]], worst_accuracy: float, best_macs: float, worst_macs: float) -> Any:
    """Return the hypervolume of (accuracy, MACs) on the fixed scale, from 0 to 1, after each training."""
    span = math.log(worst_macs / best_macs)
    scaled = [
        ((1 - accuracy) / (1 - worst_accuracy), max(0.0, math.log(macs / best_macs) / span))
        for accuracy, macs in points
    ]
    return hypervolume_growth(scaled, (1.0, 1.0), ("minimize", "minimize")).tolist()


def show(results: list[dict[str, Any]], title: str) -> None:
    """Print the mean over seeds, the paired difference to random, and what NSGA-II's final hypervolume takes."""
    by_run = {(item["sampler"], item["seed"]): item for item in results}
    seeds = sorted({item["seed"] for item in results})
    samplers = [name for name in SAMPLERS if any(item["sampler"] == name for item in results)]
    print(f"hypervolume, {title}, {len(seeds)} paired seeds (larger is better, at most 1)")
    quarters = (0.25, 0.5, 0.75, 1.0)
    heads = "".join(f"{f'after {share:.0%}':>12}" for share in quarters)
    print(f"{'sampler':15}{heads} {'sd':>7} {'minus random, 95 % interval':>32} {'better in':>10}")
    for sampler in samplers:
        curves = [by_run[sampler, seed]["hypervolume"] for seed in seeds]
        means = [fmean(curve[math.ceil(share * len(curve)) - 1] for curve in curves) for share in quarters]
        finals = [curve[-1] for curve in curves]
        spread = stdev(finals) if len(seeds) > 1 else math.nan
        row = f"{sampler:15}" + "".join(f"{value:12.4f}" for value in means) + f" {spread:7.4f}"
        if sampler != "random" and "random" in samplers and len(seeds) > 1:
            differences = [
                final - by_run["random", seed]["hypervolume"][-1] for final, seed in zip(finals, seeds, strict=True)
            ]
            middle, half = interval(differences)
            wins = sum(difference > 0 for difference in differences)
            row += f" {middle:+12.4f} [{middle - half:+.4f}, {middle + half:+.4f}] {wins:>6}/{len(seeds)}"
        print(row)
    for key, what in QUANTITIES.items() if "nsga2" in samplers else ():
        print(f"\n{what} to reach NSGA-II's final hypervolume, as a share of what NSGA-II took in all (geometric mean)")
        for sampler in samplers:
            print(share_row(sampler, key, by_run, seeds))


def share_row(sampler: str, key: str, by_run: dict[tuple[str, int], dict[str, Any]], seeds: list[int]) -> str:
    """Return one row; a run that never got there counts with all that it took, which is too little."""
    logs, num_missed = [], 0
    for seed in seeds:
        mine, theirs = by_run[sampler, seed], by_run["nsga2", seed]
        goal = theirs["hypervolume"][-1] - 1e-12
        first = next((place for place, value in enumerate(mine["hypervolume"]) if value >= goal), None)
        num_missed += first is None
        logs.append(math.log(mine[key][-1 if first is None else first] / theirs[key][-1]))
    middle, half = interval(logs) if len(logs) > 1 else (logs[0], math.inf)
    row = f"{sampler:15} {math.exp(middle):8.2f} [{math.exp(middle - half):.2f}, {math.exp(middle + half):.2f}]"
    return row + (f"  at least: {num_missed} of {len(seeds)} never got there" if num_missed else "")


def interval(values: list[float]) -> tuple[float, float]:
    """Return the mean, and half of its 95 % interval (Student's t)."""
    half = student.ppf(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values), half


if __name__ == "__main__":
    main()
