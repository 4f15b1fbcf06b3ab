"""Joules that know how they are known: measured, estimated and simulated ones are different types and never mix.

An amount carries its interval and where it comes from. Adding or comparing amounts of different kind, method, scope or
device raises, so that no sum and no front can join a counter's reading with a guess. Equality stays a question about
records: amounts of different provenance are simply not equal.
"""

import math
from typing import Annotated, Final, Literal, TypeVar

from pydantic import Field, model_validator

from ecoNAS.errors import JoulesMixError
from ecoNAS.frozen import Frozen
from ecoNAS.measurement import MeterInfo

Kind = Literal["measured", "estimated", "simulated"]
PROVENANCE: Final = ("kind", "method", "scope", "device")
JoulesT = TypeVar("JoulesT", bound="_Joules")


class _Joules(Frozen):
    """An amount of energy in joules with the bounds of its 95 % interval and its provenance."""

    kind: Kind
    value_j: Annotated[float, Field(ge=0)]
    low_j: Annotated[float, Field(ge=0)]
    high_j: Annotated[float, Field(ge=0)]
    method: str
    scope: str
    device: str

    @model_validator(mode="after")
    def _interval_holds_value(self: JoulesT) -> JoulesT:
        if not self.low_j <= self.value_j <= self.high_j:
            raise ValueError(f"interval {self.low_j} to {self.high_j} J does not hold the value {self.value_j} J")
        return self

    def __add__(self: JoulesT, other: "_Joules") -> JoulesT:
        """Return the sum; adding the bounds is right for shared errors and wide for independent ones."""
        self._refuse_to_mix(other)
        return self.model_copy(
            update={
                "value_j": self.value_j + other.value_j,
                "low_j": self.low_j + other.low_j,
                "high_j": self.high_j + other.high_j,
            }
        )

    def __mul__(self: JoulesT, factor: float) -> JoulesT:
        """Return the amount times a number that is not negative, such as a count of images."""
        if not 0 <= factor < math.inf:
            raise ValueError(f"joules times {factor}: the factor must be a finite number that is not negative")
        return self.model_copy(
            update={"value_j": self.value_j * factor, "low_j": self.low_j * factor, "high_j": self.high_j * factor}
        )

    def __lt__(self, other: "_Joules") -> bool:
        """Compare values; raises JoulesMixError where the provenance differs."""
        self._refuse_to_mix(other)
        return self.value_j < other.value_j

    def __gt__(self, other: "_Joules") -> bool:
        """Compare values; raises JoulesMixError where the provenance differs."""
        self._refuse_to_mix(other)
        return self.value_j > other.value_j

    def __le__(self, other: "_Joules") -> bool:
        """Compare values; raises JoulesMixError where the provenance differs."""
        self._refuse_to_mix(other)
        return self.value_j <= other.value_j

    def __ge__(self, other: "_Joules") -> bool:
        """Compare values; raises JoulesMixError where the provenance differs."""
        self._refuse_to_mix(other)
        return self.value_j >= other.value_j

    def differs_in(self, other: "_Joules") -> str:
        """Return in which part of their provenance two amounts differ, so that they do not mix; empty where in none."""
        return next((name for name in PROVENANCE if getattr(self, name) != getattr(other, name)), "")

    def _refuse_to_mix(self, other: object) -> None:
        if not isinstance(other, _Joules):
            raise JoulesMixError(f"joules and {type(other).__name__} do not mix")
        name = self.differs_in(other)
        if name:
            mine, theirs = getattr(self, name), getattr(other, name)
            raise JoulesMixError(f"joules of different {name} do not mix: '{mine}' and '{theirs}'")


class MeasuredJoules(_Joules):
    """Read from a counter on real hardware."""

    kind: Literal["measured"] = "measured"


class EstimatedJoules(_Joules):
    """Computed from counts and coefficients; nothing was read."""

    kind: Literal["estimated"] = "estimated"


class SimulatedJoules(_Joules):
    """Read from a simulated counter; for tests."""

    kind: Literal["simulated"] = "simulated"


Joules = Annotated[MeasuredJoules | EstimatedJoules | SimulatedJoules, Field(discriminator="kind")]


def counted(meter: MeterInfo, value_j: float, interval_j: tuple[float, float] | None = None) -> Joules:
    """Return joules that a meter counted, typed by its kind.

    Args:
        meter: Where they come from.
        value_j: Joules.
        interval_j: Bounds of the 95 % interval; None: the value itself, for a plain difference of two readings.
    """
    low_j, high_j = interval_j or (value_j, value_j)
    joules = MeasuredJoules if meter.kind == "measured" else SimulatedJoules
    return joules(
        value_j=value_j, low_j=low_j, high_j=high_j, method=meter.method, scope=meter.scope, device=meter.device
    )
