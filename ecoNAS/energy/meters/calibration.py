"""What has to be known of a meter before it is used: how often it moves, and whether it agrees with its sensor.

Both are found out when a device is first opened and kept by device, driver and meter: they do not change until one of
these does. A counter may be off (reported for a data centre card: 187 J against 327 J of integrated power in 5 s; issue
181 of the zeus project), so one that contradicts its own power sensor is refused.
"""

import hashlib
import json
import math
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Final

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.meter import EnergyMeter, Reading
from ecoNAS.energy.meters.composite import CompositeMeter
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeasurementError
from ecoNAS.measurement import MeterInfo

NUM_TICKS: Final = 15
MAX_S: Final = 5.0
FINE_POLL_S: Final = 0.001
CHECKS: Final = 2
CHECK_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is known of a meter.

    Attributes:
        period_s: Median seconds between two ticks of its counter.
        sensor_ratio: Counted joules over integrated power of the device's own sensor; None where it has none.
    """

    period_s: float
    sensor_ratio: float | None = None


def calibrate(
    meter: EnergyMeter, settings: EnergySettings, clock: Clock = REAL_CLOCK, cache: Path | None = None
) -> Calibration:
    """Return what is known of an open meter, from the cache or by looking.

    Only what was found out and passed its check is kept, so that a refused counter is looked at again the next time. Of
    a composite each part is calibrated on its own, and the slowest gives the period.

    Args:
        meter: Open, with the device in its lane and in a steady state.
        settings: A period given there is taken as it is; `insist` accepts a counter that contradicts its sensor.
        clock: The clock of the meter.
        cache: A folder; None for the user's own (`$XDG_CACHE_HOME/econas`).

    Raises:
        MeasurementError: if the counter does not move, or contradicts the device's own power sensor.
    """
    if isinstance(meter, CompositeMeter):
        return Calibration(max(calibrate(part, settings, clock, cache).period_s for part in meter.parts))
    path = (cache or cache_folder()) / f"{_key(meter.info)}.json"
    found = _read(path)
    is_new = found is None and settings.period_s is None
    if found is None:
        period_s = settings.period_s or find_period(meter, clock)
        for _ in range(CHECKS):  # a power that falls while it is looked at, as after a training, makes the two differ
            found = Calibration(period_s, compare_with_sensor(meter, period_s, settings, clock))
            if _agrees(found, settings):
                break
    assert found is not None
    if not _agrees(found, settings):
        if not settings.insist:
            raise _refusal(found, meter.info, settings)
    elif is_new:
        _write(path, found)
    return Calibration(settings.period_s or found.period_s, found.sensor_ratio)


def find_period(meter: EnergyMeter, clock: Clock = REAL_CLOCK) -> float:
    """Return the median seconds between two ticks; raises MeasurementError if the counter hardly moves."""
    ticks, last, start_s = list[float](), meter.read(), clock.now_s()
    while len(ticks) < NUM_TICKS and clock.now_s() - start_s < MAX_S:
        clock.sleep(FINE_POLL_S)
        reading = meter.read()
        if reading.energy_j != last.energy_j:
            ticks.append(reading.time_s)
        last = reading
    if len(ticks) < 3:
        raise MeasurementError(
            f"the counter of '{meter.info.name}' moved {len(ticks)} times in {MAX_S:.0f} s; it is stuck, or too slow"
        )
    return median(two - one for one, two in pairwise(ticks))


def compare_with_sensor(
    meter: EnergyMeter, period_s: float, settings: EnergySettings, clock: Clock = REAL_CLOCK
) -> float | None:
    """Return counted joules over integrated power for some seconds; None where the device shows no power."""
    powers, readings = list[tuple[float, float]](), list[Reading]()
    if meter.info.method != "energy_counter" or meter.state().power_w is None:
        return None

    def look() -> None:
        power_w = meter.state().power_w
        if power_w is not None:
            powers.append((clock.now_s(), power_w))
        readings.append(meter.read())

    with clock.every(max(period_s / 4, settings.poll_s), look):
        clock.sleep(max(CHECK_S, 10 * period_s))
    moved = [two for one, two in pairwise(readings) if two.energy_j > one.energy_j]
    if len(moved) < 3:
        raise MeasurementError(f"the counter of '{meter.info.name}' stood still while it was checked; it is stuck")
    first, last = moved[0], moved[-1]
    inside = [power for time_s, power in powers if first.time_s <= time_s <= last.time_s]
    sensed_w = sum(inside) / len(inside)
    return (last.energy_j - first.energy_j) / (last.time_s - first.time_s) / sensed_w if sensed_w > 0 else None


def cache_folder() -> Path:
    """Return where calibrations are kept; a user without a home keeps them where temporary files lie."""
    with suppress(RuntimeError):
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "econas"
    return Path(tempfile.gettempdir()) / "econas-cache"


def _agrees(found: Calibration, settings: EnergySettings) -> bool:
    return found.sensor_ratio is None or abs(found.sensor_ratio - 1) <= settings.cross_check


def _refusal(found: Calibration, info: MeterInfo, settings: EnergySettings) -> MeasurementError:
    return MeasurementError(
        f"the energy counter of {info.device_name} gives {found.sensor_ratio:.2f} times what its own power sensor adds "
        f"up to, more than {settings.cross_check:.0%} apart; update the driver, or set energy.protocol.insist to true "
        "to use it all the same"
    )


def _key(info: MeterInfo) -> str:
    identity = "|".join((info.name, info.method, info.device, info.driver))
    return hashlib.sha256(identity.encode()).hexdigest()[:24]


def _read(path: Path) -> Calibration | None:
    try:
        found = Calibration(**json.loads(path.read_text(encoding="utf-8")))
        numbers = [found.period_s] if found.sensor_ratio is None else [found.period_s, found.sensor_ratio]
        return found if all(math.isfinite(number) and number > 0 for number in numbers) else None
    except (OSError, ValueError, TypeError):  # missing, torn or of another version: it is found out again
        return None


def _write(path: Path, calibration: Calibration) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):  # a cache that cannot be written costs some seconds the next time
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(asdict(calibration)), encoding="utf-8")
        temporary.replace(path)
