"""Which devices are here: the CPU and what this process may use of it, every GPU, and whether PyTorch computes on it.

What PyTorch says comes in as plain facts, so that nothing here loads it. Whether a device can be metered is decided by
`meter_findings`.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from ecoNAS.diagnosis.finding import Finding, Group
from ecoNAS.energy.meters.rapl import cpu_name

T = TypeVar("T")

GROUP: Final[Group] = "devices"
DRIVER_REMEDY: Final = (
    "if the machine has an NVIDIA GPU, install NVIDIA's driver until `nvidia-smi` lists it; a container has to be "
    "started with --gpus all"
)


@dataclass(frozen=True, slots=True)
class TorchFacts:
    """What PyTorch says of itself in this process.

    Attributes:
        version: Empty where it cannot be imported.
        cuda: The version of CUDA that it was built for; None for a build without.
        gpu_uuids: Of the GPUs on which it computed something just now, in this process.
        trouble: What it complained about.
    """

    version: str = ""
    cuda: str | None = None
    gpu_uuids: tuple[str, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as the driver shows it; `trouble` says why it does not answer, empty where it does."""

    label: str
    uuid: str
    name: str
    power_limit_w: float | None
    is_mig: bool
    has_counter: bool
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Gpus:
    """The driver and its GPUs.

    Attributes:
        found: One by one, as `nvidia-smi` counts them.
        driver: Its version.
        cuda: The newest CUDA that it can run, such as (13, 0); None where it does not say.
        trouble: Why there is none.
    """

    found: tuple[Gpu, ...] = ()
    driver: str = ""
    cuda: tuple[int, int] | None = None
    trouble: str = ""


def find_gpus(nvml: Any) -> Gpus:  # Any: pynvml has no types
    """Return all GPUs that the driver shows, lost ones too."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Gpus(trouble=str(error))
    try:
        number = _ask(nvml, nvml.nvmlSystemGetCudaDriverVersion_v2)  # 13020 is 13.2
        return Gpus(
            tuple(_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount())),
            driver=str(_ask(nvml, nvml.nvmlSystemGetDriverVersion) or "of unknown version"),
            cuda=None if number is None else (number // 1000, number % 1000 // 10),
        )
    except nvml.NVMLError as error:
        return Gpus(trouble=str(error))
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def device_findings(root: Path, gpus: Gpus, torch: TorchFacts) -> list[Finding]:
    """Return what is known of the CPU, of every GPU, and of PyTorch on them.

    Args:
        root: Where `sys` and `proc` lie.
        gpus: As the driver shows them.
        torch: What PyTorch says.
    """
    found = [_cpu(root), *(_gpu_finding(gpu, gpus, torch) for gpu in gpus.found)]
    if not gpus.found:
        found.append(Finding(GROUP, "GPU", "ok", f"none: {gpus.trouble or 'the driver lists none'}"))
    return [*found, _torch(gpus, torch)]


def is_virtual(root: Path) -> bool:
    """Return whether the CPU says that it is one of a virtual machine."""
    return any(line.startswith("flags") and " hypervisor" in line for line in _lines(root / "proc/cpuinfo"))


def in_container(root: Path) -> bool:
    """Return whether Docker or Podman say that this is a container of theirs."""
    return any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv"))


def _cpu(root: Path) -> Finding:
    lines = _lines(root / "proc/cpuinfo")
    pairs = [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines)]
    num_threads = sum(key == "processor" for key, _ in pairs) or os.cpu_count() or 1
    packages = [value for key, value in pairs if key == "physical id"]
    num_cores = len(set(zip(packages, [value for key, value in pairs if key == "core id"], strict=False)))
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else num_threads
    parts = [
        cpu_name(root),
        f"{num_cores} cores with {num_threads} threads" if num_cores else f"{num_threads} threads",
        f"{allowed} allowed to this process",
        *(["a virtual machine"] if is_virtual(root) else []),
        *(["in a container"] if in_container(root) else []),
    ]
    quota = _quota(root)
    if quota is None or quota >= allowed:
        return Finding(GROUP, "CPU", "ok", ", ".join(parts))
    text = f"{', '.join(parts)}, but a quota of {quota:g} CPUs stops them now and then, which spoils latencies"
    remedy = f"start the container with more CPUs, or keep workers.count x workers.cpus_per_trial within {quota:g}"
    return Finding(GROUP, "CPU", "warn", text, remedy)


def _quota(root: Path) -> float | None:
    """Return how many CPUs' time the control group allows (Linux, cgroup-v2, `cpu.max`); None for no limit."""
    words = " ".join(_lines(root / "sys/fs/cgroup/cpu.max")).split()
    with suppress(ValueError, IndexError, ZeroDivisionError):
        return float(words[0]) / float(words[1])
    return None


