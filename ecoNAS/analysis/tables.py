"""The front of a run as a table for the terminal, as JSON for programs, and as `front.csv`.

All three say how joules are known. One trial in detail is `trial_view`'s, the run in words `summary`'s.
"""

import csv
import io
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ecoNAS.analysis.bill import bill_of
from ecoNAS.analysis.certainty import doubts, order_note
from ecoNAS.analysis.drawing import abbreviate, legend
from ecoNAS.analysis.evaluation_view import evaluation_view
from ecoNAS.analysis.quantities import differences, format_score, title
from ecoNAS.analysis.run import Run
from ecoNAS.analysis.summary import counts_line, why_empty
from ecoNAS.analysis.trials import Trial
from ecoNAS.evaluation.objectives import Objective, Objectives
from ecoNAS.records import Evaluation
from ecoNAS.run_folder import RunFolder, write_atomically

WIDE = 120
_HEADING_WIDTH = 11


def front_view(run: Run, names: Sequence[str] | None = None, width: int = 80) -> RenderableType:
    """Return the front with what belongs to it (legend, counts, hypervolume) for a terminal of `width` columns.

    Args:
        run: The run.
        names: Objectives to compare by; None for those of the study.
        width: In characters; from `WIDE` on, architectures are written out.
    """
    members, objectives = run.front_trials(names), run.select(names)
    if not members:
        return Group(Text(f"{run.name}. {why_empty(run)}"), Text(counts_line(run)))
    known = sum(trial.may_be_on_front for trial in run.trials)
    compared = "" if names is None else " in " + ", ".join(objective.name for objective in objectives)
    headline = Text(f"Front of {run.name}{compared}: {len(members)} of {known} feasible networks\n", style="bold")
    lines: list[RenderableType] = [
        headline,
        front_table(run, names, width),
        Text("* knee: the best balance of all objectives; ± is one standard error"),
    ]
    if width < WIDE:
        architectures = [trial.evaluation.candidate.architecture for trial in members if trial.evaluation]
        lines.append(Text(f"architecture: {legend(architectures)}", style="dim"))
    lines += [Text(note) for note in [order_note(run, names), *doubts(run, names)] if note]
    lines += [Text(), Text(counts_line(run))]
    hypervolume = run.hypervolume()
    if hypervolume is not None and names is None:
        most = f"{hypervolume.most:.3g} at the ideal point, scale from {hypervolume.source}"
        lines.append(Text(f"hypervolume {hypervolume.value:.3f} ({most})"))
    return Group(*lines)


def front_table(run: Run, names: Sequence[str] | None = None, width: int = 80) -> Table:
    """Return the members of the front, one row each, best in the first objective first; the knee has a star."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("trial", justify="right", no_wrap=True)
    objectives, knee = run.select(names), run.knee(names)
    for objective in objectives:
        table.add_column(_heading(run, objective), justify="right", no_wrap=True)
    table.add_column("architecture", overflow="fold")
    members = run.front_trials(names)
    deployed = differences([trial.evaluation.candidate for trial in members if trial.evaluation])
    for trial, how in zip(members, deployed, strict=True):
        assert trial.evaluation is not None  # as of every member of a front
        architecture = trial.evaluation.candidate.architecture
        written = architecture.describe() if width >= WIDE else abbreviate(architecture)
        is_knee = knee is not None and trial.number == knee.number
        table.add_row(
            f"{'* ' if is_knee else ''}{trial.number}",
            *(format_score(trial.scores[objective.name], objective.unit) for objective in objectives),
            Text(f"{written}\n{how}" if how else written),
            style="bold" if is_knee else "",
        )
    return table


def front_json(run: Run, names: Sequence[str] | None = None) -> dict[str, Any]:  # Any: JSON
    """Return the ended trials, the front marked, with objectives, hypervolume, counts and ledger, as plain JSON.

    Args:
        run: The run.
        names: Objectives to compare by; None for those of the study, in which alone a hypervolume is known.
    """
    objectives = run.select(names)
    on_front = {trial.number for trial in run.front_trials(names)}
    ended = [trial for trial in run.trials if trial.outcome is not None]
    hypervolume = run.hypervolume() if names is None else None
    return {
        "run": run.name,
        "objectives": [
            {
                "name": objective.name,
                "direction": objective.direction,
                "unit": objective.unit,
                "kind": run.kind(objective.name),
            }
            for objective in objectives
        ],
        "trials": [{**trial_json(trial, objectives), "on_front": trial.number in on_front} for trial in ended],
        "hypervolume": asdict(hypervolume) if hypervolume is not None else None,
        "counts": run.counts,
        "ledger": ledger_json(run),
    }


def ledger_json(run: Run) -> dict[str, Any]:  # Any: JSON
    """Return what the search took, its parts, and what it comes to where the site says so, as plain JSON."""
    ledger, bill = run.ledger, bill_of(run.ledger, run.config.site)
    rows = [{**asdict(row), "started": row.started.isoformat(), "ended": row.ended.isoformat()} for row in ledger.rows]
    return {
        "search_energy_j": ledger.search_energy_j,
        "kind": ledger.kind,
        "is_metered": ledger.is_metered,
        "holes": list(ledger.holes),
        "wall_s": ledger.wall_s,
        "training_s": ledger.training_s,
        "rows": rows,
        "carbon_g": bill.carbon_g,
        "price": bill.price,
    }


def trial_json(trial: Trial, objectives: Sequence[Objective]) -> dict[str, Any]:  # Any: JSON
    """Return one trial with its values in these objectives, as far as it has them."""
    held = [objective.name for objective in objectives if objective.name in trial.scores]
    return {
        "number": trial.number,
        "outcome": trial.state,
        "digest": trial.digest,
        "values": {name: trial.scores[name].value for name in held},
        "standard_errors": {name: trial.scores[name].standard_error for name in held},
        "on_front": trial.on_front,
        "params": dict(trial.parameters),
    }


def write_front_csv(run: Run) -> Path:
    """Write the front to `front.csv` in the run folder, whole or not at all; return its path."""
    text = io.StringIO()
    writer = csv.DictWriter(text, run.columns(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(run.row(trial) for trial in run.front_trials())
    path = RunFolder(run.folder).front_table
    write_atomically(path, text.getvalue().encode())
    return path


def print_front(run: Run, names: Sequence[str] | None = None) -> None:
    """Print the front to standard output, as wide as the terminal."""
    console = Console(highlight=False)
    console.print(front_view(run, names, console.width))


def print_evaluation(evaluation: Evaluation, objectives: Objectives) -> None:
    """Print one record to standard output, without a run around it."""
    reason = f": {evaluation.reason}" if evaluation.reason else ""
    headline = Text(f"{evaluation.outcome}{reason}", style="bold")
    Console(highlight=False).print(Group(headline, *evaluation_view(evaluation, objectives)))


def _heading(run: Run, objective: Objective) -> Text:
    name, _, known = title(objective, run.kind(objective.name)).partition(" ")
    lines = textwrap.wrap(name.replace("_", " "), _HEADING_WIDTH)
    return Text("\n".join([*lines, known] if known else lines))
