"""Does a rung see what a full training will show? Kendall's tau between accuracies at rungs and at the end.

Random networks that pass the gate are trained twice: with one cosine over the whole training, as if a rung stopped it
halfway down, and with a cosine to each rung, as halving trains. Prints tau, and what the final accuracy loses.

    python experiments/benchmarks/rung_validity.py --networks 24
    ECONAS_DATA=data python experiments/benchmarks/rung_validity.py --data flowers17 --networks 16 --epochs 18
"""

import argparse
import math
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import torch
from cheaper_epochs import draw
from scipy.stats import kendalltau

from ecoNAS import ExperimentConfig, prepare
from ecoNAS.architecture import Candidate, derive_seed
from ecoNAS.config import HalvingConfig
from ecoNAS.experiment.setup import Setup
from ecoNAS.models.network import build_network
from ecoNAS.recipe import TrainingConfig
from ecoNAS.training.seeding import seeded
from ecoNAS.training.trainer import train

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", choices=("digits", "flowers17", "cifar10_13k"))
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--first", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    setup = prepare(ExperimentConfig.from_yaml(ROOT / "experiments" / f"{arguments.data}.yaml"))
    rungs = HalvingConfig(first=arguments.first).rungs(arguments.epochs)
    whole = setup.config.training.model_copy(update={"epochs": arguments.epochs})
    parts = whole.model_copy(update={"restarts": rungs})
    candidates = draw(setup, arguments.networks)
    one, many = (np.array([curve(setup, item, recipe) for item in candidates]) for recipe in (whole, parts))
    print(f"{arguments.data}, {len(candidates)} networks, {arguments.epochs} epochs, rungs after {rungs}")
    for name, curves in (("one cosine, cut off", one), ("a cosine to each rung", many)):
        taus = [kendalltau(curves[:, rung - 1], curves[:, -1]).statistic for rung in rungs]
        said = ", ".join(f"{tau:.2f} after {rung}" for tau, rung in zip(taus, rungs, strict=True))
        print(f"{name:24} tau with its own end: {said}; final accuracy {curves[:, -1].mean():.4f}")
    taus = [kendalltau(many[:, rung - 1], one[:, -1]).statistic for rung in rungs]
    print(
        "rungs of the second with the end of the first: "
        + ", ".join(f"{tau:.2f} after {rung}" for tau, rung in zip(taus, rungs, strict=True))
    )
    gaps = (many[:, -1] - one[:, -1]).tolist()
    print(f"what starting anew costs at the end: {fmean(gaps):+.4f} ± {stdev(gaps) / math.sqrt(len(gaps)):.4f}")


def curve(setup: Setup, candidate: Candidate, recipe: TrainingConfig) -> list[float]:
    """Return the accuracy after each epoch."""
    with seeded(derive_seed(0, "weights", candidate.digest)):
        network = build_network(candidate.architecture, setup.problem)
    results = train(network, setup.data, recipe, derive_seed(0, "training", candidate.digest))
    return [result.accuracy.value for result in results if result.accuracy is not None]


if __name__ == "__main__":
    main()
