"""`econas plan EXPERIMENT`: what a search would cost, before it is begun."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecoNAS.cli.search import add_overrides, read_overrides

if TYPE_CHECKING:
    from ecoNAS.analysis.intervals import Interval
    from ecoNAS.experiment.plan import Plan, Total


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:  # argparse has no public name for it
    """Add the command to the parser."""
    parser = commands.add_parser("plan", help="estimate what a search would cost, from a few timed networks")
    parser.add_argument("experiment", type=Path, metavar="EXPERIMENT", help="experiment file")
    add_overrides(parser)
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Time a few networks and print what follows; return 0."""
    from ecoNAS.config import ExperimentConfig

    config = ExperimentConfig.from_yaml(arguments.experiment, read_overrides(arguments.overrides))

    from dataclasses import asdict

    from ecoNAS.experiment.plan import make_plan
    from ecoNAS.experiment.prepare import prepare

    def say(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\rtried {done} of {total} networks", end="" if done < total else "\n", file=sys.stderr, flush=True)

    plan = make_plan(prepare(config), say)
    if arguments.json:
        print(json.dumps(asdict(plan), indent=1))
    else:
        _print(plan, is_halved=config.search.halving is not None)
    return 0


def _print(plan: "Plan", *, is_halved: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from ecoNAS.analysis.quantities import format_duration, format_quantity

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    for name, text in _rows(plan, is_halved=is_halved):
        table.add_row(name, text)
    console = Console(highlight=False)
    console.print(f"Estimates from {plan.num_probes} networks that were tried here:", markup=False)
    console.print(table)
    per_trial = format_duration(plan.proposal_s) if plan.proposal_s >= 1 else format_quantity(plan.proposal_s, "s")
    console.print(f"Until the first training: {format_duration(plan.start_s)}; then {per_trial} of sampler a trial.")
    if plan.verdict:
        console.print(f"{plan.verdict[0].upper()}{plan.verdict[1:]}.", markup=False)


def _rows(plan: "Plan", *, is_halved: bool) -> list[tuple[str, str]]:
    from ecoNAS.analysis.quantities import format_quantity

    passing = plan.passing
    rows = [
        ("networks in the space", f"{plan.num_networks:.3g}"),
        ("pass the constraints", f"{passing.value:.0%} ({passing.low:.0%} to {passing.high:.0%})"),
        ("one full training", f"{_duration(plan.candidate_s)} on one worker"),
    ]
    if plan.profile_s:
        share = f"{plan.profiling_share:.0%} of the time, in which trainings pause"
        rows.append(("one profile", f"{format_quantity(plan.profile_s, 's')}; {share}"))
    if plan.worker_bytes is not None:
        rows.append(("memory", f"{plan.worker_bytes / 2**20:,.0f} MiB a worker, {plan.workers} of them"))
    rows.append((f"{plan.trials} trials, each to its end", _total(plan.total)))
    if plan.halved is not None:
        name = "with halving" if is_halved else "with search.halving: {}"
        rows.append((name, _total(plan.halved)))
    return rows


def _total(total: "Total") -> str:
    from ecoNAS.analysis.quantities import format_quantity

    text = f"{_duration(total.wall_s)}, {total.epochs:,.0f} epochs"
    if total.training_j is not None:
        text += f", {format_quantity(total.training_j, 'J')} of training (estimated)"
    if total.whole_j is not None:
        text += f", about {format_quantity(total.whole_j.value, 'J')} of the device in all"
    return text


def _duration(interval: "Interval") -> str:
    from ecoNAS.analysis.quantities import format_duration

    low, high = (format_duration(seconds) for seconds in (interval.low, interval.high))
    return f"{format_duration(interval.value)} ({low} to {high})"
