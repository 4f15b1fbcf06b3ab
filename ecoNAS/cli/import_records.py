"""`econas import RUN RECORDS ...`: take in what was measured on another device, and rank the front for it."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecoNAS.measuring.elsewhere import Elsewhere


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:  # argparse has no public name for it
    """Add the command to the parser."""
    parser = commands.add_parser("import", help="rank a front for a device on which it was measured")
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="the run folder that the networks come from")
    parser.add_argument(
        "records", type=Path, nargs="+", metavar="RECORDS", help="files of a bundle, or of `econas measure --json`"
    )
    parser.add_argument("--json", action="store_true", help="print the ranking as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read, keep and rank; return 0."""
    from ecoNAS.analysis.run import load_run
    from ecoNAS.measuring.elsewhere import keep_records, rank_elsewhere, read_records

    found, records = load_run(arguments.run_folder), read_records(arguments.records)
    ranking = rank_elsewhere(found, records)
    path = keep_records(found, [record for record in records if record.energy is not None])
    if arguments.json:
        print(json.dumps(_json(ranking), indent=2))
        return 0
    from rich.console import Console

    Console(highlight=False).print(_table(ranking))
    print(_moves(ranking))
    for row in ranking.rows:
        if row.record.status != "ok":
            print(f"* trial {row.trial.number}: {'; '.join([row.record.status, *row.record.reasons])}")
    if ranking.strangers:
        print(f"Not of this run, and left out: {', '.join(ranking.strangers)}.")
    print(f"Kept in {path}")
    return 0


def _table(ranking: "Elsewhere") -> Any:  # Any: rich's table, imported here
    from rich import box
    from rich.table import Table

    from ecoNAS.analysis.quantities import format_quantity, format_score
    from ecoNAS.measuring.table import half_width

    title = f"{len(ranking.rows)} networks on {ranking.device_name or ranking.device}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    others = [objective for objective in ranking.objectives if objective.known != "measurable"]
    for heading in ("rank there", "trial", *(objective.name for objective in others)):
        table.add_column(heading, justify="right")
    for heading in ("joules here", "joules there", "on the front"):
        table.add_column(heading, justify="right")
    for row in ranking.rows:
        best, worst = row.rank
        energy, evaluation = row.record.energy, row.trial.evaluation
        assert energy is not None
        mark = " *" if row.record.status != "ok" else ""
        before = evaluation.profile.energy if evaluation and evaluation.profile else None
        known = "" if before is None or before.kind == "measured" else f" ({before.kind})"
        front = {(True, True): "both", (True, False): "here", (False, True): "there"}
        table.add_row(
            str(best) if best == worst else f"{best}-{worst}",
            str(row.trial.number),
            *(format_score(row.trial.scores[objective.name], objective.unit) for objective in others),
            "" if before is None else format_quantity(before.value_j, "J") + known,
            f"{format_quantity(energy.value_j, 'J')} ±{half_width(energy):.1%}{mark}",
            front.get((row.was_on_front, row.is_on_front), "neither"),
        )
    return table


def _moves(ranking: "Elsewhere") -> str:
    """Return who enters and who leaves, in words."""
    words = []
    for verb, numbers in (("enters", ranking.enters), ("leaves", ranking.leaves)):
        if numbers:
            plural = len(numbers) > 1
            named = ", ".join(str(number) for number in numbers)
            words.append(f"trial{'s' if plural else ''} {named} {verb[:-1] if plural else verb} it")
    names = ", ".join(objective.name for objective in ranking.objectives)
    moved = " and ".join(words) or "nobody enters or leaves it"
    return f"The front in {names} among these networks: on that device {moved}."


def _json(ranking: "Elsewhere") -> dict[str, Any]:  # Any: JSON
    return {
        "device": ranking.device,
        "device_name": ranking.device_name,
        "objectives": [objective.name for objective in ranking.objectives],
        "enters": list(ranking.enters),
        "leaves": list(ranking.leaves),
        "strangers": list(ranking.strangers),
        "rows": [
            {
                "trial": row.trial.number,
                "rank": list(row.rank),
                "was_on_front": row.was_on_front,
                "is_on_front": row.is_on_front,
                "energy": row.record.energy.model_dump(mode="json") if row.record.energy else None,
                "status": row.record.status,
            }
            for row in ranking.rows
        ],
    }
