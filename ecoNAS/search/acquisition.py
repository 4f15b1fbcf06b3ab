"""Expected hypervolume improvement where all coordinates but one are known.

Costs are exact or measured before a training; only what needs the training is uncertain. For a budget u on the known
coordinates, let h(u) be the best value that the front has within it. A candidate of known coordinates z and uncertain
value Y improves every budget u >= z by max(h(u) - Y, 0), and the hypervolume gained is the integral of that over u. Its
expectation is therefore an integral of one-dimensional expected improvements (Jones et al., "Efficient global
optimization of expensive black-box functions", 1998, eq. 15): with one known coordinate a sum over the steps of the
front, with more the mean over fixed points that fill the box evenly (Sobol).

Everything is minimised here. Which values are known, and in which scale the uncertain one is, is decided by
`cost_aware`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import qmc

Floats = NDArray[np.float64]

NUM_POINTS = 2048  # a power of two, as Sobol points come
NUM_COARSE = 256  # where so many are judged that the best of them will be judged again
MANY = 2000


def expected_improvement(best: float | Floats, mean: Floats, deviation: Floats) -> Floats:
    """Return E[max(best - Y, 0)] for normal Y, broadcast over the arguments."""
    reach = (best - mean) / deviation
    improvement: Floats = deviation * (reach * ndtr(reach) + np.exp(-0.5 * reach**2) / np.sqrt(2 * np.pi))
    return improvement


@dataclass(frozen=True, slots=True)
class Prospects:
    """Candidates as far as they are known.

    Attributes:
        known: (candidates, coordinates), without uncertainty.
        mean: (candidates,), of the uncertain value.
        deviation: (candidates,), its standard deviation, above 0.
        end: Where the scale of the uncertain value is bent.
        slope: Of the scale beyond its end; 1 before it. Gains are counted in the value's own unit.
    """

    known: Floats
    mean: Floats
    deviation: Floats
    end: float = np.inf
    slope: float = 1.0

    def improvement(self, levels: Floats) -> Floats:
        """Return the expected improvement on each of some levels, (candidates, levels)."""
        mean, deviation = self.mean[:, None], self.deviation[:, None]
        gains = expected_improvement(np.minimum(levels, self.end), mean, deviation)
        if levels.max() > self.end:
            beyond = expected_improvement(np.maximum(levels, self.end), mean, deviation)
            gains += (beyond - expected_improvement(self.end, mean, deviation)) / self.slope
        return gains


@dataclass(frozen=True, slots=True)
class Reached:
    """What was reached so far.

    Attributes:
        known: (points, coordinates); dominated points may be among them.
        value: (points,).
        corner: (coordinates,), the worst values worth having.
        worst: The worst value worth having.
    """

    known: Floats
    value: Floats
    corner: Floats
    worst: float


def expected_hypervolume_improvement(prospects: Prospects, reached: Reached) -> Floats:
    """Return the expected gain in hypervolume of each candidate, (candidates,)."""
    num_known = prospects.known.shape[1]
    if num_known == 0:
        best = min([reached.worst, *reached.value.tolist()])
        return prospects.improvement(np.array([best]))[:, 0]
    return _over_steps(prospects, reached) if num_known == 1 else _over_box(prospects, reached)


def _over_steps(prospects: Prospects, reached: Reached) -> Floats:
    known, end = prospects.known[:, 0], float(reached.corner[0])
    order = np.argsort(reached.known[:, 0], kind="stable")
    begins = np.concatenate([[-np.inf], reached.known[order, 0]])
    heights = np.minimum.accumulate(np.concatenate([[reached.worst], reached.value[order]]))
    steps = np.flatnonzero(np.diff(heights, prepend=np.inf) < 0)  # but for what is dominated
    begins, heights = begins[steps], heights[steps]
    stops = np.minimum(np.append(begins[1:], np.inf), end)
    widths = np.maximum(stops - np.maximum(known[:, None], begins), 0.0)
    gains: Floats = (widths * prospects.improvement(heights)).sum(axis=1)
    return gains


def _over_box(prospects: Prospects, reached: Reached) -> Floats:
    best = np.vstack([prospects.known, reached.known]).min(axis=0)
    span = np.maximum(reached.corner - best, 0.0)
    num_points = NUM_POINTS if len(prospects.known) <= MANY else NUM_COARSE
    budgets = best + qmc.Sobol(len(best), scramble=False).random(num_points) * span
    within = np.all(reached.known[:, None, :] <= budgets[None, :, :], axis=2)  # (reached, points)
    heights = np.where(within, reached.value[:, None], reached.worst).min(axis=0, initial=reached.worst)
    levels, level_of = np.unique(heights, return_inverse=True)
    onto = np.zeros((num_points, len(levels)), dtype=np.float32)
    onto[np.arange(num_points), level_of] = 1.0 / num_points
    affords = np.ones((len(prospects.known), num_points), dtype=bool)
    for axis in range(len(best)):
        affords &= prospects.known[:, axis, None] <= budgets[None, :, axis]
    shares = affords.astype(np.float32) @ onto  # (candidates, levels): of the box, by what is best there so far
    gains = prospects.improvement(levels)
    total: Floats = (shares * gains).sum(axis=1) * float(np.prod(span))
    return total
