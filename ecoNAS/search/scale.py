"""The fixed scale on which a run's hypervolume is computed, so that the figure means the same from start to end.

The nadir of an objective is the user's bound where there is one; everything else comes from the first evaluated
candidates. It is stored once, as an event.
"""

from collections.abc import Mapping, Sequence

from ecoNAS.events import ScaleFixed

NUM_FIRST = 20


def fix_scale(
    values: Sequence[Sequence[float]], names: Sequence[str], directions: Sequence[str], bounds: Mapping[str, float]
) -> ScaleFixed:
    """Return the scale that the first evaluated candidates and the user's bounds give.

    Args:
        values: Shape (candidates, objectives); at least one candidate.
        names: Of the objectives.
        directions: "minimize" or "maximize", one a name.
        bounds: The user's bounds on objectives, by name, in the objective's unit.
    """
    scale: dict[str, tuple[float, float]] = {}
    for column, (name, direction) in enumerate(zip(names, directions, strict=True)):
        found = [row[column] for row in values]
        ideal, nadir = (min(found), max(found)) if direction == "minimize" else (max(found), min(found))
        sign = 1.0 if direction == "minimize" else -1.0
        bound = bounds.get(name)
        if bound is not None and sign * (bound - ideal) > 0:
            nadir = bound
        if ideal == nadir:  # one value only: any width gives the same order, and a scale must have one
            nadir = ideal + sign * (abs(ideal) or 1.0)
        scale[name] = (ideal, nadir)
    is_bounded = bool(bounds.keys() & set(names))
    return ScaleFixed(source="bounds and first evaluations" if is_bounded else "first evaluations", objectives=scale)
