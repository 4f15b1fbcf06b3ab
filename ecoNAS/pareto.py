"""Pareto arithmetic on plain arrays: dominance, front, exact hypervolume, knee, scaling.

One row a point, one column an objective, one direction a column. What the numbers mean, which points may take part and
which scale a study keeps is decided by `analysis` and `search`. Everything works on costs inside: a maximised column
changes its sign once, at the door, where numbers that are not finite are refused too.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Direction = Literal["maximize", "minimize"]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TINY = 1e-9  # differences below this, in scaled units, are rounding


def dominates(one: ArrayLike, other: ArrayLike, directions: Sequence[Direction]) -> bool:
    """Return whether point `one` is nowhere worse than point `other` and somewhere better."""
    a, b = _corner(one, directions), _corner(other, directions)
    return bool(np.all(a <= b) and np.any(a < b))


def front(values: ArrayLike, directions: Sequence[Direction]) -> Bools:
    """Return which points no other point dominates; all copies of a best point are kept.

    Args:
        values: (points, objectives), finite; no points at all are allowed.
        directions: One an objective.

    Returns:
        A mask, (points,).

    Raises:
        ValueError: if a value is not finite or the shape does not fit the directions.
    """
    return _front(_costs(values, directions))


def hypervolume(values: ArrayLike, reference: ArrayLike, directions: Sequence[Direction]) -> float:
    """Return the volume between the points and the reference point, exactly, for any number of objectives.

    The algorithm is WFG (While, Bradstreet and Barone, "A fast way of calculating exact hypervolumes", IEEE
    Transactions on Evolutionary Computation 16(1), 2012), with a plane sweep (Beume et al., "On the complexity of
    computing the hypervolume indicator", same journal 13(5), 2009) once three objectives are left.

    Args:
        values: (points, objectives); a point that is not better than the reference in every objective adds nothing.
        reference: (objectives,), the worst corner.
        directions: One an objective.

    Returns:
        The volume in the product of the objectives' units; 0 for no points.
    """
    costs, corner = _costs(values, directions), _corner(reference, directions)
    return _volume(corner - _inside(costs, corner))


def hypervolume_growth(values: ArrayLike, reference: ArrayLike, directions: Sequence[Direction]) -> Floats:
    """Return the hypervolume after each point, (points,), as points arrive one by one.

    Each point adds what it alone dominates (its exclusive hypervolume), so nothing is computed twice.
    """
    costs, corner = _costs(values, directions), _corner(reference, directions)
    gains = corner - costs
    growth, total = np.zeros(len(gains)), 0.0
    best = np.empty((0, gains.shape[1]))
    for index, gain in enumerate(gains):
        if np.all(gain > 0) and not np.any(np.all(best >= gain, axis=1)):
            total += float(np.prod(gain)) - _volume(np.minimum(best, gain))
            best = np.vstack([best[~np.all(best <= gain, axis=1)], gain])
        growth[index] = total
    return growth


def scale(values: ArrayLike, ideal: ArrayLike, nadir: ArrayLike) -> Floats:
    """Return values with the ideal at 0 and the nadir at 1, whatever the directions: from here on less is better.

    An objective whose ideal equals its nadir tells no points apart and becomes 0.
    """
    points, best, worst = (np.asarray(part, dtype=np.float64) for part in (values, ideal, nadir))
    _refuse_nonfinite(points, best, worst)
    span = worst - best
    scaled: Floats = np.where(span == 0, 0.0, (points - best) / np.where(span == 0, 1.0, span))
    return scaled


def knee(values: ArrayLike, directions: Sequence[Direction]) -> int:
    """Return the index of the knee: the front member that bulges furthest from the extremes towards the ideal.

    After Das, "On characterizing the knee of the Pareto curve based on normal-boundary intersection", Structural
    Optimization 18, 1999: the front is scaled by its ideal and nadir, a hyperplane is laid through the best point of
    each objective, and the knee lies furthest from it on the ideal's side. With two objectives that is the distance to
    the line through the ends. Fewer distinct extremes than objectives (MACs and joules mostly agree on one) leave the
    plane undetermined; the normal of least norm is taken, so that three costs that say the same count as one. Where
    nothing lies on the ideal's side (two points, a straight or hollow front), the point nearest to the ideal is
    returned.

    Equal points and ties go to the lowest index. Dominated points may be among `values` and are never returned.

    Raises:
        ValueError: if there is no point, or a value is not finite.
    """
    costs = _costs(values, directions)
    if not len(costs):
        raise ValueError("no points: an empty front has no knee")
    members = np.flatnonzero(_front(costs))
    points = costs[members]
    scaled = scale(points, points.min(axis=0), points.max(axis=0))
    scaled = scaled[:, scaled.any(axis=0)]  # an objective that is the same everywhere has no say
    if not scaled.shape[1]:
        return int(members[0])
    normal = _normal(scaled)
    bulge = (1.0 - scaled @ normal) / float(np.linalg.norm(normal))
    merit = bulge if bulge.max() > TINY else -np.linalg.norm(scaled, axis=1)
    return int(members[int(np.argmax(merit >= merit.max() - TINY))])


def _costs(values: ArrayLike, directions: Sequence[Direction]) -> Floats:
    """Return the values as an (points, objectives) array of which less is better."""
    points = np.asarray(values, dtype=np.float64)
    if points.size == 0:
        points = points.reshape(0, len(directions))
    if points.ndim != 2 or points.shape[1] != len(directions):
        raise ValueError(f"values of shape {points.shape} do not fit {len(directions)} directions")
    for direction in directions:
        if direction not in ("maximize", "minimize"):
            raise ValueError(f"direction '{direction}' is neither 'maximize' nor 'minimize'")
    _refuse_nonfinite(points)
    signs = np.array([-1.0 if direction == "maximize" else 1.0 for direction in directions])
    costs: Floats = points * signs
    return costs


def _corner(point: ArrayLike, directions: Sequence[Direction]) -> Floats:
    corner: Floats = _costs(np.asarray(point, dtype=np.float64)[np.newaxis], directions)[0]
    return corner


def _refuse_nonfinite(*arrays: Floats) -> None:
    for array in arrays:
        if not np.isfinite(array).all():
            raise ValueError("an objective value is NaN or infinite; leave such points out before comparing")


def _front(costs: Floats) -> Bools:
    alive = np.ones(len(costs), dtype=bool)
    for index in range(len(costs)):
        if alive[index]:
            rest = costs[alive]
            worse = np.all(rest >= costs[index], axis=1) & np.any(rest > costs[index], axis=1)
            alive[alive] = ~worse
    return alive


def _inside(costs: Floats, corner: Floats) -> Floats:
    inside: Floats = costs[np.all(costs < corner, axis=1)]
    return inside


def _normal(scaled: Floats) -> Floats:
    """Return w of the hyperplane w x = 1 through the best scaled point of each objective."""
    num = scaled.shape[1]
    # Ties for the best go to the point that is best elsewhere, so that an extreme lies on the edge of the front.
    order = [np.lexsort((scaled.sum(axis=1), scaled[:, axis]))[0] for axis in range(num)]
    # Extremes that nearly coincide determine the plane only by their rounding: below a tenth, the least norm decides.
    normal: Floats = np.asarray(np.linalg.lstsq(scaled[order], np.ones(num), rcond=0.1)[0], dtype=np.float64)
    # A plane that leans over would reward being worse; the one through the nadir's corners never does.
    return normal if np.all(normal > 0) else np.ones(num)


def _volume(gains: Floats) -> float:
    """Return the hypervolume of boxes that reach from the origin to each row of `gains` (all above 0)."""
    if not len(gains):
        return 0.0
    num = gains.shape[1]
    if num == 1:
        return float(gains.max())
    if num == 2:
        return _area(gains)
    if num == 3:
        return _sweep(gains)
    gains = gains[_front(-gains)]
    # From least to most in the last objective: what a point shares with later ones then has one size there.
    gains = gains[np.argsort(gains[:, -1], kind="stable")]
    total = 0.0
    for index, gain in enumerate(gains):
        shared = np.minimum(gains[index + 1 :, :-1], gain[:-1])
        total += float(gain[-1]) * (float(np.prod(gain[:-1])) - _volume(shared))
    return total


def _area(gains: Floats) -> float:
    ordered = gains[np.argsort(-gains[:, 0], kind="stable")]
    heights = np.maximum.accumulate(ordered[:, 1])
    widths = ordered[:, 0] - np.append(ordered[1:, 0], 0.0)
    return float(widths @ heights)


def _sweep(gains: Floats) -> float:
    """Return the volume of three-dimensional boxes: sweep the third axis down and keep the staircase of the area."""
    xs, ys = [0.0, float("inf")], [float("inf"), 0.0]  # the staircase: x rises, y falls; sentinels at both ends
    volume = area = height = 0.0
    for x, y, z in gains[np.argsort(-gains[:, 2], kind="stable")].tolist():
        volume += area * (height - z)
        height = z
        first = last = bisect_left(xs, x)
        if ys[first] >= y:
            continue
        if xs[last] == x:
            last += 1
        while ys[first - 1] <= y:
            first -= 1
        left = xs[first - 1]
        for step_x, step_y in zip(xs[first:last], ys[first:last], strict=True):
            area += (step_x - left) * (y - step_y)
            left = step_x
        area += (x - left) * (y - ys[last])
        xs[first:last], ys[first:last] = [x], [y]
    return volume + area * height
