"""Which source of joules an experiment gets: an estimator by name, or a refusal that says why no meter will do.

`auto` never falls back to an estimate: a front of guesses that someone takes for measurements is worse than none.
Reading counters comes with a later version: meters will be rows of `ENERGY_SOURCES`, and dotted paths looked up here.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pynvml

from ecoNAS.config import EnergyConfig
from ecoNAS.energy.estimate import EnergyEstimator, MacsAndBytes
from ecoNAS.energy.probe import probe_meters
from ecoNAS.errors import MeterError, unknown_name

AUTO = "auto"
ENERGY_SOURCES: dict[str, Callable[[EnergyConfig], EnergyEstimator]] = {
    "estimate": lambda config: MacsAndBytes(config.device_class),
}


def select_energy_source(
    config: EnergyConfig,
    root: Path = Path("/"),
    nvml: Any = pynvml,  # Any: pynvml has no types
) -> EnergyEstimator:
    """Return the source of joules that the section `energy` of an experiment names.

    Args:
        config: The section.
        root: Where `sys` lies, for `auto`.
        nvml: The module `pynvml`, or a fake.

    Raises:
        MeterError: for an unknown name or class of device, and for `auto`, which says what was probed.
    """
    if config.meter == AUTO:
        _refuse_auto(root, nvml)
    if config.meter not in ENERGY_SOURCES:
        raise MeterError(unknown_name("meter", config.meter, [AUTO, *ENERGY_SOURCES]))
    return ENERGY_SOURCES[config.meter](config)


def _refuse_auto(root: Path, nvml: Any) -> NoReturn:  # Any: pynvml has no types
    findings = probe_meters(root, nvml)
    later = " (found, but reading it comes with a later version)"
    said = "; ".join(f"{finding}{later if finding.is_readable else ''}" for finding in findings)
    raise MeterError(
        f"meter 'auto' can measure nothing here: {said}. "
        "For joules that are openly estimated, write 'energy: {meter: estimate}'"
    )
