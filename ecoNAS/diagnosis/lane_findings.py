"""Whether a device can be had alone: its lane, who is in it now, and whether it can be verified that nobody else is."""

import time
from pathlib import Path
from typing import Any, Final

from ecoNAS.config import EnergyConfig
from ecoNAS.diagnosis.device_findings import Gpus, TorchFacts
from ecoNAS.diagnosis.finding import Finding, Group, refused
from ecoNAS.energy.clock import Clock
from ecoNAS.energy.exclusivity import CpuWatch, GpuWatch, Verdict
from ecoNAS.energy.lane import Lane
from ecoNAS.energy.lane_files import LaneStatus, lanes_folder
from ecoNAS.energy.meters.rapl import host_identity
from ecoNAS.energy.select import METERS, Machine
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeterError

GROUP: Final[Group] = "lane & exclusivity"
WATCH_S: Final = 1.0
SHARED: Final = (
    "end what else runs there before joules are measured, or wait for it; a block that is disturbed is repeated"
)
UNVERIFIABLE: Final = (
    "nothing has to be done: records say 'unverifiable'. To have it verified, search outside of the container, or "
    "start it with --pid=host"
)


def lane_findings(root: Path, gpus: Gpus, torch: TorchFacts, nvml: Any, clock: Clock) -> list[Finding]:
    """Return whether lanes work, who holds one, and whether each device is ours alone right now.

    Args:
        root: Where `proc` and `etc` lie.
        gpus: As the driver shows them.
        torch: What PyTorch says; a GPU on which it computed must list this process.
        nvml: The module `pynvml`, or a fake.
        clock: Whose seconds pass while the CPU is watched.
    """
    found = _lanes(root, gpus)
    share = EnergySettings().foreign_share
    watch = CpuWatch(root, share=share, clock=clock)
    watch.begin()
    clock.sleep(WATCH_S)
    found.append(_alone("alone on the CPU", watch.verdict(), f"others took at most {share:.0%} for {WATCH_S:.0f} s"))
    for gpu in gpus.found:
        name = f"alone on {gpu.label}"
        if gpu.uuid not in torch.gpu_uuids:
            text = "not verified: PyTorch does not compute on it, so the driver cannot list this process"
            found.append(Finding(GROUP, name, "warn", text, "see PyTorch and this GPU among the devices"))
            continue
        try:
            with METERS["nvml"](EnergyConfig(device=gpu.uuid), Machine(gpu.uuid, clock, nvml)) as meter:
                gpu_watch = GpuWatch(meter, root)
                gpu_watch.begin()
                found.append(_alone(name, gpu_watch.verdict(), "only processes of ours are on it"))
        except (MeterError, nvml.NVMLError) as error:
            found.append(refused(GROUP, name, error, state="warn"))
    return found


def _lanes(root: Path, gpus: Gpus) -> list[Finding]:
    try:
        folder = lanes_folder()
        found = [Finding(GROUP, "lanes", "ok", f"{folder} can be written")]
        devices = {"lane of the CPU": host_identity(root)}
        devices |= {f"lane of {gpu.label}": gpu.uuid for gpu in gpus.found if gpu.uuid}
        return found + [_lane(name, Lane(device, folder).status()) for name, device in devices.items()]
    except (MeterError, OSError) as error:
        return [refused(GROUP, "lanes", error)]


def _lane(name: str, status: LaneStatus) -> Finding:
    waiting = f"; {status.num_waiting} wait" if status.num_waiting else ""
    if status.pid is None:
        return Finding(GROUP, name, "ok", f"nobody measures now{waiting}")
    since = time.strftime("%H:%M:%S", time.localtime(status.since_s))
    owner = f" ({status.owner})" if status.owner else ""
    return Finding(GROUP, name, "warn", f"process {status.pid}{owner} measures since {since}{waiting}", "wait for it")


def _alone(name: str, verdict: Verdict, why: str) -> Finding:
    if verdict.state == "exclusive":
        return Finding(GROUP, name, "ok", f"verified: {why}")
    if verdict.state == "violated":
        return Finding(GROUP, name, "warn", verdict.reason, SHARED)
    return Finding(GROUP, name, "warn", f"cannot be verified: {verdict.reason}", UNVERIFIABLE)
