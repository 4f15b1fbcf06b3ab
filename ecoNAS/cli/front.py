"""`econas front RUN`: the networks that no other dominates, as a table or as JSON."""

import argparse
import json
from pathlib import Path
from typing import Any


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:  # argparse has no public name for it
    """Add the command to the parser."""
    parser = commands.add_parser("front", help="show the front of a run")
    parser.add_argument(
        "run_folder", type=Path, metavar="RUN", help="a run folder, such as runs/digits-20261120-231500"
    )
    parser.add_argument(
        "--objectives",
        metavar="NAMES",
        help="compare by other objectives than the study's, such as accuracy,macs; nothing is trained again",
    )
    parser.add_argument("--cost", action="store_true", help="show where the seconds and joules of the search went")
    parser.add_argument("--json", action="store_true", help="print all ended trials as JSON, the front marked")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the front, what it cost, and when that is repaid where ready models were evaluated; return 0."""
    from ecoNAS.analysis.comparison import compare_knee
    from ecoNAS.analysis.cost_view import print_cost
    from ecoNAS.analysis.run import load_run
    from ecoNAS.analysis.summary import cost
    from ecoNAS.analysis.tables import front_json, print_front

    found = load_run(arguments.run_folder)
    names = None
    if arguments.objectives is not None:
        names = [name.strip() for name in arguments.objectives.split(",") if name.strip()]
    if arguments.json:
        print(json.dumps(front_json(found, names), indent=2))
        return 0
    print_front(found, names)
    print(cost(found))
    if arguments.cost:
        print_cost(found)
    comparison = compare_knee(found)
    if comparison is not None:
        print(comparison.verdict)
    return 0
