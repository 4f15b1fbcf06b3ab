"""What each meter says when it is really opened, read and timed on this machine.

A meter that cannot be had says why, and the remedy, in its own words. How often a counter moves and whether it agrees
with its sensor is looked at afresh, in the lane of its device; what was found out before does not count here.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from ecoNAS.config import EnergyConfig
from ecoNAS.diagnosis.device_findings import DRIVER_REMEDY, Gpus, is_virtual
from ecoNAS.diagnosis.finding import Finding, Group, refused
from ecoNAS.energy.clock import Clock
from ecoNAS.energy.lane import Lane
from ecoNAS.energy.lane_files import LaneStatus
from ecoNAS.energy.meter import EnergyMeter
from ecoNAS.energy.meters.calibration import calibrate
from ecoNAS.energy.meters.hwmon import find_sensors
from ecoNAS.energy.select import METERS, Machine
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeasurementError, MeterError
from ecoNAS.measurement import MeterInfo

GROUP: Final[Group] = "meters"
RAPL: Final = "rapl, CPU"
MAX_WAIT_S: Final = 10.0
# Docker masks /sys/devices/virtual/powercap since 24.0.7 (moby, GHSA-jq35-85cj-fj4p), and the links of the tree dangle.
UNMASK: Final = (
    "in a container, start it with --security-opt systempaths=unconfined, or run outside of it; elsewhere, restart the "
    "machine"
)
RESTART: Final = "update the driver, restart the machine, and run `econas doctor` again"
EXTERNAL: Final = "log an external meter (energy: {meter: csv, path: FILE})"


def meter_findings(root: Path, gpus: Gpus, nvml: Any, clock: Clock, quick: bool = False) -> list[Finding]:
    """Return what can be metered: every GPU, the CPU's packages, and the board's sensors.

    Args:
        root: Where `sys` and `proc` lie.
        gpus: As the driver shows them.
        nvml: The module `pynvml`, or a fake.
        clock: Whose seconds the meters count.
        quick: Leave the timing out, which takes about 8 s a meter.
    """
    found = []
    for gpu in gpus.found:
        if not gpu.uuid:
            found.append(Finding(GROUP, f"nvml, {gpu.label}", "missing", f"does not answer: {gpu.trouble}", RESTART))
            continue
        config, machine = EnergyConfig(root=root, device=gpu.uuid), Machine(gpu.uuid, clock, nvml)
        found.append(_look("nvml", f"nvml, {gpu.label}", config, machine, quick))
    if not gpus.found:
        text = f"no GPU to meter: {gpus.trouble or 'the driver lists none'}"
        found.append(Finding(GROUP, "nvml, GPU", "missing", text, DRIVER_REMEDY))
    machine = Machine(None, clock, nvml)
    found.append(_look("rapl", RAPL, EnergyConfig(root=root), machine, quick))
    sensors = next(filter(None, find_sensors(root)), ())
    for sensor in sensors:
        config = EnergyConfig(root=root, device=sensor.name)
        found.append(_look("hwmon", hwmon_name(sensor.name), config, machine, quick))
    if not sensors:
        found.append(_look("hwmon", hwmon_name("board"), EnergyConfig(root=root), machine, quick))
    return found


def meter_name(info: MeterInfo, gpus: Gpus) -> str:
    """Return the name of the finding about a meter."""
    if info.name == "nvml":
        return next(f"nvml, {gpu.label}" for gpu in gpus.found if gpu.uuid == info.device)
    return hwmon_name(info.device_name) if info.name == "hwmon" else RAPL


def hwmon_name(sensor: str) -> str:
    """Return the name of the finding about a sensor of the board."""
    return f"hwmon, {sensor}"


def _look(meter_of: str, name: str, config: EnergyConfig, machine: Machine, quick: bool) -> Finding:
    """Open and read a meter, and time it unless that is left out."""
    try:
        meter = METERS[meter_of](config, machine)
        with meter:
            meter.read()
            if not quick:
                return _timed(meter, name, machine.clock)
    except (MeterError, OSError, machine.nvml.NVMLError) as error:
        if meter_of == "rapl" and "does not answer" in str(error):
            return Finding(GROUP, name, "missing", str(error), UNMASK)
        return refused(GROUP, name, error, _otherwise(meter_of, config.root, str(error)))
    return Finding(GROUP, name, "ok", f"{_described(meter.info)}; not timed (--quick)")


def _timed(meter: EnergyMeter, name: str, clock: Clock) -> Finding:
    what = _described(meter.info)
    try:
        lane = Lane(meter.info.device, clock=clock, owner="econas doctor")
        with lane.measuring(_give_up_later(clock)), TemporaryDirectory() as cache:
            found = calibrate(meter, EnergySettings(), clock, Path(cache))
    except MeasurementError as error:
        return Finding(GROUP, name, "missing", f"{what}; would be refused: {error}", RESTART)
    except (MeterError, OSError) as error:  # of the lane or of the temporary folder
        found_out = refused(GROUP, name, error, state="warn")
        return replace(found_out, text=f"{what}; not timed: {found_out.text}")
    ratio = found.sensor_ratio
    check = "no power sensor to hold it against" if ratio is None else f"{ratio:.2f} times its own power sensor"
    return Finding(GROUP, name, "ok", f"{what}; moves every {found.period_s * 1e3:.3g} ms; {check}")


def _give_up_later(clock: Clock) -> Callable[[LaneStatus], None]:
    started_s = clock.now_s()

    def on_wait(status: LaneStatus) -> None:
        if clock.now_s() - started_s >= MAX_WAIT_S:
            raise MeterError(f"process {status.pid} uses the device; wait for it, or give --quick")

    return on_wait


def _described(info: MeterInfo) -> str:
    return f"answers; scope {info.scope}, method {info.method}, counts {', '.join(info.domains)}"


def _otherwise(meter: str, root: Path, message: str) -> str:
    """Return what would help where the meter's own words hold no remedy."""
    if meter == "nvml":
        return DRIVER_REMEDY
    if meter == "hwmon":
        return f"needed only where no other meter answers: {EXTERNAL}"
    if is_virtual(root):
        return f"a virtual machine is not shown its host's counters: use bare metal, or {EXTERNAL}"
    return f"sudo modprobe intel_rapl_msr (Intel, and AMD since Zen); without such a CPU, {EXTERNAL}"
