"""A tabular benchmark as frozen values: which columns of a table are decided, sought and known when.

What a table is used for is decided by `evaluation.tabular` and `benchmark`.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from ecoNAS.errors import unknown_name
from ecoNAS.evaluation.objectives import Known
from ecoNAS.frozen import Frozen
from ecoNAS.pareto import Direction

NonNegative = Annotated[float, Field(ge=0)]


class ColumnObjective(Frozen):
    """An objective that is read from a column: value = offset + scale * column.

    Attributes:
        cost: Of asking for it before training, in full trainings; only where it is measurable.
    """

    name: str
    column: str
    offset: float = 0.0
    scale: float = 1.0
    direction: Direction
    known: Known
    cost: NonNegative = 0.0

    @model_validator(mode="after")
    def _costs_only_what_is_measured(self) -> "ColumnObjective":
        if self.cost and self.known != "measurable":
            raise ValueError(f"objective '{self.name}' is {self.known} and has a cost; only measurable ones have one")
        if self.scale == 0:
            raise ValueError(f"objective '{self.name}': a scale of 0 makes all values equal")
        return self


class ColumnFidelity(Frozen):
    """A cheaper training that shows an objective early.

    Attributes:
        cost: In full trainings.
        continues: Whether a full training goes on from it; else that costs 1 more.
    """

    name: str
    objective: str
    column: str
    offset: float = 0.0
    scale: float = 1.0
    cost: Annotated[float, Field(gt=0)]
    continues: bool


class HypervolumeSpec(Frozen):
    """The scale of the hypervolume: values become (value - ideal) / (nadir - ideal) and are bounded by the reference.

    Attributes:
        useful: By objective, in its own unit, a bound that takes the place of the reference in a second figure.
    """

    ideal: tuple[float, ...]
    nadir: tuple[float, ...]
    reference: tuple[float, ...]
    useful: dict[str, float] = {}


class TableSpec(Frozen):
    """A tabular benchmark.

    Attributes:
        table: Relative to the file; `.parquet` or `.csv`.
        decisions: Categorical columns that together name a row.
        features: Further columns that are exact and free.
        hypervolume: None for ideal and nadir of the table's own front and a reference of 1.1.
    """

    table: Path
    decisions: Annotated[tuple[str, ...], Field(min_length=1)]
    objectives: Annotated[tuple[ColumnObjective, ...], Field(min_length=1)]
    features: tuple[str, ...] = ()
    fidelities: tuple[ColumnFidelity, ...] = ()
    hypervolume: HypervolumeSpec | None = None

    @model_validator(mode="after")
    def _names_fit(self) -> "TableSpec":
        names = [objective.name for objective in self.objectives]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"objective '{name}' stands twice; keep one")
        scale = self.hypervolume
        asked = [fidelity.objective for fidelity in self.fidelities] + list(scale.useful if scale else ())
        for name in asked:
            if name not in names:
                raise ValueError(unknown_name("objective", name, names))
        if scale is not None:
            for part in ("ideal", "nadir", "reference"):
                if len(getattr(scale, part)) != len(names):
                    raise ValueError(
                        f"hypervolume.{part} has {len(getattr(scale, part))} numbers for {len(names)} objectives"
                    )
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is needed, each once."""
        read = [*self.decisions, *self.features]
        read += [item.column for item in self.objectives] + [item.column for item in self.fidelities]
        return tuple(dict.fromkeys(read))
