"""`econas measure NETWORK ...`: joules per image, latency, power and memory of networks, on this machine."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecoNAS.cli import exit_codes
from ecoNAS.cli.search import read_overrides

if TYPE_CHECKING:
    from ecoNAS.config import EnergyConfig
    from ecoNAS.energy.lane_files import LaneStatus
    from ecoNAS.measuring.measure import Bench, Job
    from ecoNAS.records import EnergyProfile

SWEPT: dict[str, tuple[type, str]] = {
    "batch": (int, "images per call"),
    "resolution": (int, "height and width of the images in pixels"),
    "dtype": (str, "fp32, bf16 or fp16"),
    "threads": (int, "of the CPU"),
    "runtime": (str, "eager, compiled or onnxruntime"),
    "layout": (str, "contiguous or channels_last"),
    "form": (str, "training, or fused: branches added up and batch norm folded into convolutions"),
}


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:  # argparse has no public name for it
    """Add the command to the parser."""
    parser = commands.add_parser(
        "measure",
        help="measure joules per image of networks on this machine",
        description="Measure joules per image, latency, power and memory of networks on this machine.",
        epilog="VALUES are one value, or several with commas: every combination is measured once. What is not given "
        "is as the network itself says: of a timm model its own resolution, of a run how its search deployed it.",
    )
    parser.add_argument(
        "networks",
        nargs="+",
        metavar="NETWORK",
        help="a timm model by name, an ONNX file, an exported folder, an architecture file, or a run folder",
    )
    for name, (kind, how) in SWEPT.items():
        parser.add_argument(f"--{name}", type=_values(kind), metavar="VALUES", help=how)
    parser.add_argument(
        "--channels", type=_positive, metavar="N", help="of the images (default: as the network says, or 3)"
    )
    parser.add_argument(
        "--classes", type=_positive, metavar="N", help="of the output (default: as the network says, or 1000)"
    )
    parser.add_argument(
        "--trials",
        default="front",
        metavar="WHICH",
        help="of a run folder: front, all, or numbers and knee with commas (default: front)",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where networks run")
    parser.add_argument(
        "--meter",
        default="auto",
        help="nvml, rapl, hwmon, csv or estimate, as in an experiment's section energy; "
        "auto, the default, takes the counter of the device and never an estimate",
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another key of the section energy, such as protocol.idle_s=5 or path=meter.csv",
    )
    parser.add_argument(
        "--target",
        type=float,
        default=5.0,
        metavar="PERCENT",
        help="measure until half of an interval is at most this share of the value (default: 5)",
    )
    parser.add_argument("--json", action="store_true", help="print the records as a list in JSON")
    parser.add_argument(
        "--bundle", type=Path, metavar="DIR", help="measure nothing; pack the networks for a machine without ecoNAS"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; return 0, 1 where some could not be measured, 130 when interrupted."""
    from ecoNAS.errors import EcoNASError
    from ecoNAS.measuring.measure import Bench, plan_jobs
    from ecoNAS.measuring.subjects import Images, find_subjects

    resolution = arguments.resolution[0] if arguments.resolution else None
    images = Images(resolution, arguments.channels, arguments.classes)
    subjects = [item for target in arguments.networks for item in find_subjects(target, images, arguments.trials)]
    jobs = plan_jobs(subjects, {name: getattr(arguments, name) for name in SWEPT if getattr(arguments, name)})
    if arguments.bundle is not None:
        return _pack(jobs, arguments.bundle)
    if not 0 < arguments.target < 100:
        raise EcoNASError(f"--target {arguments.target:g} is no percentage above 0 and below 100; 5 is usual")
    config, device = _energy(arguments), _device(arguments.device)
    records: list[EnergyProfile] = []
    try:
        with Bench(config, device, arguments.target / 100, _say_wait) as bench:
            code = _measure(bench, jobs, records)
    except KeyboardInterrupt:
        print(f"econas: interrupted; {len(records)} of {len(jobs)} were measured", file=sys.stderr)
        code = exit_codes.INTERRUPTED
    _show(records, as_json=arguments.json)
    return code


def _measure(bench: "Bench", jobs: Sequence["Job"], records: "list[EnergyProfile]") -> int:
    """Measure job after job into `records`; one that fails is said and left out."""
    from ecoNAS.errors import EcoNASError

    code = 0
    for number, job in enumerate(jobs, start=1):
        print(f"measuring {number} of {len(jobs)}: {job.name}", file=sys.stderr)
        try:
            records.append(bench.run(job))
        except EcoNASError as error:
            print(f"econas: {job.name} was not measured: {error}", file=sys.stderr)
            code = exit_codes.NOT_EVALUATED
    return code


def _pack(jobs: Sequence["Job"], folder: Path) -> int:
    from ecoNAS.measuring.bundle import write_bundle

    packed = write_bundle(jobs, folder, lambda line: print(line, file=sys.stderr))
    networks = "network" if packed == 1 else "networks"
    print(
        f"Packed {packed} {networks} into {folder}. There, with Python and onnxruntime or torch:\n"
        f"  python {folder.name}/measure.py --out records.json\n"
        "Then, here: econas import RUN records.json"
    )
    return 0


def _energy(arguments: argparse.Namespace) -> "EnergyConfig":
    from pydantic import ValidationError

    from ecoNAS.config import EnergyConfig
    from ecoNAS.energy_settings import EnergySettings
    from ecoNAS.errors import EcoNASError, unknown_name
    from ecoNAS.validation import in_one_line

    values: dict[str, Any] = {"meter": arguments.meter}
    for key, value in read_overrides(arguments.overrides).items():
        section, _, field = key.rpartition(".")
        inner = values.setdefault(section, {}) if section else values
        if not isinstance(inner, dict):
            raise EcoNASError(f"--set {key}: {section} was given as '{inner}' before")
        inner[field] = value
    known = [field.name for field in fields(EnergySettings)]
    protocol = values.get("protocol")
    for name in protocol if isinstance(protocol, dict) else ():
        if name not in known:
            raise EcoNASError(f"--set protocol.{name}: {unknown_name('key', name, known)}")
    try:
        return EnergyConfig.model_validate(values)
    except ValidationError as error:
        raise EcoNASError(f"--set: {in_one_line(error, EnergyConfig)}") from None


def _device(asked: str) -> str:
    import torch

    from ecoNAS.errors import EcoNASError

    if asked == "cuda" and not torch.cuda.is_available():
        raise EcoNASError("--device cuda: no CUDA device is usable here; `econas doctor` says why")
    return "cuda" if asked != "cpu" and torch.cuda.is_available() else "cpu"


def _show(records: "Sequence[EnergyProfile]", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([record.model_dump(mode="json") for record in records], indent=1))
    elif records:
        from ecoNAS.measuring.table import print_records

        print_records(records)


def _say_wait(status: "LaneStatus") -> None:
    who = f"{status.owner} (process {status.pid})" if status.pid is not None else "a training"
    print(f"waiting for {status.device}, which {who} has", file=sys.stderr)


def _values(kind: type) -> Callable[[str], tuple[Any, ...]]:  # Any: values of a deployment
    def read(text: str) -> tuple[Any, ...]:
        try:
            return tuple(kind(part.strip()) for part in text.split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is no whole number, nor several with commas") from None

    return read


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number above 0")
    return int(text)
