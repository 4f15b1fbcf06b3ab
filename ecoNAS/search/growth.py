"""The hypervolume of a search: the fixed scale on which it is computed, and whether it still grows.

The scale is fixed once, so that the figure means the same from start to end: the nadir of an objective is the user's
bound where there is one; everything else comes from the first evaluated candidates. It is stored as an event.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ecoNAS.events import ScaleFixed
from ecoNAS.pareto import Direction, hypervolume_growth, scale

NUM_FIRST = 20

# In scaled units: a little beyond the nadir, so that the ends of a front count too (Ishibuchi et al., "How to specify a
# reference point in hypervolume calculation for fair performance comparison", Evolutionary Computation 26(3), 2018).
REFERENCE = 1.1


@dataclass(frozen=True, slots=True)
class Plateau:
    """When a front counts as found.

    Attributes:
        trials: How many evaluated candidates in a row have to bring little.
        gain: What they bring together has to be less than this share of the hypervolume.
    """

    trials: int
    gain: float


@dataclass(slots=True)
class Growth:
    """What a search has found so far, as a hypervolume.

    Attributes:
        names: Of the objectives.
        directions: One a name.
        bounds: The user's bounds on objectives, by name, in the objective's unit.
        plateau: When to stop; None for never.
    """

    names: tuple[str, ...]
    directions: tuple[Direction, ...]
    bounds: Mapping[str, float]
    plateau: Plateau | None = None
    _values: list[tuple[float, ...]] = field(default_factory=list)
    _is_feasible: list[bool] = field(default_factory=list)
    _scale: ScaleFixed | None = None

    def note(self, values: tuple[float, ...], *, is_feasible: bool) -> None:
        """Take in one more evaluated candidate."""
        self._values.append(values)
        self._is_feasible.append(is_feasible)

    def restore(self, event: ScaleFixed) -> None:
        """Take up the scale that an earlier driver fixed."""
        self._scale = event

    def fix(self, at_least: int) -> ScaleFixed | None:
        """Fix the scale where that many are evaluated; return it, or None where it stands or must wait."""
        if self._scale is not None or len(self._values) < at_least:
            return None
        self._scale = fix_scale(self._values[:NUM_FIRST], self.names, self.directions, self.bounds)
        return self._scale

    def why_flat(self) -> str:
        """Return why the front counts as found; empty while it grows, or where nobody asked."""
        plateau, fixed, count = self.plateau, self._scale, len(self._values)
        if plateau is None or fixed is None or count < NUM_FIRST + plateau.trials:
            return ""
        ends = [fixed.objectives[name] for name in self.names]
        feasible = [values for values, is_feasible in zip(self._values, self._is_feasible, strict=True) if is_feasible]
        before = sum(self._is_feasible[: count - plateau.trials])
        if not before:
            return ""
        points = scale(feasible, [ideal for ideal, _ in ends], [nadir for _, nadir in ends])
        growth = hypervolume_growth(points, [REFERENCE] * len(ends), ["minimize"] * len(ends))
        reached, now = float(growth[before - 1]), float(growth[-1])
        if now <= 0 or now - reached >= plateau.gain * now:
            return ""
        return (
            f"the last {plateau.trials} candidates raised the hypervolume by {(now - reached) / now:.2%}, "
            f"less than the {plateau.gain:.2%} of search.plateau"
        )


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
    found_scale: dict[str, tuple[float, float]] = {}
    for column, (name, direction) in enumerate(zip(names, directions, strict=True)):
        found = [row[column] for row in values]
        ideal, nadir = (min(found), max(found)) if direction == "minimize" else (max(found), min(found))
        sign = 1.0 if direction == "minimize" else -1.0
        bound = bounds.get(name)
        if bound is not None and sign * (bound - ideal) > 0:
            nadir = bound
        if ideal == nadir:  # one value only: any width gives the same order, and a scale must have one
            nadir = ideal + sign * (abs(ideal) or 1.0)
        found_scale[name] = (ideal, nadir)
    is_bounded = bool(bounds.keys() & set(names))
    source = "bounds and first evaluations" if is_bounded else "first evaluations"
    return ScaleFixed(source=source, objectives=found_scale)
