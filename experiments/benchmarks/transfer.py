"""Do weights that were trained on one set of images help on another? Fine-tuning against new weights, paired by seed.

    python experiments/benchmarks/transfer.py RUN [--experiment experiments/flowers17.yaml] [--seeds 5]

RUN was refitted. Each of its refitted networks is trained with the recipe of the experiment from new weights, and from
its refitted ones wherever shapes fit (as a rule all but the classifier), at each learning rate. Differences are
means over networks and seeds of the validation accuracy at the end, with Student's 95 % interval over the networks.
"""

import argparse
import statistics
from pathlib import Path

import torch
from scipy.stats import t as student

from ecoNAS import ExperimentConfig, load_run, prepare
from ecoNAS.analysis.refitted import read_refitted
from ecoNAS.architecture import AnyArchitecture
from ecoNAS.experiment.run import evaluate_architecture

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--experiment", type=Path, default=ROOT / "experiments" / "flowers17.yaml")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--lr", type=float, nargs="+", default=[0.01, 0.003])
    parser.add_argument("--space", type=Path, default=ROOT / "search_spaces" / "mobile_hybrid.yaml")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    run = load_run(arguments.run)
    by_number = {trial.number: trial for trial in run.trials}
    rows = [row for row in read_refitted(run) if row.trial is not None and row.weights is not None]
    if not rows:
        raise SystemExit(f"{arguments.run} has no refitted networks: econas refit {arguments.run} front")
    for lr in arguments.lr:
        gains = []
        print(f"learning rate {lr:g}: accuracy of new weights, of refitted ones, difference")
        for row in rows:
            assert row.trial is not None
            evaluation = by_number[row.trial].evaluation
            assert evaluation is not None
            assert row.weights is not None
            network = evaluation.candidate.architecture
            scratch, tuned = (
                [accuracy(arguments, network, lr, seed, start) for seed in range(arguments.seeds)]
                for start in (None, run.folder / row.weights)
            )
            gains.append(statistics.fmean(b - a for a, b in zip(scratch, tuned, strict=True)))
            print(f"  {row.name:10} {spread(scratch)}  {spread(tuned)}  {gains[-1]:+.3f}", flush=True)
        half = float(student.ppf(0.975, len(gains) - 1)) * statistics.stdev(gains) / len(gains) ** 0.5
        print(f"  all        {statistics.fmean(gains):+.3f} ± {half:.3f}")


def accuracy(
    arguments: argparse.Namespace, network: AnyArchitecture, lr: float, seed: int, weights: Path | None
) -> float:
    """Return the accuracy on the validation images after one training."""
    values: dict[str, object] = {
        "search_space": str(arguments.space),
        "training.lr": lr,
        "search.seed": seed,
        "constraints": [],
        "objectives": ["accuracy", "macs"],
    }
    if weights is not None:
        values["start"] = {"weights": str(weights.resolve())}
    found = evaluate_architecture(prepare(ExperimentConfig.from_yaml(arguments.experiment, values)), network)
    assert found.training is not None, found.reason
    return found.training.accuracy.value


def spread(values: list[float]) -> str:
    return f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}"


if __name__ == "__main__":
    main()
