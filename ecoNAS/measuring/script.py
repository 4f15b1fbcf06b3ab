"""Measure the networks of this folder on this machine; needs Python, and onnxruntime or torch.

    python measure.py --out records.json

Nothing is installed and nothing is sent anywhere. `econas import RUN records.json` takes the records in where the
networks come from.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ecoNAS.energy.measure import Measured, Place, measure
from ecoNAS.energy.meter import EnergyMeter
from ecoNAS.energy.meters.csv_log import CsvMeter
from ecoNAS.energy.meters.hwmon import HwmonMeter
from ecoNAS.energy.meters.nvml import NvmlMeter
from ecoNAS.energy.meters.rapl import RaplMeter, host_identity
from ecoNAS.energy.onnx_runner import NUM_BUFFERS, OnnxRunner
from ecoNAS.energy.runner import CallableRunner, Runner
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import EcoNASError, MeterError
from ecoNAS.measurement import MeterInfo

Json = dict[str, Any]  # Any: what JSON holds
PACKAGES = ("onnxruntime", "onnxruntime-gpu", "torch", "numpy", "nvidia-ml-py")
CHOSEN_BY = {"hwmon": "--sensor NAME", "nvml": "--gpu UUID"}


@dataclass(frozen=True, slots=True)
class _Session:
    """What all measurements of one call share."""

    here: Path
    runtime: str
    meter: EnergyMeter
    settings: EnergySettings
    idle_file: Path
    arguments: argparse.Namespace


def main(argv: Sequence[str] | None = None, here: Path | None = None) -> int:
    """Measure every network, or those named, and write the records; return 1 where one could not be measured."""
    arguments = _parser().parse_args(argv)
    here = here or Path(__file__).resolve().parent
    try:
        _check(arguments)
        chosen = _choose_networks(here, arguments.only)
        meter, settings = choose_meter(arguments), _settings(arguments.overrides)
        runtime = arguments.runtime or _runtime()
    except EcoNASError as error:
        print(f"measure: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        session = _Session(here, runtime, meter, settings, Path(folder) / "idle.json", arguments)
        try:
            return _measure_all(chosen, session)
        except KeyboardInterrupt:
            print(f"measure: interrupted; what was measured before is in {arguments.out}", file=sys.stderr)
            return 130


def _check(arguments: argparse.Namespace) -> None:
    """Raise EcoNASError for numbers that make no sense, and where records could not be written."""
    if arguments.threads is not None and arguments.threads < 1:
        raise EcoNASError(f"--threads {arguments.threads} must be at least 1")
    if not 0 < arguments.target < 100:
        raise EcoNASError(f"--target {arguments.target:g} is no percentage above 0 and below 100; 5 is usual")
    if arguments.out.is_dir() or not os.access(arguments.out.parent, os.W_OK):
        raise EcoNASError(f"--out {arguments.out} cannot be written; name a file in a folder of yours")


def _choose_networks(here: Path, only: Sequence[str] | None) -> list[Json]:
    """Return what the folder holds of the networks, or of those named."""
    networks: list[Json] = json.loads((here / "networks.json").read_text(encoding="utf-8"))
    names = dict.fromkeys(item["name"] for item in networks)
    unknown = [name for name in only or () if name not in names]
    if unknown:
        raise EcoNASError(f"--only: no network '{unknown[0]}' here; those that are: {', '.join(names)}")
    return [item for item in networks if not only or item["name"] in only]


def _measure_all(networks: Sequence[Json], session: _Session) -> int:
    """Measure network after network; what is done is on disk after each of them."""
    records, code, meter, out = list[Json](), 0, session.meter.info, session.arguments.out
    for number, item in enumerate(networks, start=1):
        name = f"{item['name']} (batch {item['deployment']['batch']})"
        print(f"measuring {number} of {len(networks)} by {meter.name}: {name}", file=sys.stderr)
        try:
            records.append(_record(item, session))
        except EcoNASError as error:
            print(f"measure: {name} was not measured: {error}", file=sys.stderr)
            code = 1
        _write(records, out)
    print(f"{len(records)} of {len(networks)} were measured; their records are in {out}", file=sys.stderr)
    return code


def choose_meter(arguments: argparse.Namespace) -> EnergyMeter:
    """Return the meter that was asked for, or the best one of the device; never an estimate.

    Raises:
        MeterError: if there is none, with what was tried.
    """
    makers: dict[str, Callable[[], EnergyMeter]] = {
        "nvml": lambda: NvmlMeter(arguments.gpu),
        "rapl": lambda: RaplMeter(arguments.root),
        "hwmon": lambda: HwmonMeter(arguments.root, arguments.sensor),
        "csv": lambda: CsvMeter(arguments.log, arguments.clock_offset_s),
    }
    if arguments.meter == "csv" and arguments.log is None:
        raise MeterError("--meter csv reads the log of an external meter; say where it is: --log FILE")
    if arguments.meter != "auto":
        try:
            return makers[arguments.meter]()
        except MeterError as error:
            option = CHOSEN_BY.get(arguments.meter)
            raise MeterError(
                f"{error} (here: {option})" if option and "several" in str(error) else str(error)
            ) from None
    refusals = []
    for name in ["nvml"] if arguments.device == "cuda" else ["rapl", "hwmon"]:
        try:
            return makers[name]()
        except MeterError as error:
            refusals.append(f"{name}: {error}")
    raise MeterError(f"nothing can be measured here: {'; '.join(refusals)}; or give --meter csv --log FILE")


def _record(item: Json, session: _Session) -> Json:
    """Return one record as ecoNAS keeps it."""
    arguments, meter, host = session.arguments, session.meter, host_identity(session.arguments.root)
    threads = arguments.threads or item["deployment"]["threads"]
    how = {**item["deployment"], "runtime": session.runtime, "threads": threads}
    place = Place(
        meter=meter,
        computes_on=host if arguments.device == "cpu" else f"{meter.info.device}+{host}",
        settings=session.settings,
        target=arguments.target / 100,
        root=arguments.root,
        idle_file=session.idle_file,
        owner="measure.py",
    )
    found = measure(lambda: _runner(item, session.here, how, arguments.device), place)
    return {
        "version": 1,
        "key": {"architecture": item["digest"], "deployment": how, "device": meter.info.device},
        "quantity": "energy_per_image_b1" if how["batch"] == 1 else "energy_per_image",
        "energy": _joules(meter.info, found.measurement.value_j, found.measurement.ranking_j),
        "spent": _joules(meter.info, found.spent_j, (found.spent_j, found.spent_j)),
        "runner": found.runner,
        "workload": {
            "model": item["name"],
            "digest": item["digest"],
            "shape": item["shape"],
            "deployment": how,
            "costs": item["costs"],
            "candidate": item["candidate"],
        },
        "software": dict(_software()),
        **_values(found),
    }


def _values(found: Measured) -> Json:
    measurement = found.measurement
    return {
        "latency": asdict(found.latency),
        "status": measurement.status,
        "reasons": list(measurement.reasons),
        "measurement": asdict(measurement),
        "peak_memory_bytes": found.peak_memory_bytes,
        "started": found.started.isoformat(),
        "ended": found.ended.isoformat(),
    }


def _joules(meter: MeterInfo, value_j: float, interval_j: tuple[float, float]) -> Json:
    return {
        "kind": meter.kind,
        "value_j": value_j,
        "low_j": interval_j[0],
        "high_j": interval_j[1],
        "method": meter.method,
        "scope": meter.scope,
        "device": meter.device,
    }


def _runner(item: Json, here: Path, how: Json, device: str) -> Runner:
    """Return a network ready to run; raises EcoNASError where the bundle does not hold it for this runtime."""
    file = item["files"].get("onnx" if how["runtime"] == "onnxruntime" else "torch")
    if file is None:
        raise EcoNASError(f"the bundle does not hold it for {how['runtime']}; give another --runtime")
    if how["runtime"] == "onnxruntime":
        return OnnxRunner(here / file, how["batch"], how["threads"], device, resolution=how["resolution"])
    import torch  # noqa: PLC0415  only one of the two runtimes has to be there

    torch.set_num_threads(how["threads"])
    layout = torch.channels_last if how["layout"] == "channels_last" else torch.contiguous_format
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[how["dtype"]]
    images = [torch.randn(item["shape"]).to(device, dtype, memory_format=layout) for _ in range(NUM_BUFFERS)]

    def run() -> None:
        images.append(images.pop(0))
        with torch.inference_mode():
            network(images[0])
        if device != "cpu":
            torch.cuda.synchronize()

    try:
        network = torch.export.load(here / file).module().to(device).to(memory_format=layout)
        run()
    except Exception as error:  # another version's format, a missing kernel: torch's errors share no base class
        raise EcoNASError(f"torch does not run it: {' '.join(str(error).split())[:200]}") from None
    return CallableRunner("eager", item["shape"][0], run)


def _runtime() -> str:
    for package, runtime in (("onnxruntime", "onnxruntime"), ("torch", "eager")):
        if find_spec(package) is not None:  # by module: onnxruntime-gpu is a package of another name
            return runtime
    raise EcoNASError("neither onnxruntime nor torch is installed here; pip install onnxruntime")


def _software() -> Iterator[tuple[str, str]]:
    yield "python", sys.version.split()[0]
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            yield package, metadata.version(package)


def _settings(overrides: Sequence[str]) -> EnergySettings:
    values: Json = {}
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals or name not in {field.name for field in fields(EnergySettings)}:
            raise EcoNASError(f"--set {text}: no such setting of the protocol; write for example idle_s=5")
        try:
            values[name] = json.loads(value)
        except ValueError:
            raise EcoNASError(f"--set {text}: '{value}' is not a number") from None
    try:
        return EnergySettings(**values)
    except (TypeError, ValueError) as error:
        raise EcoNASError(f"--set: {error}") from None


def _write(records: Sequence[Json], out: Path) -> None:
    part = out.with_name(f"{out.name}.part")
    part.write_text(json.dumps(records, indent=1, default=sorted), encoding="utf-8")  # sorted: sets of process ids
    part.replace(out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="measure.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("records.json"), help="where the records go")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="networks by name, as in networks.json")
    parser.add_argument("--runtime", choices=("onnxruntime", "eager"), help="default: onnxruntime, else torch")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, help="default: as the networks say")
    parser.add_argument("--meter", choices=("auto", "nvml", "rapl", "hwmon", "csv"), default="auto")
    parser.add_argument("--gpu", help="UUID of one of several, for nvml")
    parser.add_argument("--sensor", help="name of one of several, for hwmon")
    parser.add_argument("--log", type=Path, help="of an external meter, for csv")
    parser.add_argument("--clock-offset-s", type=float, default=0.0, help="seconds that the log's clock is ahead")
    parser.add_argument("--root", type=Path, default=Path("/"), help="where sys and proc lie")
    parser.add_argument("--target", type=float, default=5.0, help="per cent; half of the interval, at most")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="a setting of the protocol"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
