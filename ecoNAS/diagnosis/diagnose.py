"""A whole machine looked at: software, devices, meters, lanes, disk; and in one sentence what can be measured on it.

Nothing of the machine is changed, but for the lanes that are taken while a meter is timed. Printing is the command's.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ecoNAS.config import EnergyConfig
from ecoNAS.diagnosis.device_findings import Gpus, TorchFacts, device_findings, find_gpus
from ecoNAS.diagnosis.finding import Diagnosis, Finding, Group, State, refused
from ecoNAS.diagnosis.lane_findings import lane_findings
from ecoNAS.diagnosis.meter_findings import EXTERNAL, hwmon_name, meter_findings, meter_name
from ecoNAS.diagnosis.software_findings import software_findings
from ecoNAS.energy.clock import Clock
from ecoNAS.energy.select import select_meter
from ecoNAS.errors import MeterError

GB: Final = 1e9
ENOUGH_BYTES: Final = 1e9
SHARED_MEMORY: Final = Path("/dev/shm")  # where Ray keeps its objects
_DISK: Final[Group] = "disk & temp"


def diagnose(root: Path, nvml: Any, clock: Clock, torch: TorchFacts, quick: bool = False) -> Diagnosis:
    """Return everything that is known of this machine.

    Args:
        root: Where `sys`, `proc` and `etc` lie.
        nvml: The module `pynvml`, or a fake.
        clock: Whose seconds pass.
        torch: What PyTorch says of itself in this process.
        quick: Leave out the timing of meters.
    """
    gpus = find_gpus(nvml)
    meters = meter_findings(root, gpus, nvml, clock, quick)
    findings = [
        *software_findings(),
        *device_findings(root, gpus, torch),
        *meters,
        *lane_findings(root, gpus, torch, nvml, clock),
        *disk_findings(),
    ]
    return Diagnosis(tuple(findings), verdict(root, gpus, nvml, clock, meters))


def verdict(root: Path, gpus: Gpus, nvml: Any, clock: Clock, meters: list[Finding]) -> str:
    """Return what `auto` takes for the CPU and for each GPU, or what to write where it takes nothing.

    Args:
        root: Where `sys` and `proc` lie.
        gpus: As the driver shows them.
        nvml: The module `pynvml`, or a fake.
        clock: Whose seconds meters count.
        meters: What was found when they were opened; one that was refused then counts for nothing.
    """
    usable = [finding.name for finding in meters if finding.state != "missing"]
    taken, without = list[str](), list[str]()
    for label, uuid in [("the CPU", None), *((gpu.label, gpu.uuid or gpu.label) for gpu in gpus.found)]:
        try:
            info = select_meter(EnergyConfig(root=root), uuid, clock, nvml).info
        except (MeterError, OSError):
            without.append(label)
            continue
        if meter_name(info, gpus) in usable:
            taken.append(f"{info.name} ({info.scope} of {info.device_name}) for networks on {label}")
        else:
            without.append(label)
    sensor = next((name.removeprefix(hwmon_name("")) for name in usable if name.startswith(hwmon_name(""))), None)
    if sensor is not None and "the CPU" in without:  # several sensors: which one shows the CPU, only a person knows
        without.remove("the CPU")
        taken.append(f"nothing for networks on the CPU until a sensor is named, as in 'device: {sensor}'")
    if not taken:
        return (
            f"Joules can only be estimated here, on {_joined(without)}: write 'energy: {{meter: estimate}}' in the "
            f"experiment, or {EXTERNAL}."
        )
    estimated = f"; on {_joined(without)} it can measure nothing, so write 'meter: estimate'" if without else ""
    return f"Here 'energy: {{meter: auto}}' takes {_joined(taken)}{estimated}."


def disk_findings() -> list[Finding]:
    """Return whether runs can be written here, and whether Ray has room."""
    return [
        _space("current folder", Path.cwd, "runs are written here: free some space, or give --run-dir elsewhere"),
        _space("temporary folder", lambda: Path(tempfile.gettempdir()), "free some space, or set TMPDIR elsewhere"),
        _space(
            "shared memory",
            lambda: SHARED_MEMORY,
            "start the container with --shm-size=2g, or write 'workers: {kind: in_process}'",
        ),
    ]


def _space(name: str, find: Callable[[], Path], remedy: str) -> Finding:
    try:
        folder = find()
        free_bytes, is_writable = shutil.disk_usage(folder).free, os.access(folder, os.W_OK | os.X_OK)
    except FileNotFoundError as error:
        if name == "shared memory":  # macOS has none, and Ray does without
            return Finding(_DISK, name, "ok", f"no {SHARED_MEMORY} here; Ray uses the temporary folder")
        return refused(_DISK, name, error, remedy)
    except OSError as error:
        return refused(_DISK, name, error, remedy)
    text = f"{free_bytes / GB:.1f} GB free in {folder}"
    if not is_writable:
        return Finding(_DISK, name, "missing", f"{folder} cannot be written", remedy)
    state: State = "ok" if free_bytes >= ENOUGH_BYTES else "warn"
    return Finding(_DISK, name, state, text, "" if state == "ok" else remedy)


def _joined(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
