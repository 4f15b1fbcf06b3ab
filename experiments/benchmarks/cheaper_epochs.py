"""What do cheaper epochs save, and what do they cost in accuracy? The same networks with each of them and without.

Seconds are of the processor, on one thread, so that other programs change little; accuracies are of the validation
split, paired by network. Prints a row a recipe.

    python experiments/benchmarks/cheaper_epochs.py --networks 8
    ECONAS_DATA=data python experiments/benchmarks/cheaper_epochs.py --data flowers17 --epochs 10
"""

import argparse
import math
import time
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import torch
from scipy.stats import t as student

from ecoNAS import ExperimentConfig, prepare
from ecoNAS.architecture import Candidate, derive_seed
from ecoNAS.experiment.setup import Setup
from ecoNAS.models.network import build_network
from ecoNAS.recipe import EarlyConfig, FreezeConfig, TrainingConfig
from ecoNAS.training.seeding import seeded
from ecoNAS.training.trainer import train

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", choices=("digits", "flowers17", "cifar10_13k"))
    parser.add_argument("--networks", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = ExperimentConfig.from_yaml(ROOT / "experiments" / f"{arguments.data}.yaml")
    setup = prepare(config)
    base = setup.config.training.model_copy(update={"epochs": arguments.epochs})
    smaller = 1.0 if setup.problem.resolution < 16 else 0.75
    recipes = {
        "as it is": base,
        "half the data early": base.model_copy(update={"early": EarlyConfig(data=0.5)}),
        "smaller images early": base.model_copy(update={"early": EarlyConfig(resolution=smaller)}),
        "stem and stage 1 frozen late": base.model_copy(update={"freeze": FreezeConfig()}),
        "validated late": base.model_copy(update={"validation": "late"}),
        "a cosine to a rung at a third": base.model_copy(update={"restarts": (max(1, arguments.epochs // 3),)}),
    }
    if smaller == 1.0:
        del recipes["smaller images early"]  # these are small already
    candidates = draw(setup, arguments.networks)
    found = {name: [trained(setup, candidate, recipe) for candidate in candidates] for name, recipe in recipes.items()}
    print(f"{arguments.data}, {len(candidates)} networks, {arguments.epochs} epochs; 95 % intervals over networks")
    plain = found["as it is"]
    for name, results in found.items():
        ratios = [math.log(mine[0] / theirs[0]) for mine, theirs in zip(results, plain, strict=True)]
        gaps = [mine[1] - theirs[1] for mine, theirs in zip(results, plain, strict=True)]
        time_mean, time_half = interval(ratios)
        mean, half = interval(gaps)
        print(
            f"{name:30} time {math.exp(time_mean):5.2f} [{math.exp(time_mean - time_half):.2f}, "
            f"{math.exp(time_mean + time_half):.2f}]  accuracy {fmean(item[1] for item in results):.4f}, "
            f"{mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]"
        )


def draw(setup: Setup, count: int) -> list[Candidate]:
    """Return random candidates that pass the gate."""
    rng, found = np.random.default_rng(derive_seed(0, "cheaper epochs")), list[Candidate]()
    while len(found) < count:
        candidate = setup.space.random(rng)
        if setup.screen(candidate).passes:
            found.append(candidate)
    return found


def trained(setup: Setup, candidate: Candidate, recipe: TrainingConfig) -> tuple[float, float]:
    """Return processor seconds and accuracy."""
    with seeded(derive_seed(0, "weights", candidate.digest)):
        network = build_network(candidate.architecture, setup.problem)
    began_s = time.process_time()
    *_, last = train(network, setup.data, recipe, derive_seed(0, "training", candidate.digest))
    assert last.accuracy is not None
    return time.process_time() - began_s, last.accuracy.value


def interval(values: list[float]) -> tuple[float, float]:
    """Return the mean, and half of its 95 % interval (Student's t)."""
    return fmean(values), student.ppf(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))


if __name__ == "__main__":
    main()
