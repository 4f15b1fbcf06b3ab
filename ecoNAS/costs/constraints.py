"""Constraints as users write them: `"params <= 60k"`, `"energy_per_image <= 2 mJ"`, `"macs <= 0.8 * baseline"`.

A constraint becomes a violation, (value - bound) / |bound|, that is above 0 where it is broken: scaled, since a sampler
adds up what it is told and counts of parameters would drown joules.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ecoNAS.errors import ConstraintError, unknown_name
from ecoNAS.units import FACTORS, known_units

_SHAPE = re.compile(
    r"^\s*(?P<name>\w+)\s*(?P<sense><=|>=|<|>|==|=)\s*(?P<number>[-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*"
    r"(?P<unit>[a-zA-Zµ%]*)\s*(?P<relative>\*\s*baseline)?\s*$"
)


@dataclass(frozen=True, slots=True)
class Constraint:
    """A bound on an objective or cost.

    Attributes:
        text: As the user wrote it.
        bound: In the SI unit of `name`.
    """

    text: str
    name: str
    sense: Literal["<=", ">="]
    bound: float

    def violation(self, value: float) -> float:
        """Return (value - bound) / |bound|, its sign turned for `>=`; above 0 is broken. A bound of 0 is not scaled."""
        excess = value - self.bound if self.sense == "<=" else self.bound - value
        return excess / abs(self.bound) if self.bound else excess


def parse_constraint(text: str, units: Mapping[str, str], baseline: Mapping[str, float] | None = None) -> Constraint:
    """Read one constraint.

    Args:
        text: Such as `"params <= 60k"`.
        units: The SI unit ("", "J", "s", "B") of every name that may be bounded.
        baseline: What is known of the baseline before training, by name; None where the experiment has none.

    Raises:
        ConstraintError: naming the rule that is broken and what would work.
    """
    match = _SHAPE.match(text)
    if match is None:
        raise ConstraintError(f"constraint '{text}' is not 'name <= number unit', such as 'params <= 60k'")
    name, sense, unit = match["name"], match["sense"], match["unit"]
    if name not in units:
        raise ConstraintError(f"constraint '{text}': {unknown_name('objective or cost', name, units)}")
    if sense not in ("<=", ">="):
        raise ConstraintError(f"constraint '{text}': '{sense}' is not a bound; write <= or >=")
    factors = FACTORS[units[name]]
    if unit not in factors:
        known = known_units(units[name])
        raise ConstraintError(f"constraint '{text}': '{unit}' is no unit of {name}; use {known}")
    try:
        bound = float(match["number"]) * factors[unit]
    except ValueError:
        raise ConstraintError(f"constraint '{text}': '{match['number']}' is not a number") from None
    if match["relative"]:
        bound *= _baseline_value(text, name, unit, baseline)
    return Constraint(text, name, "<=" if sense == "<=" else ">=", bound)


def _baseline_value(text: str, name: str, unit: str, baseline: Mapping[str, float] | None) -> float:
    if unit:
        raise ConstraintError(f"constraint '{text}': a share of the baseline has no unit; drop '{unit}'")
    if baseline is None:
        raise ConstraintError(
            f"constraint '{text}' names a baseline and the experiment has none; "
            "add for example 'baseline: {timm: mobilenetv3_small_050}'"
        )
    if name not in baseline:
        raise ConstraintError(
            f"constraint '{text}': the baseline's {name} is not known before training; known: {', '.join(baseline)}"
        )
    return baseline[name]
