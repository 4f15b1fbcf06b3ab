"""Which family of networks pays? Searches of several spaces on the same images with the same budget, side by side.

    python experiments/benchmarks/families.py [--minutes 10] [--out families]

Each search is `econas search experiments/cifar10_mobile.yaml` with another space, at most 3 M MACs, so that minutes are
enough for dozens of trainings, and no rungs, so that none is cut short. One comes after the other, since they would
share the machine; one that is there already is read and not run again. Runs, `families.html` and what is printed go to
`--out`. Accuracies are of the validation split and of one training each: the best of them are optimistic.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import plotly.graph_objects as go

from ecoNAS import load_run, pareto
from ecoNAS.analysis.quantities import format_duration, format_quantity
from ecoNAS.analysis.run import Run
from ecoNAS.analysis.trials import Trial

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = ("conv_only", "attention_only", "mlp_mixer", "mobile_hybrid")
COLOURS = ("#1f5fa8", "#d1651c", "#4c8b31", "#7a3f9d", "#b3282d")
CEILINGS = (0.5e6, 1e6, 3e6)  # MACs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each search")
    parser.add_argument("--epochs", type=int, default=6, help="of each training")
    parser.add_argument("--spaces", nargs="+", default=FAMILIES)
    parser.add_argument("--out", type=Path, default=Path("families"))
    arguments = parser.parse_args()
    runs = {space: found(space, arguments) for space in arguments.spaces}
    show(runs)
    picture(runs).write_html(arguments.out / "families.html", config={"displayModeBar": False})
    print(f"\nwrote {arguments.out / 'families.html'}")


def found(space: str, arguments: argparse.Namespace) -> Run:
    """Return the search of one space, run first if it is not there."""
    folder = arguments.out / space
    if not folder.exists():
        budget = f"{{time: {arguments.minutes} min}}"
        values = {
            "search_space": ROOT / "search_spaces" / f"{space}.yaml",
            "search.budget": budget,
            "search.halving": "null",
            "constraints": f"[params <= 1M, macs <= {CEILINGS[-1]:.0f}]",
            "training.epochs": arguments.epochs,
        }
        options = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
        experiment = str(ROOT / "experiments" / "cifar10_mobile.yaml")
        subprocess.run(
            [sys.executable, "-m", "ecoNAS", "search", experiment, "--run-dir", str(folder), *options], check=True
        )
    return load_run(folder)


def show(runs: dict[str, Run]) -> None:
    """Print a row for each space: what was trained, the best within each ceiling of MACs, and what it cost."""
    worst = max(trial.scores["macs"].value for run in runs.values() for trial in trained(run))
    print("| space | trained | on the front (accuracy, MACs) | volume | " + " | ".join(
        f"best up to {format_quantity(ceiling)} MACs" for ceiling in CEILINGS
    ) + " | most accurate: MACs, parameters | search | training (estimated) |")  # fmt: skip
    print("|" + "---|" * (8 + len(CEILINGS) - 1))
    for space, run in runs.items():
        members = run.front_trials(["accuracy", "macs"])
        best = members[0]
        cells = [best_within(run, ceiling) for ceiling in CEILINGS]
        size = f"{format_quantity(best.scores['macs'].value)}, {format_quantity(best.scores['params'].value)}"
        joules = run.ledger.search_energy_j
        cost = [format_duration(run.ledger.wall_s), format_quantity(joules, "J") if joules is not None else "unknown"]
        row = [space, len(trained(run)), len(members), f"{volume(run, worst):.3f}", *cells, size, *cost]
        print(f"| {' | '.join(map(str, row))} |")


def trained(run: Run) -> list[Trial]:
    return [trial for trial in run.trials if trial.may_be_on_front]


def best_within(run: Run, ceiling: float) -> str:
    """Return the best accuracy of a network with at most so many MACs, with its standard error."""
    scores = [trial.scores["accuracy"] for trial in trained(run) if trial.scores["macs"].value <= ceiling]
    if not scores:
        return "none"
    best = max(scores, key=lambda score: score.value)
    return f"{best.value:.3f} ± {best.standard_error:.3f}"


def volume(run: Run, worst: float) -> float:
    """Return the share of accuracies below 1 and MACs below `worst` that the front dominates: larger is better."""
    points = [(t.scores["accuracy"].value, t.scores["macs"].value / worst) for t in trained(run)]
    return pareto.hypervolume(points, (0.0, 1.0), ("maximize", "minimize"))


def picture(runs: dict[str, Run]) -> go.Figure:
    """Return all fronts on accuracy and MACs, with one standard error up and down."""
    figure = go.Figure(layout={"height": 480, "width": 900, "template": "simple_white", "margin": {"t": 20, "r": 20}})
    for (space, run), colour in zip(runs.items(), COLOURS, strict=False):
        members = sorted(run.front_trials(["accuracy", "macs"]), key=lambda trial: trial.scores["macs"].value)
        accuracies = [trial.scores["accuracy"] for trial in members]
        errors = {"array": [score.standard_error for score in accuracies], "thickness": 1, "width": 3}
        figure.add_scatter(
            x=[trial.scores["macs"].value for trial in members],
            y=[score.value for score in accuracies],
            error_y=errors,
            mode="lines+markers",
            line={"shape": "hv", "color": colour},
            name=space,
        )
    figure.update_xaxes(type="log", title="MACs")
    figure.update_yaxes(title="accuracy on the validation images")
    return figure


if __name__ == "__main__":
    main()
