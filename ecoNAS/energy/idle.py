"""Idle power: what a device takes with the network loaded and nothing running.

When it is measured, and how long it holds, is decided by who measures.
"""

from typing import Final

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.meter import EnergyMeter
from ecoNAS.energy.ticks import TickLog
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeasurementError
from ecoNAS.measurement import Idle

MIN_TICKS: Final = 3


def measure_idle(meter: EnergyMeter, settings: EnergySettings, period_s: float, clock: Clock = REAL_CLOCK) -> Idle:
    """Return the power between the first and the last tick of `settings.idle_s` seconds in which nothing is run.

    As in a window, ticks count from `settings.lead_periods` on: the first may still hold what ran before.

    Args:
        meter: Open; nobody else may use the device.
        settings: How long, and how often the counter is polled.
        period_s: Update period of the counter.
        clock: The clock of the meter.

    Raises:
        MeasurementError: if the counter cannot be trusted, or hardly moved.
    """
    log = TickLog(meter, period_s, settings, clock)
    from_s = clock.now_s() + settings.lead_periods * period_s
    with log.polling():
        clock.sleep(settings.lead_periods * period_s + settings.idle_s)
    ticks = log.between(from_s, clock.now_s())
    if len(ticks) < MIN_TICKS:
        raise MeasurementError(
            f"the counter of '{meter.info.name}' moved {len(ticks)} times in {settings.idle_s} s of idle; "
            "set energy.protocol.idle_s higher",
            log.counted_j,
        )
    power_w = (ticks[-1].energy_j - ticks[0].energy_j) / (ticks[-1].time_s - ticks[0].time_s)
    return Idle(power_w, clock.now_s())
