"""The settings of the measurement protocol and their defaults; how they are used is decided by `ecoNAS.energy`.

Only the standard library is imported: the settings travel with the light part of ecoNAS to machines that have no more.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class EnergySettings:
    """How joules per image are measured.

    Attributes:
        poll_s: Seconds between two readings of the counter,
        fast_poll_s: and of one that moves more often than that, which has always just moved: each poll takes the
            processor from a network that runs on it.
        period_s: Update period of the counter in seconds; None: found out when the device is first opened.
        warm_up_s: A profile warms up for at least so many seconds
        warm_up_iterations: and so many batches.
        settle_c: It is settled once the temperature moves less than so many degrees Celsius
        settle_s: within so many seconds,
        settle_max_s: and is waited for at most so long.
        window_s: A window lasts at least so many seconds on an accelerator,
        cpu_window_s: so many on the meter of a CPU or a board,
        window_periods: so many update periods,
        window_iterations: and so many batches.
        lead_periods: Update periods after the start of a window before its first tick counts.
        phases: Windows of a block, each started at another offset after a tick.
        first_target: Relative half-width of the 95 % interval at which a first pass is content,
        near_target: at which a candidate near the front is,
        front_target: a member of the final front,
        reference_target: and a reference.
        max_blocks: A profile ends after so many blocks
        max_s: or seconds, whatever its interval.
        outlier_mads: A window further from the median than so many scaled median deviations is measured again.
        method_floor: Relative error of the method itself, added in quadrature.
        gain: Relative error of an uncalibrated device's own meter, which belongs to the absolute interval.
        idle_s: Seconds of resident idle that are measured.
        idle_valid_s: For so many seconds a measured idle power is used again while searching.
        idle_tolerance: Two idle powers further apart than this share leave the net energy empty.
        synchronise_s: A device that works on its own is waited for at least so often.
        dead_periods: A counter that shows no tick for so many periods is dead.
        foreign_share: Share of the window's CPU time that may be others'.
        max_attempts: A block that was disturbed is measured at most so often.
        cross_check: Counter and integrated power may differ by this share when a meter is opened.
        insist: Use a meter that fails its cross-check all the same.
    """

    poll_s: float = 0.005
    fast_poll_s: float = 0.05
    period_s: float | None = None
    warm_up_s: float = 3.0
    warm_up_iterations: int = 50
    settle_c: float = 1.0
    settle_s: float = 5.0
    settle_max_s: float = 60.0
    window_s: float = 1.0
    cpu_window_s: float = 2.0
    window_periods: int = 10
    window_iterations: int = 20
    lead_periods: int = 2
    phases: int = 8
    first_target: float = 0.10
    near_target: float = 0.05
    front_target: float = 0.02
    reference_target: float = 0.01
    max_blocks: int = 6
    max_s: float = 120.0
    outlier_mads: float = 3.5
    method_floor: float = 0.01
    gain: float = 0.05
    idle_s: float = 10.0
    idle_valid_s: float = 600.0
    idle_tolerance: float = 0.10
    synchronise_s: float = 0.25
    dead_periods: int = 3
    foreign_share: float = 0.02
    max_attempts: int = 3
    cross_check: float = 0.05
    insist: bool = False

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}  # Any: pydantic's own

    def __post_init__(self) -> None:
        """Raise ValueError for a number that is negative or not finite, or 0 where that makes no sense."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or isinstance(value, bool):
                continue
            at_least = 1 if isinstance(value, int) and field.name in _COUNTS else 0
            if not math.isfinite(value) or value < at_least or (value == 0 and field.name in _POSITIVE):
                raise ValueError(f"{field.name} {value} must be {f'at least {at_least}' if at_least else 'above 0'}")


_COUNTS = ("phases", "max_blocks", "max_attempts", "window_iterations", "dead_periods")
_POSITIVE = ("poll_s", "fast_poll_s", "period_s", "window_s", "cpu_window_s", "max_s", "synchronise_s", "idle_s")
