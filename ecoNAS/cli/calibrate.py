"""`econas calibrate RECORDS... --out FILE`: fit the estimator to measured records of a device, and say how it errs."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecoNAS.energy.fit import Fit
    from ecoNAS.records import EnergyProfile


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:  # argparse has no public name for it
    """Add the command to the parser."""
    parser = commands.add_parser("calibrate", help="fit the estimator of joules to measured records of a device")
    parser.add_argument(
        "records",
        type=Path,
        nargs="+",
        metavar="RECORDS",
        help="JSON of `econas measure --json`, a single record, or a run folder whose joules were measured",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write the coefficients")
    parser.add_argument("--json", action="store_true", help="print the fit and each left-out network as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fit, write the coefficients, and say how far they err; return 0."""
    from ecoNAS.energy.fit import fit
    from ecoNAS.run_folder import write_atomically

    records = [record for path in arguments.records for record in _read(path)]
    found = fit(records)
    write_atomically(arguments.out, (found.file.model_dump_json(indent=2) + "\n").encode())
    if arguments.json:
        print(json.dumps(_as_json(found, arguments.out), indent=2))
    else:
        _show(found, arguments.out)
    return 0


def _read(path: Path) -> "list[EnergyProfile]":
    """Return the records in a file or a run folder, or raise MeterError that says why there are none."""
    from ecoNAS.errors import MeterError

    records = _from_run(path) if path.is_dir() else _from_file(path)
    if not records:
        raise MeterError(f"{path} holds no records; `econas measure --json` prints them")
    return records


def _from_run(path: Path) -> "list[EnergyProfile]":
    from ecoNAS.run_folder import RunFolder

    folder = RunFolder(path)
    folder.check()
    profiles = [evaluation.profile for evaluation in folder.evaluations().values()]
    return [profile for profile in profiles if profile is not None] + [m.profile for m in folder.ready_models()]


def _from_file(path: Path) -> "list[EnergyProfile]":
    from pydantic import ValidationError

    from ecoNAS.errors import MeterError
    from ecoNAS.records import EnergyProfile
    from ecoNAS.validation import in_one_line

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MeterError(f"{path} cannot be read: {error.strerror}; name a file of `econas measure --json`") from None
    except ValueError as error:  # UnicodeDecodeError too
        raise MeterError(f"{path} is not JSON: {error}; name a file of `econas measure --json`") from None
    records = []
    for number, record in enumerate(found if isinstance(found, list) else [found], start=1):
        try:
            records.append(EnergyProfile.model_validate(record))
        except ValidationError as error:
            why = in_one_line(error, EnergyProfile, record)
            raise MeterError(
                f"{path}: record {number} is no energy profile of this version: {why}; "
                "`econas measure --json` prints such records"
            ) from None
    return records


def _show(found: "Fit", out: Path) -> None:
    """Print each network beside its prediction, the coefficients with units, and how to go on."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from ecoNAS.analysis.quantities import format_quantity

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("network", overflow="fold")
    for heading in ("batch", "measured", "left out", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    for network in found.left_out:
        joules = (format_quantity(value, "J") for value in (network.measured_j, network.predicted_j))
        table.add_row(network.name, str(network.batch), *joules, f"{network.ratio:.3f}")
    console, rate, file = Console(highlight=False, soft_wrap=True), found.coefficients, found.file
    console.print(table)
    lines = [
        "left out: joules per image from the fit to all other networks",
        "",
        f"Fitted {rate.num_records} networks in {found.dtype} on {file.device_name or file.device} "
        f"({file.scope}, {file.method}):",
        f"  {rate.mac_j * 1e12:.4g} pJ/MAC",
        f"  {rate.byte_j * 1e12:.4g} pJ/byte",
        f"  {rate.image_j:.4g} J/image",
        f"95 % of left-out networks lie within x/÷ {rate.interval_factor:.3g}; this is the interval of an estimate.",
    ]
    if found.unused:
        lines.append("Not used: " + ", ".join(f"{count} {why}" for why, count in found.unused.items()) + ".")
    lines += [f"Wrote {out}. In the experiment file:", _line(out)]
    for line in lines:
        console.print(line, markup=False)


def _as_json(found: "Fit", out: Path) -> dict[str, Any]:  # Any: JSON
    return {
        "coefficients": found.file.model_dump(mode="json"),
        "networks": [
            {
                "name": network.name,
                "batch": network.batch,
                "measured_j": network.measured_j,
                "left_out_j": network.predicted_j,
                "ratio": network.ratio,
            }
            for network in found.left_out
        ],
        "unused": found.unused,
        "out": str(out),
        "experiment": _line(out),
    }


def _line(out: Path) -> str:
    """Return the line of an experiment file; a JSON string is a YAML one, whatever the path holds."""
    return f"energy: {{meter: estimate, coefficients: {json.dumps(str(out), ensure_ascii=False)}}}"
