"""Which source of joules an experiment gets: a meter or an estimator by name, or a refusal that says why.

`auto` takes the best counter of the device that candidates run on, and never falls back to an estimate: a front of
guesses that someone takes for measurements is worse than none. How a meter counts is decided by its own module.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import pynvml

from ecoNAS.config import EnergyConfig
from ecoNAS.dotted_path import import_named
from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.coefficients import CalibratedEstimator, read_coefficients
from ecoNAS.energy.estimate import EnergyEstimator, MacsAndBytes
from ecoNAS.energy.meter import EnergyMeter, SimulatedMeter
from ecoNAS.energy.meters.composite import CompositeMeter
from ecoNAS.energy.meters.csv_log import CsvMeter, align, keep_busy
from ecoNAS.energy.meters.hwmon import HwmonMeter
from ecoNAS.energy.meters.nvml import NvmlMeter
from ecoNAS.energy.meters.rapl import RaplMeter
from ecoNAS.errors import MeterError, unknown_name
from ecoNAS.measurement import MeterInfo

logger = logging.getLogger(__name__)

AUTO: Final = "auto"
SIMULATED_POWER_W: Final = 10.0


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a meter is looked for.

    Attributes:
        gpu_uuid: Of the GPU that candidates run on; None where they run on the CPU.
        clock: Whose seconds a meter counts.
        nvml: The module `pynvml`, or a fake.
    """

    gpu_uuid: str | None = None
    clock: Clock = REAL_CLOCK
    nvml: Any = pynvml  # Any: pynvml has no types


Maker = Callable[[EnergyConfig, Machine], EnergyMeter]


def _csv(config: EnergyConfig, machine: Machine) -> EnergyMeter:
    if config.path is None:
        raise MeterError(
            "meter 'csv' reads the log of an external meter; say where it is: energy: {meter: csv, path: FILE}"
        )
    if config.clock_offset_s == "align":
        offset_s = align(CsvMeter(config.path, clock=machine.clock), keep_busy, machine.clock)
        return CsvMeter(config.path, offset_s, machine.clock)
    return CsvMeter(config.path, config.clock_offset_s, machine.clock)


def _estimate(config: EnergyConfig) -> EnergyEstimator:
    if config.coefficients is None:
        return MacsAndBytes(config.device_class)
    return CalibratedEstimator(read_coefficients(config.coefficients))


METERS: dict[str, Maker] = {
    "nvml": lambda config, machine: NvmlMeter(config.device or machine.gpu_uuid, machine.nvml, machine.clock),
    "rapl": lambda config, machine: RaplMeter(config.root, machine.clock),
    "hwmon": lambda config, machine: HwmonMeter(config.root, config.device, machine.clock),
    "csv": _csv,
    "simulated": lambda config, machine: SimulatedMeter(SIMULATED_POWER_W, machine.clock),
}
ESTIMATORS: dict[str, Callable[[EnergyConfig], EnergyEstimator]] = {
    "estimate": _estimate,
}


def is_estimated(config: EnergyConfig) -> bool:
    """Return whether joules are computed and nothing is measured."""
    return config.meter in ESTIMATORS


def select_estimator(config: EnergyConfig) -> EnergyEstimator:
    """Return the estimator that an experiment names; raises MeterError where it has no coefficients."""
    return ESTIMATORS[config.meter](config)


def select_meter(
    config: EnergyConfig,
    gpu_uuid: str | None = None,
    clock: Clock = REAL_CLOCK,
    nvml: Any = pynvml,  # Any: pynvml has no types
) -> EnergyMeter:
    """Return the meter that the section `energy` of an experiment asks for, not open yet.

    Args:
        config: The section; `meter` is `auto`, a name, several names joined by `+`, or a dotted path
            `package.module:name` of a function (config) -> EnergyMeter.
        gpu_uuid: Of the GPU that candidates run on; None where they run on the CPU.
        clock: Whose seconds it counts.
        nvml: The module `pynvml`, or a fake.

    Raises:
        MeterError: for an unknown name, and where the meter cannot be had, with what was tried and the remedy.
    """
    machine = Machine(gpu_uuid, clock, nvml)
    if config.meter == AUTO:
        return _best(config, machine)
    if ":" in config.meter:
        return _from_path(config)
    for name in config.meter.split("+"):
        if name not in METERS:
            raise MeterError(unknown_name("meter", name, [AUTO, *ESTIMATORS, *METERS]))
    meters = [METERS[name](config, machine) for name in config.meter.split("+")]
    return meters[0] if len(meters) == 1 else CompositeMeter(meters)


def _best(config: EnergyConfig, machine: Machine) -> EnergyMeter:
    """Return the first meter that can be had for the device that candidates run on."""
    where, names = ("a GPU", ["nvml"]) if machine.gpu_uuid else ("the CPU", ["rapl", "hwmon"])
    refusals = []
    for name in names:
        try:
            meter = METERS[name](config, machine)
        except MeterError as error:
            refusals.append(f"{name}: {error}")
            continue
        logger.info("meter 'auto' is %s: candidates run on %s and it answers (%s)", name, where, meter.info.device_name)
        return meter
    raise MeterError(
        f"meter 'auto' can measure nothing here, where candidates run on {where}: {'; '.join(refusals)}. "
        "`econas doctor` says more. For joules that are openly estimated, write 'energy: {meter: estimate}'"
    )


def _from_path(config: EnergyConfig) -> EnergyMeter:
    """Return the meter that a user's own function makes."""
    maker = import_named(config.meter, "meter", MeterError)
    if not callable(maker):
        raise MeterError(f"meter '{config.meter}' is a {type(maker).__name__}; name a function that makes a meter")
    meter = maker(config)
    if not isinstance(getattr(meter, "info", None), MeterInfo) or not callable(getattr(meter, "read", None)):
        raise MeterError(
            f"meter '{config.meter}' gave {type(meter).__name__}, which has no `info: MeterInfo` and `read()`; "
            "see ecoNAS.energy.meter.EnergyMeter"
        )
    return cast(EnergyMeter, meter)
