"""What is measured of the most promising candidates before one of them is proposed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecoNAS.search.gauges import Gauges, Measuring
from ecoNAS.search.pool import Candidates, Known

OPTIMISM: Final = 1.5  # standard deviations below the prediction by which candidates are picked for measuring


@dataclass(frozen=True, slots=True)
class Ahead:
    """A plan of measuring.

    Attributes:
        num: Of how many.
        asked: What.
        optimism: Standard deviations below the prediction by which they are picked.
    """

    num: int
    asked: tuple[Measuring, ...]
    optimism: float

    @classmethod
    def of(cls, measuring: Measuring | None, proxies: Measuring | None) -> "Ahead":
        """Return what is worth measuring now."""
        num = measuring.num_worth if measuring is not None else 0
        asked = (proxies, measuring if num else None)
        most = num or (proxies.num_worth if proxies is not None else 0)
        return cls(most, tuple(one for one in asked if one is not None), OPTIMISM if num else 0.0)

    def carry_out(self, gauges: Gauges, best: Sequence[Known]) -> None:
        """Measure the first of the best candidates."""
        for measuring in self.asked:
            gauges.measure([one for one in best[: self.num] if gauges.lacks(one, measuring.names)], measuring)

    def is_measured(self, gauges: Gauges, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which candidates nothing is left to measure of."""
        names = [name for measuring in self.asked for name in measuring.names]
        return np.array([not gauges.lacks(known, names) for known in candidates.known])
