"""Where does the time go? Training share of the workers, two workers against one, the gate, and start-up.

Every figure is a ratio against something else in the same run, since machines are noisy.

    python experiments/benchmarks/throughput.py
"""

import argparse
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from ecoNAS import ExperimentConfig, load_run, prepare, run_search
from ecoNAS.architecture import Candidate
from ecoNAS.evaluation.evaluate import evaluate
from ecoNAS.evaluation.ray_workers import RayWorkers
from ecoNAS.evaluation.task import EvaluationTask
from ecoNAS.experiment.setup import Setup
from ecoNAS.records import Evaluation
from ecoNAS.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40, help="of the search whose workers are watched")
    parser.add_argument("--candidates", type=int, default=16, help="of the comparison of two workers with one")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    setup = prepare(
        ExperimentConfig.from_yaml(ROOT / "experiments" / "digits.yaml", {"search.trials": arguments.trials})
    )
    show_gate(setup)
    show_scaling(setup, arguments.candidates)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        run_search(setup, RunFolder(folder), resume=False)
        show_training_share(folder)
        show_start_up(folder)


def show_gate(setup: Setup) -> None:
    """Print how long screening takes, cold and warm."""
    rng = np.random.default_rng(0)
    pool = [setup.space.random(rng) for _ in range(3000)]
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        passed = sum(setup.screen(candidate).passes for candidate in pool)
        seconds.append(time.perf_counter() - started)
    cold, warm = seconds
    print(f"gate: 3,000 candidates in {warm:.2f} s with warm tables ({cold:.1f} s cold); {passed / 3000:.0%} pass")


def tasks(setup: Setup, count: int) -> list[EvaluationTask]:
    """Return equal work for every contestant: the same candidates, twice."""
    rng = np.random.default_rng(1)
    found: list[Candidate] = []
    while len(found) < count // 2:
        candidate = setup.space.random(rng)
        if setup.screen(candidate).passes:
            found.append(candidate)
    return [setup.task(i, candidate, setup.space.costs(candidate), None) for i, candidate in enumerate(found * 2)]


def show_scaling(setup: Setup, count: int) -> None:
    """Print the throughput of two workers over one, in Ray and in bare processes."""
    work = tasks(setup, count)
    ray = [seconds_of_ray(work, workers) for workers in (1, 2)]
    bare = [seconds_of_bare_processes(work, workers) for workers in (1, 2)]
    ratio, bare_ratio = ray[0] / ray[1], bare[0] / bare[1]
    print(
        f"two workers over one: {ratio:.2f}x in Ray, {bare_ratio:.2f}x in bare processes, "
        f"{ratio / bare_ratio:.2f} of what they reach ({count} trainings)"
    )


def seconds_of_ray(work: list[EvaluationTask], workers: int) -> float:
    """Return the wall time of the work once every worker is warm."""
    pool: RayWorkers[EvaluationTask, Evaluation]
    with RayWorkers(evaluate, workers) as pool:
        run_all(pool, work[:workers])
        started = time.perf_counter()
        run_all(pool, work)
        return time.perf_counter() - started


def run_all(pool: RayWorkers[EvaluationTask, Evaluation], work: list[EvaluationTask]) -> None:
    for task in work:
        pool.submit(task)
    for _ in work:
        while pool.next_finished(1.0) is None:
            pass


def seconds_of_bare_processes(work: list[EvaluationTask], workers: int) -> float:
    """Return the same for a plain pool of processes."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(evaluate, work[:workers] * 2, chunksize=1)
        started = time.perf_counter()
        pool.map(evaluate, work, chunksize=1)
        return time.perf_counter() - started


def show_training_share(folder: Path) -> None:
    """Print the share of each worker's time, after its first candidate, in which it trains."""
    by_worker: dict[str, list[Evaluation]] = defaultdict(list)
    for trial in load_run(folder).trials:
        if trial.evaluation is not None and trial.evaluation.training is not None:
            by_worker[trial.evaluation.worker].append(trial.evaluation)
    wall = trained = 0.0
    for evaluations in by_worker.values():
        # From the end of the first to the end of the last: start-up is over, every pause between two is counted.
        ordered = sorted(evaluations, key=lambda evaluation: evaluation.started)
        wall += (ordered[-1].ended - ordered[0].ended).total_seconds()
        trained += sum(item.training.duration_s for item in ordered[1:] if item.training)
    print(f"training share: {trained / wall:.1%} of the workers' time after start-up ({len(by_worker)} workers)")


def show_start_up(folder: Path) -> None:
    """Print the wall time of commands against that of an empty Python program."""
    econas = [sys.executable, "-m", "ecoNAS"]
    commands = {"python -c pass": [sys.executable, "-c", "pass"], "econas --help": [*econas, "--help"]}
    commands["econas front"] = [*econas, "front", str(folder)]
    medians = {}
    for name, command in commands.items():
        seconds = []
        for _ in range(6):
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds.append(time.perf_counter() - started)
        medians[name] = statistics.median(seconds[1:])
    empty = medians["python -c pass"]
    print("start-up: " + ", ".join(f"{name} {s:.2f} s ({s / empty:.0f}x)" for name, s in medians.items()))


if __name__ == "__main__":
    main()
