"""After how many images a searched network has repaid what the search took, against a ready model.

The bill is the whole search: profiling, trainings, failures. The baseline is the cheapest ready model that is at least
as accurate among those that were evaluated, never a heavy one picked to look good.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ecoNAS.errors import JoulesMixError
from ecoNAS.joules import Joules
from ecoNAS.records import ReadyModel


@dataclass(frozen=True, slots=True)
class Payback:
    """Images until a search is repaid.

    Attributes:
        images: With the values as they are; infinite for never.
        low: With the bounds of all intervals that make it soonest.
        high: With those that make it latest; infinite where the saving itself is not settled.
        saving_j: Joules per image that the chosen network takes less than the baseline; negative where it takes more.
    """

    images: float
    low: float
    high: float
    saving_j: float

    @property
    def is_never(self) -> bool:
        """Whether even the bounds of the intervals leave nothing to be saved."""
        return math.isinf(self.low)


def payback(bill_j: float, bill_interval_j: tuple[float, float], chosen: Joules, baseline: Joules) -> Payback:
    """Return after how many images a search is repaid.

    Args:
        bill_j: Joules of the search.
        bill_interval_j: Bounds of their 95 % interval.
        chosen: Joules per image of the searched network.
        baseline: Joules per image of the ready model.

    Raises:
        JoulesMixError: if the two were not measured in the same way on the same device.
    """
    if chosen.kind != baseline.kind:
        raise JoulesMixError(f"joules of different kind do not mix: '{chosen.kind}' and '{baseline.kind}'")
    saves = baseline > chosen  # raises where method, scope or device differ
    saving_j = baseline.value_j - chosen.value_j
    most_j, least_j = baseline.high_j - chosen.low_j, baseline.low_j - chosen.high_j
    return Payback(
        images=bill_j / saving_j if saves else math.inf,
        low=bill_interval_j[0] / most_j if most_j > 0 else math.inf,
        high=bill_interval_j[1] / least_j if least_j > 0 else math.inf,
        saving_j=saving_j,
    )


def cheapest_as_accurate(models: Iterable[ReadyModel], accuracy: float) -> ReadyModel | None:
    """Return the ready model with the fewest joules per image among those at least so accurate; None if none is.

    Args:
        models: Those that were evaluated.
        accuracy: Of the chosen network, on the same validation images.
    """
    able = [model for model in models if model.training.accuracy.value >= accuracy]
    priced = [(model.profile.energy.value_j, model) for model in able if model.profile.energy is not None]
    return min(priced, key=lambda pair: pair[0])[1] if priced else None
