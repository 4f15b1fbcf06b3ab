"""The hypervolume of a run and how it grew, on the scale that the run fixed.

The arithmetic is `ecoNAS.pareto`'s; which scale a study keeps is decided by the search, which writes it as an event.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecoNAS import pareto
from ecoNAS.analysis.trials import Trial, comparable, values_of
from ecoNAS.evaluation.objectives import Objective
from ecoNAS.events import Event, ScaleFixed, TrialEnded
from ecoNAS.search.growth import REFERENCE


@dataclass(frozen=True, slots=True)
class Hypervolume:
    """What part of the objective space a front dominates, with the scale without which the number says nothing.

    Attributes:
        value: In units in which each objective is 0 at its ideal and 1 at its nadir.
        reference: The worst corner in those units, the same for each objective.
        ideal: By objective, in its unit.
        nadir: By objective, in its unit.
        source: What the scale was taken from.
    """

    value: float
    reference: float
    ideal: Mapping[str, float]
    nadir: Mapping[str, float]
    source: str

    @property
    def most(self) -> float:
        """What one network at the ideal of every objective would have; more only if an ideal is beaten."""
        return float(self.reference ** len(self.ideal))


def read_hypervolume(
    events: Sequence[Event], trials: Sequence[Trial], objectives: Sequence[Objective]
) -> Hypervolume | None:
    """Return the hypervolume of the front so far; None before its scale was fixed."""
    fixed = _scale(events)
    if fixed is None:
        return None
    curve = read_curve(events, trials, objectives)
    ideal = {objective.name: fixed.objectives[objective.name][0] for objective in objectives}
    nadir = {objective.name: fixed.objectives[objective.name][1] for objective in objectives}
    return Hypervolume(curve[-1][1] if curve else 0.0, REFERENCE, ideal, nadir, fixed.source)


def read_curve(
    events: Sequence[Event], trials: Sequence[Trial], objectives: Sequence[Objective]
) -> tuple[tuple[int, float], ...]:
    """Return (trial number, hypervolume after it) over the ended trials in the order in which they ended.

    The scale is applied to all of it, also to what came before it was fixed; empty if it never was.
    """
    fixed = _scale(events)
    if fixed is None:
        return ()
    order = list(dict.fromkeys(event.trial for event in events if isinstance(event, TrialEnded)))
    by_number = {trial.number: trial for trial in trials}
    added = comparable([by_number[number] for number in order], objectives)
    ends = [fixed.objectives[objective.name] for objective in objectives]
    points = pareto.scale(values_of(added, objectives), [ideal for ideal, _ in ends], [nadir for _, nadir in ends])
    growth = pareto.hypervolume_growth(points, [REFERENCE] * len(ends), ["minimize"] * len(ends))
    after = {trial.number: float(value) for trial, value in zip(added, growth, strict=True)}
    curve, value = [], 0.0
    for number in order:
        value = after.get(number, value)
        curve.append((number, value))
    return tuple(curve)


def _scale(events: Sequence[Event]) -> ScaleFixed | None:
    return next((event for event in events if isinstance(event, ScaleFixed)), None)
