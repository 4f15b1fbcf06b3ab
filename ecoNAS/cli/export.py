"""`econas export RUN TRIAL|knee --out DIR`: a network as a model definition that stands alone, with proof."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecoNAS.analysis.run import Run
    from ecoNAS.analysis.trials import Trial
    from ecoNAS.export.formats import DataCard
    from ecoNAS.records import Evaluation


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:  # argparse has no public name for it
    """Add the command to the parser."""
    parser = commands.add_parser("export", help="write a network as a model definition that stands alone, with proof")
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("trial", metavar="TRIAL", help="the number of a trial, or 'knee'")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a folder to make; must not hold anything"
    )
    parser.add_argument("--json", action="store_true", help="print what was verified as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export, verify, and say what was compared; return 0."""
    from ecoNAS.analysis.run import load_run
    from ecoNAS.analysis.trial_view import find_trial

    found = load_run(arguments.run_folder)
    trial = find_trial(found, arguments.trial)

    from ecoNAS.analysis.refitted import deployed

    evaluation, test_accuracy = deployed(found, trial.evaluation) if trial.evaluation is not None else (None, None)
    weights = _weights(found, trial, evaluation)
    assert evaluation is not None  # as of every trial with weights
    data = _data_card(found).at(evaluation.problem.resolution)

    from ecoNAS.export.folder import export_architecture

    verification = export_architecture(evaluation, weights, data, arguments.out, test_accuracy)
    files = [str(arguments.out / name) for name in sorted([*verification.files, "verification.json"])]
    if arguments.json:
        facts = verification.model_dump(mode="json", exclude={"files"})
        print(json.dumps({"trial": trial.number, **facts, "files": files}, indent=2))
        return 0
    sizes = " and ".join(str(size) for size in verification.batch_sizes)
    which = f"trial {trial.number}{', as refitted,' if test_accuracy is not None else ''}"
    print(
        f"Exported {which} to {arguments.out} and verified it in a clean process without ecoNAS:\n"
        f"  outputs at batch sizes {sizes}: largest difference {verification.max_abs_difference:.2g} "
        f"(allowed {verification.tolerance:.2g})\n"
        f"  parameters {verification.params:,} and MACs {verification.macs:,}: equal\n"
        f"  read {arguments.out / 'model.py'}; its build_model(weights) returns the trained network"
    )
    return 0


def _weights(found: "Run", trial: "Trial", evaluation: "Evaluation | None") -> Path:
    """Return the file of a trial's weights, or raise ExportError that says why there is none."""
    from ecoNAS.errors import ExportError

    name = evaluation.training.weights_file if evaluation is not None and evaluation.training is not None else None
    if name is None:
        why = f": {trial.reason}" if trial.reason else ""
        raise ExportError(f"trial {trial.number} was {trial.state} and has no trained network to export{why}")
    path = found.folder / name
    if not path.exists():
        raise ExportError(
            f"the weights of trial {trial.number} were not kept (keep_weights: front); export a front member"
        )
    return path


def _data_card(found: "Run") -> "DataCard":
    from pydantic import ValidationError

    from ecoNAS.errors import ExportError
    from ecoNAS.export.formats import DataCard
    from ecoNAS.run_folder import RunFolder

    path = RunFolder(found.folder).data
    try:
        return DataCard.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ExportError(f"{path} does not say what the images were: {error}") from None
