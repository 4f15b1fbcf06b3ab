"""What counters of energy this machine has, and why each can or cannot be read; nothing is measured here.

`select` builds its refusal from the findings and `econas doctor` shows them. Root of the file system and NVML can be
replaced, so that tests run on trees of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pynvml

RAPL_FILES = "sys/class/powercap/intel-rapl*/energy_uj"
HWMON_FILES = ("sys/class/hwmon/*/energy*_input", "sys/class/hwmon/*/power*_input")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one kind of meter.

    Attributes:
        meter: Its name.
        is_readable: Whether its counter answered.
        message: What answered, or why not and the remedy; one line.
    """

    meter: str
    is_readable: bool
    message: str

    def __str__(self) -> str:
        """Return `meter: message`."""
        return f"{self.meter}: {self.message}"


def probe_meters(root: Path = Path("/"), nvml: Any = pynvml) -> tuple[Finding, ...]:  # Any: pynvml has no types
    """Return what this machine has of NVML, RAPL and hwmon, in this order.

    Args:
        root: Where `sys` lies.
        nvml: The module `pynvml`, or a fake with the same calls.
    """
    return (_probe_nvml(nvml), _probe_rapl(root), _probe_hwmon(root))


def _probe_nvml(nvml: Any) -> Finding:  # Any: pynvml has no types
    """Ask every NVIDIA GPU for its total-energy counter, which exists from Volta on."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Finding("nvml", False, f"{error} (no NVIDIA GPU, or its driver is not loaded)")
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        if not handles:
            return Finding("nvml", False, "the driver is loaded and shows no GPU")
        names = [str(nvml.nvmlDeviceGetName(handle)) for handle in handles]
        for handle in handles:
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError as error:
        return Finding("nvml", False, f"the GPU's energy counter does not answer: {error}")
    finally:
        nvml.nvmlShutdown()
    return Finding("nvml", True, f"{len(names)} GPU ({', '.join(dict.fromkeys(names))})")


def _probe_rapl(root: Path) -> Finding:
    files = sorted(root.glob(RAPL_FILES))
    if not files:
        return Finding("rapl", False, f"no {root / RAPL_FILES} (no Intel or AMD counters, or a virtual machine)")
    return _probe_files(
        "rapl", files, lambda path: f"readable by root only; sudo chmod a+r {path.parent.parent}/*/energy_uj"
    )


def _probe_hwmon(root: Path) -> Finding:
    files = sorted(path for pattern in HWMON_FILES for path in root.glob(pattern))
    if not files:
        return Finding("hwmon", False, f"no {root / HWMON_FILES[0]} nor {Path(HWMON_FILES[1]).name}")
    return _probe_files("hwmon", files, lambda path: f"not readable by this user; sudo chmod a+r {path}")


def _probe_files(meter: str, files: list[Path], remedy: Callable[[Path], str]) -> Finding:
    """Read each sensor once; all of them must answer, since a sum over some is a wrong sum."""
    for path in files:
        try:
            int(path.read_text())
        except PermissionError:
            return Finding(meter, False, f"{path} is {remedy(path)}")
        except OSError as error:
            return Finding(meter, False, f"{path} does not answer: {error.strerror}")
        except ValueError:
            return Finding(meter, False, f"{path} does not hold a number")
    return Finding(
        meter, True, f"{len(files)} {'counter' if len(files) == 1 else 'counters'} under {files[0].parent.parent}"
    )
