"""What do the rungs of a search get wrong? Its front and its stopped neighbours, trained three times as long.

Runs a search that halves, then trains longer, from scratch: the members of its front in accuracy and MACs, and for each
the stopped networks whose MACs are nearest. Prints Kendall's tau between what the search saw, rung by rung, and the
longer training; the same for pairs of about the same MACs, which only the training can tell apart; and how many of the
stopped ones would have been on the front.

    python experiments/benchmarks/rungs_and_front.py --seeds 3
    ECONAS_DATA=data python experiments/benchmarks/rungs_and_front.py --data flowers17 --seeds 2
"""

import argparse
import math
import multiprocessing
import tempfile
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rung_validity import curve
from scipy.stats import kendalltau

from ecoNAS import ExperimentConfig, load_run, prepare, run_search
from ecoNAS.analysis.run import Run
from ecoNAS.analysis.trials import Trial
from ecoNAS.config import HalvingConfig
from ecoNAS.pareto import front
from ecoNAS.records import Outcome
from ecoNAS.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
LONGER = 3
NUM_NEAREST = 2  # stopped networks for each member of the front
ALIKE = 1.5  # times the MACs, at most


@dataclass(frozen=True)
class Seen:
    """A network: its MACs, its accuracy after each epoch of the search, and after the longer training."""

    macs: float
    curve: tuple[float, ...]
    longer: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", choices=("digits", "flowers17", "cifar10_13k"))
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    halving = HalvingConfig(first=arguments.first)
    values = {
        "objectives": ["accuracy", "macs"],
        "search.trials": arguments.trials,
        "search.halving": halving.model_dump(),
        "training.epochs": arguments.epochs,
        "workers": {"kind": "in_process", "device": "cpu"},
        "report.every_s": 1e9,
    }
    jobs = [(arguments.data, {**values, "search.seed": seed}) for seed in range(arguments.seeds)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        searches = pool.starmap(search_and_train_longer, jobs)
    ends = (*halving.rungs(arguments.epochs), arguments.epochs)
    for seed, networks in enumerate(searches):
        num_members = sum(len(one.curve) == arguments.epochs for one in networks)
        print(f"seed {seed}: {num_members} members, {len(networks) - num_members} that were stopped")
        for end in ends:
            print(f"  after {end} of {arguments.epochs} epochs: {agreement(networks, end)}")
        print(f"  {wrong(networks, arguments.epochs)}")


def search_and_train_longer(data: str, values: dict[str, Any]) -> list[Seen]:
    """Run one search, and return what it and a longer training show of its front and those beside it."""
    torch.set_num_threads(1)
    setup = prepare(ExperimentConfig.from_yaml(ROOT / "experiments" / f"{data}.yaml", values))
    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder(Path(place) / "run")
        run_search(setup, folder, resume=False)
        run = load_run(folder.path)
    recipe = setup.config.training
    recipe = recipe.model_copy(update={"epochs": LONGER * recipe.epochs, "restarts": ()})
    found = list[Seen]()
    for trial in front_and_nearest(run):
        assert trial.evaluation is not None
        assert trial.evaluation.training is not None
        seen = tuple(epoch.validation_accuracy for epoch in trial.evaluation.training.curve)
        assert None not in seen  # every epoch is validated
        longer = curve(setup, setup.space.from_parameters(trial.parameters), recipe)[-1]
        found.append(Seen(trial.scores["macs"].value, seen, longer))
    return found


def front_and_nearest(run: Run) -> list[Trial]:
    """Return the members of the front and, for each, the stopped networks of about its size, each once."""
    members = list(run.front_trials(["accuracy", "macs"]))
    left = [trial for trial in run.trials if trial.outcome is Outcome.STOPPED and trial.evaluation is not None]
    nearest = list[Trial]()
    for member in members:
        left.sort(key=lambda trial: abs(math.log(trial.scores["macs"].value / member.scores["macs"].value)))
        nearest += left[:NUM_NEAREST]
        left = left[NUM_NEAREST:]
    return members + nearest


def agreement(networks: list[Seen], end: int) -> str:
    """Return how what was seen after some epochs agrees with the longer training."""
    there = [one for one in networks if len(one.curve) >= end]
    if len(there) < 3:
        return "too few got there"
    tau = kendalltau([one.curve[end - 1] for one in there], [one.longer for one in there]).statistic
    pairs = [
        (one.curve[end - 1] - other.curve[end - 1]) * (one.longer - other.longer)
        for one, other in combinations(there, 2)
        if abs(math.log(one.macs / other.macs)) < math.log(ALIKE)
    ]
    told = [pair for pair in pairs if pair != 0]
    right = f"{np.mean(np.array(told) > 0):.2f} of {len(told)}" if told else "none"
    return f"tau {tau:.2f} over {len(there)} networks; pairs of like MACs in the right order: {right}"


def wrong(networks: list[Seen], epochs: int) -> str:
    """Return how the longer training sorts members and stopped ones anew."""
    costs = np.array([[1 - one.longer, one.macs] for one in networks])
    on_front = front(costs, ["minimize", "minimize"])
    is_member = np.array([len(one.curve) == epochs for one in networks])
    return (
        f"trained longer, {int((on_front & is_member).sum())} of {int(is_member.sum())} members stay on the front, and "
        f"{int((on_front & ~is_member).sum())} of {int((~is_member).sum())} stopped ones would join it"
    )


if __name__ == "__main__":
    main()
