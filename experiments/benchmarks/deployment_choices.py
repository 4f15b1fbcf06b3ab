"""Do MACs or latency stand in for joules, once networks may also be deployed in different ways?

Draws random candidates of a space twice, all deployed alike and each deployed at random, and prints Spearman's rank
correlation of joules per image with MACs, with seconds per image and with seconds per batch, each with a 95 % bootstrap
interval over candidates. MACs are exact, seconds are measured here. Joules are measured with `--meter auto` where the
machine has a meter. By default they are estimated from MACs, bytes and batch, so that their correlation with MACs is
high by construction and says nothing of a device; what the estimate cannot see (threads, layout) it cannot rank either.

    python experiments/benchmarks/deployment_choices.py --candidates 40
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.stats import spearmanr

from ecoNAS.config import ExperimentConfig, available_cpus
from ecoNAS.evaluation.profiling import profile_network
from ecoNAS.experiment.prepare import prepare
from ecoNAS.experiment.setup import NO_TRIAL, Setup
from ecoNAS.yaml_file import read_yaml

ROOT = Path(__file__).parents[2]
NUM_RESAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", type=Path, default=ROOT / "search_spaces" / "hybrid_tiny.yaml")
    parser.add_argument("--candidates", type=int, default=40, help="of each kind")
    parser.add_argument("--meter", default="estimate", help="'auto' measures joules where the machine can")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    threads = sorted({1, available_cpus()})
    choices = {"threads": threads, "batch": [1, 8, 64], "layout": ["contiguous", "channels_last"],
               "form": ["training", "fused"]}  # fmt: skip
    print(f"{arguments.candidates} random candidates of {arguments.space.stem} each, on digits (8 x 8 pixels)")
    for title, deployment in (("all deployed alike", {}), ("each deployed at random", choices)):
        with tempfile.TemporaryDirectory() as folder:
            setup = setup_of(arguments.space, deployment, arguments.meter, Path(folder))
        table, kind = profiles(setup, arguments.candidates, arguments.seed)
        print(f"\n{title}: Spearman of joules per image ({kind}) with")
        for place, name in enumerate(("MACs (exact)", "seconds per image (measured)", "seconds per batch (measured)")):
            value, low, high = correlation(table[:, 0], table[:, place + 1], arguments.seed)
            print(f"  {name:30} {value:6.3f}  (95 % {low:.3f} to {high:.3f})")
    if arguments.meter == "estimate":
        print("\nJoules are estimates from MACs, bytes and batch: no counter was read, threads and layout not seen.")


def setup_of(space: Path, deployment: dict[str, object], meter: str, folder: Path) -> Setup:
    """Return an experiment on digits over a space with these deployment choices."""
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump({**read_yaml(space).data, "deployment": deployment}))
    changes = {
        "search_space": str(path),
        "objectives": ["accuracy", "latency", "energy_per_image"],
        "energy.meter": meter,
    }
    return prepare(ExperimentConfig.from_yaml(ROOT / "experiments" / "smoke.yaml", changes))


def profiles(setup: Setup, count: int, seed: int) -> tuple[NDArray[np.float64], str]:
    """Return (count, 4): joules per image, MACs, seconds per image and per batch; and how the joules are known."""
    rng, rows, kinds = np.random.default_rng(seed), list[tuple[float, ...]](), set[str]()
    while len(rows) < count:
        candidate = setup.space.random(rng)
        if not setup.space.is_valid(candidate):
            continue
        costs = setup.space.costs(candidate)
        profile = profile_network(setup.task(NO_TRIAL, candidate, costs, None))
        assert profile.energy is not None
        assert profile.latency is not None
        batch_s = profile.latency.median_s
        rows.append((profile.energy.value_j, costs.macs, batch_s / profile.latency.batch, batch_s))
        kinds.add(profile.energy.kind)
    return np.array(rows), ", ".join(sorted(kinds))


def correlation(a: NDArray[np.float64], b: NDArray[np.float64], seed: int) -> tuple[float, float, float]:
    """Return Spearman's rank correlation with the ends of its 95 % bootstrap interval over candidates."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(a), size=(NUM_RESAMPLES, len(a)))
    found = [float(spearmanr(a[rows], b[rows]).statistic) for rows in drawn]
    low, high = np.nanquantile(found, (0.025, 0.975))
    return float(spearmanr(a, b).statistic), float(low), float(high)


if __name__ == "__main__":
    main()
