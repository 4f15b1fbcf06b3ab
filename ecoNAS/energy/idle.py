"""Idle power: what a device takes with the network loaded and nothing running."""

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.meter import EnergyMeter
from ecoNAS.energy.ticks import TickLog
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeasurementError
from ecoNAS.measurement import Idle

MIN_TICKS = 3


def measure_idle(meter: EnergyMeter, settings: EnergySettings, period_s: float, clock: Clock = REAL_CLOCK) -> Idle:
    """Return the power between the first and the last tick of `settings.idle_s` seconds in which nothing is run.

    Args:
        meter: Open; nobody else may use the device.
        settings: How long, and how often the counter is polled.
        period_s: Update period of the counter.
        clock: The clock of the meter.

    Raises:
        MeasurementError: if the counter cannot be trusted, or hardly moved.
    """
    log = TickLog(meter, period_s, settings, clock)
    with log.polling():
        clock.sleep(settings.idle_s)
    ticks = log.ticks
    if len(ticks) < MIN_TICKS:
        raise MeasurementError(
            f"the counter of '{meter.info.name}' moved {len(ticks)} times in {settings.idle_s} s of idle; "
            "set energy.protocol.idle_s higher"
        )
    power_w = (ticks[-1].energy_j - ticks[0].energy_j) / (ticks[-1].time_s - ticks[0].time_s)
    return Idle(power_w, clock.now_s())
