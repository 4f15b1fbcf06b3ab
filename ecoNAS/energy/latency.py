"""Latency: seconds per batch of anything that can be called, by wall clock.

What runs is any callable (an eager or compiled network, an ONNX Runtime session) that returns when its work is done: on
a device that works on its own, the callable waits for it. Threads and affinity are the caller's affair.
"""

import math
import statistics
from collections.abc import Callable
from typing import Final

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.measurement import Latency

WARM_UP_ITERATIONS: Final = 3
WARM_UP_S: Final = 0.05
MIN_ITERATIONS: Final = 20
MIN_S: Final = 0.2
# A network that needs seconds per batch is slow with few iterations too; the standard error says how few they were.
MAX_S: Final = 5.0
MAX_ITERATIONS: Final = 10_000
_Z: Final = 2.5758  # 99.5 % quantile of the normal distribution


def measure_latency(runner: Callable[[], object], batch: int, clock: Clock = REAL_CLOCK) -> Latency:
    """Return median and 95th percentile of the seconds that `runner` takes.

    It warms up for at least 3 iterations and 0.05 s, then measures at least 20 iterations and 0.2 s. Each part ends at
    5 s or 10,000 iterations all the same, after at least one.

    Args:
        runner: Runs one batch and returns when it is done.
        batch: Images per call; kept in the record.
        clock: Whose seconds count.
    """
    _durations(runner, clock, WARM_UP_ITERATIONS, WARM_UP_S)
    seconds = sorted(_durations(runner, clock, MIN_ITERATIONS, MIN_S))
    return Latency(
        median_s=statistics.median(seconds),
        p95_s=seconds[math.ceil(0.95 * len(seconds)) - 1],  # nearest rank
        standard_error_s=standard_error_of_median(seconds),
        num_iterations=len(seconds),
        batch=batch,
    )


def standard_error_of_median(ordered: list[float]) -> float:
    """Return the standard error of the median of ascending values, in their unit.

    With k = round((n + 1) / 2 - z sqrt(n / 4)) it is (x[n-k+1] - x[k]) / (2 z), counted from 1, z = 2.5758 (McKean and
    Schrader, Communications in Statistics 13(6), 1984, 751-773): no distribution is assumed, and the long upper tail
    that latencies have does not enter. Values are taken as independent; consecutive calls are not quite.
    """
    count = len(ordered)
    low = max(1, round((count + 1) / 2 - _Z * math.sqrt(count / 4)))
    return (ordered[count - low] - ordered[low - 1]) / (2 * _Z)


def _durations(runner: Callable[[], object], clock: Clock, min_iterations: int, min_s: float) -> list[float]:
    """Call `runner` until both minima are met, or time or count runs out; return the seconds of each call."""
    seconds: list[float] = []
    start_s = last_s = clock.now_s()
    while len(seconds) < MAX_ITERATIONS:
        runner()
        now_s = clock.now_s()
        seconds.append(now_s - last_s)
        last_s = now_s
        elapsed_s = now_s - start_s
        if elapsed_s >= MAX_S or (len(seconds) >= min_iterations and elapsed_s >= min_s):
            break
    return seconds
