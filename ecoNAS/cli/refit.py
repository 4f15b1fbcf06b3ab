"""`econas refit RUN TRIAL|knee|front`: train chosen networks in full, with several seeds, and read the test split."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecoNAS.cli import exit_codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecoNAS.analysis.run import Run
    from ecoNAS.analysis.trials import Trial
    from ecoNAS.recipe import DistillationConfig
    from ecoNAS.records import Refit


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:  # argparse has no public name for it
    """Add the command to the parser."""
    parser = commands.add_parser("refit", help="train chosen networks in full, and read the test split")
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("trial", metavar="TRIAL", nargs="+", help="numbers of trials, 'knee', or 'front' for all of it")
    parser.add_argument("--epochs", type=int, metavar="N", help="of each training; default: as in the search")
    parser.add_argument("--seeds", type=int, default=3, metavar="K", help="trainings of each network; default 3")
    parser.add_argument(
        "--teacher",
        default="",
        metavar="NAME|DIR",
        help="a timm model, trained first, or an export, whose answers are learned beside the labels",
    )
    parser.add_argument("--teacher-weight", type=float, metavar="W", help="of its answers in the loss; default 0.5")
    parser.add_argument("--temperature", type=float, metavar="T", help="by which logits are divided; default 2")
    parser.add_argument("--json", action="store_true", help="print what came out as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train what is missing, and show what came out; return 0, 1 where a training failed, or 130 when interrupted."""
    from ecoNAS.analysis.quantities import format_duration
    from ecoNAS.analysis.run import load_run
    from ecoNAS.errors import RunFolderError

    for name in ("epochs", "seeds"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise RunFolderError(f"--{name} {value}: give at least 1")
    found = load_run(arguments.run_folder)
    trials = _trials(found, arguments.trial)

    from ecoNAS.experiment.refit import Refitting, Watcher, recipe_of_refit, run_refit

    recipe, how = recipe_of_refit(found, arguments.epochs), _distillation(arguments)
    refitting = Refitting(found, trials, (), recipe, arguments.seeds, arguments.teacher, how)
    if refitting.missing:
        count, took = len(refitting.missing), format_duration(refitting.expected_s)
        print(f"{count} trainings of {recipe.epochs} epochs, about {took} on one worker in all", file=sys.stderr)
    progress = RefitProgress(refitting.total)
    try:
        run_refit(refitting, Watcher(progress.on_refit, progress.on_failed))
    except KeyboardInterrupt:
        print("econas: interrupted; what was finished is kept, and the same command goes on", file=sys.stderr)
        return exit_codes.INTERRUPTED
    show(found, as_json=arguments.json)
    return exit_codes.NOT_EVALUATED if progress.num_failed else 0


def _distillation(arguments: argparse.Namespace) -> "DistillationConfig":
    """Return how networks learn from a teacher."""
    from pydantic import ValidationError

    from ecoNAS.errors import TeacherError
    from ecoNAS.recipe import DistillationConfig

    given = {"weight": arguments.teacher_weight, "temperature": arguments.temperature}
    given = {name: value for name, value in given.items() if value is not None}
    if given and not arguments.teacher:
        raise TeacherError("--teacher-weight and --temperature say how to learn from a teacher; add --teacher NAME")
    try:
        return DistillationConfig(**given)
    except ValidationError as error:
        detail = error.errors()[0]
        option = {"weight": "--teacher-weight", "temperature": "--temperature"}[str(detail["loc"][0])]
        rule = detail["msg"].removeprefix("Input should be ")
        raise TeacherError(f"{option} {detail['input']:g}: must be {rule}") from None


class RefitProgress:
    """One line a training, on standard error.

    Attributes:
        num_failed: Trainings that came to nothing.
    """

    def __init__(self, total: int) -> None:
        """Begin to count."""
        self._total, self._done, self.num_failed = total, 0, 0

    def on_refit(self, refit: "Refit") -> None:
        """Say what one training came to."""
        from ecoNAS.analysis.quantities import format_duration, format_score

        name = f"trial {refit.trial}" if refit.trial is not None else refit.network.removeprefix("timm:")
        took = format_duration(refit.training.duration_s)
        self._say(f"{name}, seed {refit.replicate}: test accuracy {format_score(refit.test['accuracy'])}, {took}")

    def on_failed(self, network: str, replicate: int, reason: str) -> None:
        """Say which training came to nothing."""
        self.num_failed += 1
        self._say(f"{network}, seed {replicate}: left out: {reason}")

    def _say(self, text: str) -> None:
        self._done += 1
        print(f"[{self._done}/{self._total}] {text}", file=sys.stderr)


def _trials(found: "Run", names: "Sequence[str]") -> "tuple[Trial, ...]":
    """Return the trials that a user named, each once."""
    from ecoNAS.analysis.summary import why_empty
    from ecoNAS.analysis.trial_view import find_trial
    from ecoNAS.errors import RunFolderError

    chosen: dict[str, Trial] = {}
    for name in names:
        trials = found.front_trials() if name == "front" else (find_trial(found, name),)
        if not trials:
            raise RunFolderError(f"{found.folder} has no front. {why_empty(found)}")
        chosen |= {trial.digest: trial for trial in trials}
    return tuple(chosen.values())


def show(found: "Run", *, as_json: bool) -> None:
    """Print what was refitted of a run."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from ecoNAS.analysis.refitted import (
        cells,
        headings,
        notes,
        rank_agreement,
        read_refitted,
        refitted_json,
    )
    from ecoNAS.analysis.verdicts import verdicts

    rows = read_refitted(found)
    if as_json:
        tau = rank_agreement(rows)
        print(json.dumps({"run": found.name, "networks": refitted_json(rows), "kendall_tau": tau}, indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for place, heading in enumerate(headings(rows)):
        table.add_column(heading, justify="right" if place else "left", no_wrap=bool(place), overflow="fold")
    for row in rows:
        table.add_row(*cells(row, rows), style="bold" if row.trial is not None else "")
    Console(highlight=False).print(table)
    print(*("", *notes(rows), *verdicts(rows)), sep="\n")
