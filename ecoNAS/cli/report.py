"""`econas report RUN`: write the browser report; say what was found, what it cost, and where the report is."""

import argparse
from pathlib import Path
from typing import Any


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:  # argparse has no public name for it
    """Add the command to the parser."""
    parser = commands.add_parser("report", help="write the browser report of a run, also of one that goes on")
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write it (default: report.html in RUN)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the report; print the run in one paragraph and, on the last line, the path; return 0."""
    from ecoNAS.analysis.report import write_report
    from ecoNAS.analysis.run import load_run
    from ecoNAS.analysis.summary import summary

    found = load_run(arguments.run_folder)
    path = write_report(found, arguments.out)
    print(summary(found))
    print(path)
    return 0
