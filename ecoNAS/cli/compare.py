"""`econas compare RUN`: a searched network against ready models, and when the search is repaid."""

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecoNAS.cli import exit_codes

if TYPE_CHECKING:
    from ecoNAS.analysis.comparison import Comparison
    from ecoNAS.analysis.run import Run
    from ecoNAS.analysis.trials import Trial
    from ecoNAS.evaluation.task import ReadyModelTask
    from ecoNAS.experiment.setup import Setup
    from ecoNAS.records import ReadyModel
    from ecoNAS.run_folder import RunFolder


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:  # argparse has no public name for it
    """Add the command to the parser."""
    parser = commands.add_parser("compare", help="hold a searched network against ready models: when is it repaid?")
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument(
        "--zoo",
        nargs="+",
        action="extend",
        default=[],
        type=lambda text: [name.strip() for name in text.split(",") if name.strip()],
        metavar="NAME[@PIXELS]",
        help="timm models to profile and train like a candidate, unless that was done: lcnet_050,resnet10t, or "
        "resnet10t@64 to show it larger images",
    )
    parser.add_argument(
        "--trial", default="knee", metavar="TRIAL", help="the number of a trial, or 'knee' (the default)"
    )
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate the ready models that are missing, and compare; return 0, or 130 when interrupted."""
    from ecoNAS.analysis.comparison import comparison_json
    from ecoNAS.analysis.run import load_run
    from ecoNAS.analysis.trial_view import find_trial

    found = load_run(arguments.run_folder)
    trial = find_trial(found, arguments.trial)
    comparison, models = _compare(found, trial)  # a trial that cannot be compared is said before anything is trained
    names = list(dict.fromkeys(chain.from_iterable(arguments.zoo)))
    missing = _missing(found, trial, names, models)
    if missing:
        try:
            _refit(found, trial, missing) if _is_refitted(found, trial) else _evaluate(found, trial, missing)
        except KeyboardInterrupt:
            print("econas: interrupted; what was finished is kept, and the same command goes on", file=sys.stderr)
            return exit_codes.INTERRUPTED
        comparison, _ = _compare(found, trial)
    if arguments.json:
        print(json.dumps({"run": found.name, **comparison_json(comparison)}, indent=2))
    else:
        _show(found, comparison, is_refitted=_is_refitted(found, trial))
    return 0


def _missing(found: "Run", trial: "Trial", names: "Sequence[str]", models: "Sequence[ReadyModel]") -> list[str]:
    """Return the ready models that were not evaluated yet, or with fewer seeds than the trial was refitted with."""
    from ecoNAS.analysis.refitted import READY
    from ecoNAS.refit_folder import RefitFolder

    if not _is_refitted(found, trial):
        there = {model.name for model in models}
        return [name for name in names if name not in there]
    refits = RefitFolder(found.folder).refits()
    return [name for name in names if len(refits.get(f"{READY}{name}", ())) < len(refits[trial.digest])]


def _is_refitted(found: "Run", trial: "Trial") -> bool:
    from ecoNAS.analysis.refitted import trial_refitted

    return trial_refitted(found, trial) is not None


def _compare(found: "Run", trial: "Trial") -> "tuple[Comparison, Sequence[ReadyModel]]":
    """Hold a trial, as refitted where it was, against the ready models that went the same way."""
    from ecoNAS.analysis.comparison import compare
    from ecoNAS.analysis.refitted import ready_refitted, trial_refitted
    from ecoNAS.run_folder import RunFolder

    refitted = trial_refitted(found, trial)
    if refitted is None:
        models = RunFolder(found.folder).ready_models()
        return compare(found, models, trial), models
    models = ready_refitted(found)
    return compare(found, models, refitted), models


def _refit(found: "Run", trial: "Trial", names: "Sequence[str]") -> None:
    """Train ready models with the recipe and as many seeds as the trial was refitted with."""
    from ecoNAS.cli.refit import RefitProgress
    from ecoNAS.experiment.refit import Refitting, Watcher, run_refit
    from ecoNAS.recipe import DistillationConfig
    from ecoNAS.refit_folder import RefitFolder

    folder = RefitFolder(found.folder)
    plan, refits = folder.plan(), folder.refits()[trial.digest]
    assert plan is not None  # there are records of it
    recipe, how = plan.recipe.model_copy(update={"distillation": None}), plan.recipe.distillation
    refitting = Refitting(found, (), tuple(names), recipe, len(refits), plan.teacher, how or DistillationConfig())
    progress = RefitProgress(refitting.total)
    run_refit(refitting, Watcher(progress.on_refit, progress.on_failed))


def _evaluate(found: "Run", trial: "Trial", names: Sequence[str]) -> None:
    """Profile and train ready models one after another, each written when it is done."""
    from ecoNAS.evaluation.ready import evaluate_ready_model
    from ecoNAS.experiment.prepare import prepare
    from ecoNAS.experiment.resume import check_as_searched
    from ecoNAS.run_folder import RunFolder
    from ecoNAS.training.failures import InfeasibleTrainingError

    folder = RunFolder(found.folder)
    with folder.locked():  # beside a search, its meter would count these joules into its bill
        # Ready models answer to no bound; and one relative to a baseline would have it measured again.
        setup = prepare(found.config.model_copy(update={"constraints": (), "baseline": None}))
        assert trial.evaluation is not None  # as of every trial that can be compared
        check_as_searched(folder, trial.evaluation, setup)
        there = {model.name for model in folder.ready_models()}
        tasks = [_task(setup, name, folder) for name in names]  # a wrong name is found before anything is trained
        tasks = [task for task in tasks if task.model not in there]  # as `resnet10t@32` is where images have 32 pixels
        for index, task in enumerate(tasks, start=1):
            place = f"[{index}/{len(tasks)}] {task.model}"
            print(f"{place}: profiling, then training for {task.recipe.epochs} epochs", file=sys.stderr)
            try:
                model = evaluate_ready_model(task)
            except InfeasibleTrainingError as error:
                print(f"{place}: left out: {error}", file=sys.stderr)
                continue
            folder.write_ready_model(model)
            print(f"{place}: {_worth(model)}", file=sys.stderr)


def _task(setup: "Setup", name: str, folder: "RunFolder") -> "ReadyModelTask":
    """Return what evaluating a ready model depends on, with its joules measured as those of a reference."""
    from ecoNAS.experiment.start import as_given
    from ecoNAS.models.baseline import check_reads
    from ecoNAS.training.epochs import early_resolution

    task = as_given(setup.ready_model_task(name, folder.path), setup.config)
    if task.recipe.early is not None:
        small = task.problem.at(early_resolution(task.problem.resolution, task.recipe.early.resolution))
        check_reads(task.timm, task.problem, [small], "early epochs would show them (training.early): leave it out")
    return task.model_copy(update={"target": setup.config.energy.protocol.reference_target})


def _worth(model: "ReadyModel") -> str:
    from ecoNAS.analysis.comparison import ready_row
    from ecoNAS.analysis.quantities import format_duration, format_score

    row, seconds = ready_row(model), (model.ended - model.started).total_seconds()
    return f"accuracy {format_score(row.accuracy)}, {row.joules} per image{row.known}, {format_duration(seconds)}"


def _show(found: "Run", comparison: "Comparison", *, is_refitted: bool) -> None:
    """Print the networks, which of them is the baseline, and when the search is repaid."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ecoNAS.analysis.quantities import format_quantity, format_score
    from ecoNAS.analysis.refitted import read_refitted
    from ecoNAS.analysis.verdicts import verdicts

    console = Console(highlight=False)
    console.print(Text(f"Trial {comparison.trial} of {found.name} against ready models\n", style="bold"))
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    table.add_column("")
    table.add_column("network", overflow="fold")
    for heading in (
        "accuracy",
        comparison.heading.replace(" per", "\nper").replace(" (", "\n("),
        "95 % interval",
        "MACs",
        "params",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in comparison.rows:
        table.add_row(
            "*" if row.is_baseline else "",
            row.name,
            format_score(row.accuracy),
            comparison.joules(row),
            row.interval,
            format_quantity(row.costs.macs),
            format_quantity(row.costs.params),
            style="bold" if row.is_searched else "",
        )
    console.print(table)
    if comparison.baseline is not None:
        print("* baseline: the cheapest ready model that is at least as accurate")
    print("±: one standard error")
    notes = list(comparison.notes)
    if is_refitted:
        notes.append(
            "Accuracies are of the test split, means over the trainings of the refit. Of all that was refitted:"
        )
        notes += verdicts(read_refitted(found))
    print(*("", comparison.verdict, *notes), sep="\n")
