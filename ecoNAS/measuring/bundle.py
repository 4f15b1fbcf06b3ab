"""Networks packed for a machine that has Python and onnxruntime, or torch, and no ecoNAS.

A bundle holds each network as ONNX and as a program of torch, the light modules of ecoNAS word for word, and the script
that measures there. What the script does is decided by `measuring.script`.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import torch

import ecoNAS
from ecoNAS.errors import EcoNASError, why_not_written
from ecoNAS.evaluation.runners import DTYPES, in_form, to_onnx
from ecoNAS.measuring import script
from ecoNAS.measuring.measure import Job
from ecoNAS.measuring.subjects import OnnxSubject, TorchSubject

# Modules that import nothing but Python's own library and each other; NumPy and onnxruntime only when they run.
ENERGY: Final = """
    __init__ clock exclusivity idle intervals lane lane_files latency measure meter onnx_runner profile runner ticks
    windows meters/__init__ meters/calibration meters/composite meters/counter meters/csv_log meters/hwmon
    meters/integral meters/nvml meters/rapl
""".split()  # noqa: SIM905  a line for each name would be no clearer
LIGHT: Final = ("__init__", "errors", "measurement", "energy_settings", *(f"energy/{name}" for name in ENERGY))
README: Final = """Joules per image, to be measured on this machine: {count}.

    python measure.py --out records.json

needs Python 3.11 or newer with onnxruntime (pip install onnxruntime) or torch, and a meter: RAPL counters that this
user may read, a power sensor, an NVIDIA GPU with nvidia-ml-py, or an external meter's log (--meter csv --log FILE).
Take records.json back to where the networks come from: econas import RUN records.json
"""


def write_bundle(jobs: Sequence[Job], folder: Path, say: Callable[[str], None]) -> int:
    """Write a bundle and return how many networks it holds.

    Args:
        jobs: Networks, each as it is to be run.
        folder: Must not exist, or be empty.
        say: Told what is packed, and what cannot be.

    Raises:
        EcoNASError: if the folder holds anything or cannot be written, or no network can be packed.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EcoNASError(f"{folder} exists and is not an empty folder; give another one, or empty it")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
            staging = Path(name)
            networks = [
                found for number, job in enumerate(jobs) if (found := _pack(job, number, staging, say))["files"]
            ]
            if not networks:
                raise EcoNASError("no network could be packed; the lines above say why")
            _write_rest(staging, networks)
            folder.mkdir(exist_ok=True)
            for path in staging.iterdir():
                path.replace(folder / path.name)
    except OSError as error:
        raise EcoNASError(f"{folder} cannot be written: {why_not_written(error)}") from None
    return len(networks)


def _pack(job: Job, number: int, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:  # Any: JSON
    """Write one network and return what the script has to know of it; without `files` where it cannot be packed."""
    say(f"packing {job.name}")
    subject, how = job.subject, job.how
    (folder / "networks").mkdir(exist_ok=True)
    files = dict[str, str]()
    try:
        workload = subject.workload(how)
        network = in_form(subject.network(how), workload.shape, how) if isinstance(subject, TorchSubject) else None
    except EcoNASError as error:
        say(f"{job.name} is not packed: {error}")
        return {"files": files}
    if isinstance(subject, OnnxSubject):
        files["onnx"] = f"networks/{number}.onnx"
        shutil.copyfile(subject.path, folder / files["onnx"])
    elif network is not None:
        network = network.to(DTYPES[how.dtype])
        images_bchw = torch.zeros(workload.shape, dtype=DTYPES[how.dtype])
        writers: dict[str, tuple[str, Callable[[Path], object]]] = {
            "onnx": ("onnx", lambda path: path.write_bytes(to_onnx(network, images_bchw))),
            "torch": ("pt2", lambda path: torch.export.save(torch.export.export(network, (images_bchw,)), path)),
        }
        for kind, (suffix, write) in writers.items():
            try:
                write(folder / f"networks/{number}.{suffix}")
            except OSError:
                raise
            except Exception as error:  # exporters raise errors of many kinds
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                say(f"{job.name} is not packed for {kind}: {reason[:200]}")
            else:
                files[kind] = f"networks/{number}.{suffix}"
    return {
        "name": workload.model,
        "digest": workload.digest,
        "candidate": workload.candidate,
        "shape": list(workload.shape),
        "deployment": how.model_dump(mode="json"),
        "costs": workload.costs.model_dump(mode="json") if workload.costs else None,
        "files": files,
    }


def _write_rest(folder: Path, networks: Sequence[dict[str, Any]]) -> None:  # Any: JSON
    """Write the light modules, the script, and what each network is."""
    source = Path(ecoNAS.__file__).parent
    for name in LIGHT:
        target = folder / "ecoNAS" / f"{name}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / f"{name}.py", target)
    shutil.copyfile(script.__file__, folder / "measure.py")
    (folder / "networks.json").write_text(json.dumps(networks, indent=1), encoding="utf-8")
    (folder / "README.md").write_text(
        README.format(count=f"{len(networks)} network{'s' if len(networks) != 1 else ''}"), encoding="utf-8"
    )
