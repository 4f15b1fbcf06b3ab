"""`econas show RUN TRIAL|knee`: one trial with its scores, costs, training, constraints and drawing."""

import argparse
import json
from pathlib import Path
from typing import Any


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:  # argparse has no public name for it
    """Add the command to the parser."""
    parser = commands.add_parser("show", help="show one trial of a run")
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("trial", metavar="TRIAL", help="the number of a trial, or 'knee'")
    parser.add_argument("--json", action="store_true", help="print the trial and its record as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print one trial; return 0."""
    from ecoNAS.analysis.run import load_run
    from ecoNAS.analysis.trial_view import find_trial, print_trial, trial_view_json

    found = load_run(arguments.run_folder)
    trial = find_trial(found, arguments.trial)
    if arguments.json:
        print(json.dumps(trial_view_json(found, trial), indent=2))
    else:
        print_trial(found, trial)
    return 0
