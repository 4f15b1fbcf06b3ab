"""`econas search EXPERIMENT`: run a search, or go on with one, and show what came out."""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecoNAS.cli import exit_codes

if TYPE_CHECKING:
    from ecoNAS.experiment.setup import Setup
    from ecoNAS.run_folder import RunFolder


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:  # argparse has no public name for it
    """Add the command to the parser."""
    parser = commands.add_parser("search", help="search architectures as an experiment file says")
    parser.add_argument(
        "experiment", type=Path, metavar="EXPERIMENT", help="a YAML file, such as experiments/digits.yaml"
    )
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="where the run lives (default: runs/<name>-<time>)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --run-dir, or with the newest one")
    add_overrides(parser)
    parser.add_argument("--json", action="store_true", help="print the front as JSON at the end")
    parser.set_defaults(run=run)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add `--set`, which replaces values of the experiment file."""
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="replace one value of the file, such as search.trials=5 (may be given again)",
    )


def read_overrides(given: list[str]) -> dict[str, Any]:  # Any: YAML values
    """Return `KEY=VALUE` texts as values by key; raises ConfigError for a text without '='."""
    import yaml

    from ecoNAS.errors import ConfigError

    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {text}: write KEY=VALUE, such as search.trials=5")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"--set {text}: '{value}' is not a YAML value") from None
    return found


def run(arguments: argparse.Namespace) -> int:
    """Search; return 0 at the end, 130 when interrupted."""
    from ecoNAS.config import ExperimentConfig

    config = ExperimentConfig.from_yaml(arguments.experiment, read_overrides(arguments.overrides))

    from ecoNAS.cli.progress import Progress
    from ecoNAS.experiment.prepare import prepare
    from ecoNAS.experiment.resume import folder_to_resume, new_folder
    from ecoNAS.experiment.run import Watcher, run_search

    find = folder_to_resume if arguments.resume else new_folder
    folder = find(arguments.experiment, arguments.run_dir)
    setup = prepare(config, folder.baseline() if arguments.resume else None)
    experiment = folder.experiment if arguments.overrides else arguments.experiment  # the former holds what was set
    resume = f"econas search {shlex.quote(str(experiment))} --run-dir {shlex.quote(str(folder.path))} --resume"
    try:
        with Progress(config.search.trials, _headline(setup, folder), tuple(folder.events)) as progress:
            watcher = Watcher(progress.on_event, progress.on_stopping, progress.on_waiting)
            ended = run_search(setup, folder, resume=arguments.resume, watcher=watcher)
        if ended.reason in ("nothing_passes", "failing"):
            print(f"econas: the search ended early: {ended.detail}", file=sys.stderr)
            return exit_codes.MISTAKE
        if ended.reason in ("exhausted", "budget", "plateau"):
            print(f"The search ended early: {ended.detail}.", file=sys.stderr)
        _show(folder, arguments.json)
    except KeyboardInterrupt:
        if not folder.experiment.exists():
            print("econas: interrupted before the search began; begin again with the same command", file=sys.stderr)
            return exit_codes.INTERRUPTED
        print(f"econas: interrupted; nothing that was finished is lost. Go on with: {resume}", file=sys.stderr)
        return exit_codes.INTERRUPTED
    if ended.reason == "interrupted":
        print(f"econas: interrupted; nothing is lost. Go on with: {resume}", file=sys.stderr)
        return exit_codes.INTERRUPTED
    return 0


def _headline(setup: "Setup", folder: "RunFolder") -> str:
    config, data = setup.config, setup.data
    who = (
        f"{setup.num_workers} Ray worker{'s' if setup.num_workers > 1 else ''}"
        if config.workers.kind == "ray"
        else "this process"
    )
    return (
        f"Searching {setup.space.file.name} for {', '.join(setup.objectives.names)} on {data.name} "
        f"({len(data.train.labels):,} training, {len(data.validation.labels):,} validation images): "
        f"{config.search.trials} trials, sampler {config.search.sampler}, {who} on {setup.device}, "
        f"joules: {config.energy.meter}. Run folder: {folder.path}"
    )


def _show(folder: "RunFolder", as_json: bool) -> None:
    """Print the front, what it cost, and where to go from here."""
    from ecoNAS.analysis.cost_view import print_cost
    from ecoNAS.analysis.run import load_run
    from ecoNAS.analysis.summary import summary
    from ecoNAS.analysis.tables import front_json, print_front

    found = load_run(folder.path)
    if as_json:
        print(json.dumps(front_json(found), indent=2))
        return
    print_front(found)
    print(summary(found))
    if found.ledger.is_metered:
        print_cost(found)
    print(f"Report: {folder.report}")
    if found.knee() is not None:
        print(f"Export: econas export {folder.path} knee --out exports/{folder.path.name}-knee")
