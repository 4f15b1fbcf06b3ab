"""What measuring a network gives: windows, joules per image with two intervals, latency, and the state of the device.

Plain values of the standard library, so that a machine without ecoNAS's dependencies can make and write them. How they
come about is decided by `ecoNAS.energy`; the typed joules and the full record of a profile are `ecoNAS.records`.
"""

from dataclasses import dataclass
from typing import Literal

MeterKind = Literal["measured", "simulated"]
ProfileStatus = Literal["ok", "ci_unmet", "unstable", "thermal_unsettled", "invalid"]
Exclusivity = Literal["exclusive", "unverifiable", "violated"]


@dataclass(frozen=True, slots=True)
class MeterInfo:
    """What a meter is, known before it is opened.

    Attributes:
        name: The name under which an experiment asks for it.
        kind: Whether a real counter stands behind it.
        method: How it comes to joules, such as `energy_counter` or `integrated_power`.
        scope: Which parts of the device it counts, such as `gpu` or `package+dram`.
        domains: The counters that are added up, by the names that the system gives them.
        device: An identity that does not move between runs, such as a GPU's UUID.
        device_name: For people.
        driver: Driver and its version; empty where there is none.
    """

    name: str
    kind: MeterKind
    method: str
    scope: str
    device: str
    domains: tuple[str, ...] = ()
    device_name: str = ""
    driver: str = ""


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What a device says of itself at one moment; None where it cannot say.

    Attributes:
        temperature_c: Degrees Celsius.
        throttled_s: Seconds of thermal or hardware slow-down since the driver was loaded.
        capped_s: Seconds of power capping since then.
        power_w: Power right now, by a sensor of its own (not the energy counter).
        power_limit_w: The limit that is enforced.
        clock_mhz: Clock of the processor.
        process_ids: Whose processes use the device.
    """

    temperature_c: float | None = None
    throttled_s: float | None = None
    capped_s: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    clock_mhz: float | None = None
    process_ids: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of continuous running, read between two ticks of the counter.

    Attributes:
        block: Which block it belongs to, from 0.
        phase: Start after a tick, as a share of the update period.
        power_w: Joules over seconds between its first and last tick that count.
        image_s: Seconds per image.
        num_ticks: Ticks between and including these two.
        num_iterations: Batches that were run.
        duration_s: Seconds between these two ticks.
        replaced: Whether it was an outlier that another measurement took the place of.
    """

    block: int
    phase: float
    power_w: float
    image_s: float
    num_ticks: int
    num_iterations: int
    duration_s: float
    replaced: bool = False

    @property
    def energy_j(self) -> float:
        """Joules per image."""
        return self.power_w * self.image_s


@dataclass(frozen=True, slots=True)
class Idle:
    """The power of a device with the network loaded and nothing running.

    Attributes:
        power_w: Watts.
        time_s: Monotonic seconds at which it was measured.
    """

    power_w: float
    time_s: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds per batch of a deployed network, by wall clock."""

    median_s: float
    p95_s: float
    standard_error_s: float
    num_iterations: int
    batch: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """Joules per image of one network on one device, with everything that stands behind them.

    Attributes:
        meter: What counted.
        period_s: Update period of its counter.
        batch: Images per call.
        value_j: Joules per image, gross: idle power is part of them.
        repeatability: Half of the 95 % interval as a share of the value, without the floor of the method: more windows
            make it smaller.
        ranking_j: The 95 % interval for comparing networks on this device.
        absolute_j: The 95 % interval that holds the error of the device's own meter as well.
        net_j: Joules per image above idle; None where idle is not known or not steady.
        idle_w: Watts of resident idle, once before or before and after.
        windows: All of them, replaced ones too.
        num_blocks: How many blocks of windows were measured.
        mean_power_w: Over the windows that count.
        peak_power_w: The highest power between two neighbouring ticks, or that the device's sensor showed.
        before: The device before the first window that counts.
        after: The device after the last one.
        exclusivity: Whether the device was ours alone.
        status: `ok`, or what is wrong with the value.
        reasons: Why, one line each.
        duration_s: Seconds of the whole profile, warm-up included.
    """

    meter: MeterInfo
    period_s: float
    batch: int
    value_j: float
    repeatability: float
    ranking_j: tuple[float, float]
    absolute_j: tuple[float, float]
    net_j: float | None
    idle_w: tuple[float, ...]
    windows: tuple[Window, ...]
    num_blocks: int
    mean_power_w: float
    peak_power_w: float
    before: DeviceState
    after: DeviceState
    exclusivity: Exclusivity
    duration_s: float
    status: ProfileStatus = "ok"
    reasons: tuple[str, ...] = ()