def _gpu(nvml: Any, index: int) -> Gpu:
    label = f"GPU {index}"
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        uuid = str(nvml.nvmlDeviceGetUUID(handle))
    except nvml.NVMLError as error:
        return Gpu(label, "", "unknown", None, is_mig=False, has_counter=False, trouble=str(error))
    has_counter, trouble = False, ""
    try:
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        has_counter = True
    except nvml.NVMLError_NotSupported:
        pass
    except nvml.NVMLError as error:
        trouble = str(error)
    limit_mw = _ask(nvml, lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle))
    mig = _ask(nvml, lambda: nvml.nvmlDeviceGetMigMode(handle))
    return Gpu(
        label,
        uuid,
        str(_ask(nvml, lambda: nvml.nvmlDeviceGetName(handle)) or "unknown"),
        power_limit_w=None if limit_mw is None else limit_mw / 1000,
        is_mig=bool(mig and mig[0]),
        has_counter=has_counter,
        trouble=trouble,
    )


def _gpu_finding(gpu: Gpu, gpus: Gpus, torch: TorchFacts) -> Finding:
    parts = [gpu.name, gpu.uuid or "no UUID", f"driver {gpus.driver}"]
    if gpu.trouble:
        remedy = (
            "see `sudo dmesg | grep -i xid`; then reset the GPU (sudo nvidia-smi --gpu-reset) or restart the machine"
        )
        return Finding(GROUP, gpu.label, "missing", f"{', '.join(parts)}, does not answer: {gpu.trouble}", remedy)
    if gpu.power_limit_w is not None:
        parts.append(f"power limit {gpu.power_limit_w:.0f} W")
    parts.append("split by MIG" if gpu.is_mig else "not split by MIG")
    parts.append("its energy counter answers" if gpu.has_counter else "no energy counter, so power is integrated")
    if torch.cuda is not None and torch.gpu_uuids and gpu.uuid not in torch.gpu_uuids:
        text = f"{', '.join(parts)}, not visible to PyTorch"
        return Finding(GROUP, gpu.label, "warn", text, "unset CUDA_VISIBLE_DEVICES, or have this GPU in it, to use it")
    return Finding(GROUP, gpu.label, "ok", ", ".join(parts))


def _torch(gpus: Gpus, torch: TorchFacts) -> Finding:
    name, runs = "PyTorch", ".".join(map(str, gpus.cuda or ()))
    if not torch.version:
        return Finding(GROUP, name, "missing", f"cannot be imported: {torch.trouble}", "pip install --upgrade torch")
    built = f"{torch.version}, built for {f'CUDA {torch.cuda}' if torch.cuda else 'the CPU alone'}"
    if torch.gpu_uuids:
        return Finding(GROUP, name, "ok", f"{built}, computes on {len(torch.gpu_uuids)} of {len(gpus.found)} GPUs")
    if not gpus.found:
        return Finding(GROUP, name, "ok", f"{built}, computes on the CPU")
    text = f"{built}, does not compute on a GPU{f': {torch.trouble}' if torch.trouble else ''}"
    how = f"install PyTorch for CUDA {runs or 'of the driver'} or older (https://pytorch.org/get-started/locally)"
    if torch.cuda is None:
        return Finding(GROUP, name, "warn", text, how)
    if gpus.cuda is not None and int(torch.cuda.partition(".")[0]) > gpus.cuda[0]:
        return Finding(
            GROUP, name, "warn", f"{text}; the driver runs CUDA {runs} at most", f"update the driver, or {how}"
        )
    return Finding(GROUP, name, "warn", text, "check CUDA_VISIBLE_DEVICES and `nvidia-smi`; restart after a new driver")


def _ask(nvml: Any, question: Callable[[], T]) -> T | None:
    """Return the driver's answer, or None where this card or driver has none."""
    try:
        return question()
    except nvml.NVMLError:
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
