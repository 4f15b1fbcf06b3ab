"""`econas doctor`: what can be measured on this machine, and the remedy for each thing that cannot."""

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecoNAS.diagnosis.device_findings import TorchFacts
    from ecoNAS.diagnosis.finding import Diagnosis, Finding

SIGNS = {"ok": ("✓ ok", "green"), "warn": ("! warn", "yellow"), "missing": ("✗ missing", "red")}


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:  # argparse has no public name for it
    """Add the command to the parser."""
    parser = commands.add_parser("doctor", help="say what can be measured on this machine, and how to get the rest")
    parser.add_argument("--quick", action="store_true", help="do not time the meters, which takes about 8 s each")
    parser.add_argument(
        "--root",
        type=Path,
        default=Path("/"),
        metavar="PATH",
        help="where sys and proc of the machine lie (default: /)",
    )
    parser.add_argument("--json", action="store_true", help="print the findings and the verdict as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Look and print; return 0 whatever was found, for this is a report."""
    from dataclasses import asdict

    from ecoNAS.errors import MeterError

    if not arguments.root.is_dir():
        raise MeterError(f"--root {arguments.root} is no folder; give the one that holds sys and proc")
    if not arguments.quick and sys.stderr.isatty():
        print("Looking; every meter is timed for some seconds (not with --quick) ...", file=sys.stderr)
    diagnosis = _diagnose(arguments.root, arguments.quick)
    if arguments.json:
        print(json.dumps(asdict(diagnosis), indent=2))
    else:
        _print(diagnosis)
    return 0


def _diagnose(root: Path, quick: bool) -> "Diagnosis":
    from ecoNAS.diagnosis.finding import Diagnosis
    from ecoNAS.diagnosis.software_findings import software_findings

    try:
        import pynvml

        from ecoNAS.diagnosis.diagnose import diagnose
        from ecoNAS.energy.clock import REAL_CLOCK
    except ImportError as error:
        return Diagnosis(tuple(software_findings()), f"Nothing can be measured before it is installed: {error}.")
    return diagnose(root, pynvml, REAL_CLOCK, _torch_facts(), quick)


def _torch_facts() -> "TorchFacts":
    """Return what PyTorch says, after a small sum on every GPU that it sees."""
    from ecoNAS.diagnosis.device_findings import TorchFacts

    try:
        import torch

        from ecoNAS.evaluation.devices import gpu_uuid
    except (ImportError, OSError) as error:  # OSError: a library of the driver or of CUDA is broken
        return TorchFacts(trouble=str(error))
    uuids, trouble = list[str](), ""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
                torch.ones(8, device=f"cuda:{index}").sum().item()
                uuids.append(str(gpu_uuid(f"cuda:{index}")))
        except RuntimeError as error:  # of CUDA: a driver too old, a GPU lost or full, a build without its architecture
            trouble = " ".join(str(error).split())
    trouble = trouble or next((" ".join(str(warning.message).split()) for warning in said), "")
    return TorchFacts(torch.__version__, torch.version.cuda, tuple(uuids), trouble[:300])


def _print(diagnosis: "Diagnosis") -> None:
    """Print one table a group, what to do, and the verdict; without rich, which may be what is missing, plain lines."""
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        for finding in diagnosis.findings:
            print(f"{finding.state}: {finding.name}: {' -> '.join(filter(None, [finding.text, finding.remedy]))}")
        print(diagnosis.verdict)
        return
    console = Console(highlight=False)
    for group in dict.fromkeys(finding.group for finding in diagnosis.findings):
        console.print(Text(group, style="bold"))
        console.print(_table([finding for finding in diagnosis.findings if finding.group == group]))
        console.print()
    remedies = [finding for finding in diagnosis.findings if finding.remedy]
    if remedies:
        console.print(Text("what would help", style="bold"))
    for finding in remedies:  # not wrapped, so that commands can be copied
        console.print(Text.assemble(("  " + finding.name, "bold"), f": {finding.remedy}"), soft_wrap=True)
    console.print(Text.assemble("\n" if remedies else "", (diagnosis.verdict, "bold")))


def _table(findings: "list[Finding]") -> Any:  # Any: rich is imported inside
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=11, no_wrap=True)
    table.add_column(width=18)
    table.add_column(overflow="fold")
    for finding in findings:
        sign, style = SIGNS[finding.state]
        table.add_row(Text(f"  {sign}", style=style), Text(finding.name), Text(finding.text))
    return table
