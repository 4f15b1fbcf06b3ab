"""`econas evaluate ARCHITECTURE EXPERIMENT`: train and price one architecture, without a search."""

import argparse
from pathlib import Path
from typing import Any

from ecoNAS.cli import exit_codes
from ecoNAS.cli.search import add_overrides, read_overrides


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:  # argparse has no public name for it
    """Add the command to the parser."""
    parser = commands.add_parser("evaluate", help="train and price one architecture, without a search")
    parser.add_argument(
        "architecture", type=Path, metavar="ARCHITECTURE", help="a JSON file, such as an export's architecture.json"
    )
    parser.add_argument(
        "experiment", type=Path, metavar="EXPERIMENT", help="whose data, recipe, objectives and bounds apply"
    )
    add_overrides(parser)
    parser.add_argument("--json", action="store_true", help="print the whole record as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print; return 0 where it was evaluated, 1 where it was refused or could not be trained."""
    from ecoNAS.architecture import load_architecture
    from ecoNAS.config import ExperimentConfig

    architecture = load_architecture(arguments.architecture)
    architecture.check()
    config = ExperimentConfig.from_yaml(arguments.experiment, read_overrides(arguments.overrides))

    from ecoNAS.analysis.tables import print_evaluation
    from ecoNAS.experiment.prepare import prepare
    from ecoNAS.experiment.run import evaluate_architecture
    from ecoNAS.records import Outcome

    setup = prepare(config)
    evaluation = evaluate_architecture(setup, architecture)
    if arguments.json:
        print(evaluation.model_dump_json(indent=2))
    else:
        print_evaluation(evaluation, setup.objectives)
    return 0 if evaluation.outcome is Outcome.EVALUATED else exit_codes.NOT_EVALUATED
