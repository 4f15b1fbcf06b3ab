"""A table of results as a search space: what would take a training is looked up, so a search can be judged in seconds.

The space protocol over rows. A tuple of decisions that the table lacks is an invalid candidate, known to be so. Where
a table is only a sample of its space, most tuples are missing; neighbours and children are then the nearest rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecoNAS.errors import ConfigError, unknown_name
from ecoNAS.evaluation.table_spec import ColumnFidelity, ColumnObjective, HypervolumeSpec, TableSpec
from ecoNAS.pareto import Direction, front
from ecoNAS.space.encoding import encode, feature_names
from ecoNAS.space.protocol import Choices, Parameters, Suggests, Value
from ecoNAS.yaml_file import YamlFile, read_yaml

Floats = NDArray[np.float64]
MISSING = -1
REFERENCE = 1.1  # where a specification does not say
MAX_TRIES = 10
MAX_LOOKED_AT = 5000  # rows for the one nearest to a child


@dataclass(frozen=True, slots=True)
class Row:
    """A candidate of a table.

    Attributes:
        index: Its row; `MISSING` for a tuple that the table lacks.
        values: Of the decisions that have more than one choice, in their order.
    """

    index: int
    values: tuple[Value, ...]

    @property
    def digest(self) -> str:
        """Equal digests mean the same tuple."""
        return "|".join(map(str, self.values))


@dataclass(frozen=True, slots=True)
class TableRung:
    """A cheaper training of a table.

    Attributes:
        cost: In full trainings, from the start.
        continues: Whether a longer training goes on from it.
        shown: Columns of `Table.fidelities` by the place of the objective that they show.
    """

    name: str
    cost: float
    continues: bool
    shown: Mapping[int, int]


@dataclass(frozen=True)
class Table:
    """A benchmark in memory.

    Attributes:
        codes: (rows, decisions), the place of each decision's value among its choices.
        objectives: (rows, objectives), in the units of the specification.
        features: (rows, features).
        fidelities: (rows, fidelities), in the unit of the objective that each shows.
    """

    spec: TableSpec
    choices: Choices
    codes: NDArray[np.int64]
    objectives: Floats
    features: Floats
    fidelities: Floats

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def names(self) -> tuple[str, ...]:
        """Objective names."""
        return tuple(objective.name for objective in self.spec.objectives)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """One an objective."""
        return tuple(objective.direction for objective in self.spec.objectives)

    @cached_property
    def scale(self) -> HypervolumeSpec:
        """The scale of the hypervolume: the specification's, else that of the table's own front."""
        if self.spec.hypervolume is not None:
            return self.spec.hypervolume
        members = self.objectives[front(self.objectives, self.directions)]
        best = [
            members[:, place].max() if direction == "maximize" else members[:, place].min()
            for place, direction in enumerate(self.directions)
        ]
        worst = [
            members[:, place].min() if direction == "maximize" else members[:, place].max()
            for place, direction in enumerate(self.directions)
        ]
        return HypervolumeSpec(ideal=tuple(best), nadir=tuple(worst), reference=(REFERENCE,) * len(best))

    def exact(self, index: int) -> dict[str, float]:
        """Return what is free to know about a row: exact objectives, and features by column."""
        spec = self.spec
        found = dict(zip(spec.features, self.features[index].tolist(), strict=True))
        for place, objective in enumerate(spec.objectives):
            if objective.known == "exact":
                found[objective.name] = float(self.objectives[index, place])
        return found

    def measurable(self, index: int) -> dict[str, float]:
        """Return what a measurement shows of a row."""
        return {
            objective.name: float(self.objectives[index, place])
            for place, objective in enumerate(self.spec.objectives)
            if objective.known == "measurable"
        }

    @cached_property
    def rungs(self) -> tuple["TableRung", ...]:
        """The cheaper trainings, the cheapest first; columns of the same name show several objectives of one."""
        found: dict[str, TableRung] = {}
        for place, fidelity in enumerate(self.spec.fidelities):
            shown = {self.names.index(fidelity.objective): place}
            known = found.get(fidelity.name, TableRung(fidelity.name, fidelity.cost, fidelity.continues, {}))
            found[fidelity.name] = replace(known, shown={**known.shown, **shown})
        return tuple(sorted(found.values(), key=lambda rung: rung.cost))

    def shown_at(self, index: int, rung: int) -> tuple[float, ...]:
        """Return what a row shows at a rung, one an objective; NaN for what needs the full training."""
        shown = self.rungs[rung].shown
        values = self.objectives[index].copy()
        for place, objective in enumerate(self.spec.objectives):
            if objective.known == "after_training":
                values[place] = self.fidelities[index, shown[place]] if place in shown else np.nan
        return tuple(values.tolist())

    def training_cost(self, level: int) -> float:
        """Return what it costs to reach a rung, or the full training after the last, from the one before it."""
        costs = [*(rung.cost for rung in self.rungs), 1.0]
        before = self.rungs[level - 1].cost if level and self.rungs[level - 1].continues else 0.0
        return costs[level] - before

    @property
    def measuring_cost(self) -> float:
        """What a measurement of one candidate costs, in full trainings."""
        return sum(objective.cost for objective in self.spec.objectives)


def read_table(path: str | Path) -> Table:
    """Read a specification and its table.

    Raises:
        ConfigError: if a file is missing or a column does not hold what the specification says.
    """
    file = read_yaml(path)
    spec = file.validate(TableSpec)
    frame = _read_frame(file, spec)
    for place, name in enumerate(spec.decisions):
        if frame[name].isna().any():
            raise file.error(("decisions", place), f"column '{name}' has empty cells")
    return make_table(spec, frame)


def make_table(spec: TableSpec, frame: pd.DataFrame) -> Table:
    """Return a table that is in memory already.

    Raises:
        ConfigError: if two rows have the same decisions, or a number is missing.
    """
    numbers = {
        name: frame[name].to_numpy(dtype=np.float64)
        for name in spec.columns
        if name not in spec.decisions or name in spec.features
    }
    for name, column in numbers.items():
        if not np.isfinite(column).all():
            row = int(np.flatnonzero(~np.isfinite(column))[0])
            raise ConfigError(f"table {spec.table}: column '{name}', row {row}: {column[row]} is not a finite number")
    choices: dict[str, tuple[Value, ...]] = {}
    codes = []
    for name in spec.decisions:
        found, known = pd.factorize(frame[name], sort=True)
        if len(known) > 1:
            choices[name] = tuple(_plain(value) for value in known)
            codes.append(found)
    if not codes:
        raise ConfigError(f"table {spec.table}: its decisions have one value each, so there is nothing to decide")
    stacked = np.stack(codes, axis=1).astype(np.int64)
    _refuse_twins(spec, stacked)
    return Table(
        spec,
        choices,
        stacked,
        _stack(numbers, spec.objectives, len(frame)),
        np.stack([numbers[name] for name in spec.features], axis=1) if spec.features else np.empty((len(frame), 0)),
        _stack(numbers, spec.fidelities, len(frame)),
    )


@dataclass(frozen=True)
class TableSpace:
    """The rows of a table as a search space; implements `ecoNAS.space.protocol.Space`."""

    table: Table

    @property
    def choices(self) -> Choices:
        """Every decision that has more than one choice."""
        return self.table.choices

    @property
    def feature_decisions(self) -> tuple[str, ...]:
        """The decision that each feature of `encode` stands for."""
        return feature_names(self.choices)

    def listing(self, limit: int) -> list[Row] | None:
        """Return every row, or None where there are more than `limit`."""
        return [self._row(index) for index in range(len(self.table))] if len(self.table) <= limit else None

    def sample(self, trial: Suggests) -> Row:
        """Ask `trial` for every decision and return the row they mean."""
        return self.from_parameters({name: trial.suggest_categorical(name, c) for name, c in self.choices.items()})

    def random(self, rng: np.random.Generator) -> Row:
        """Return a row drawn uniformly."""
        return self._row(int(rng.integers(len(self.table))))

    def neighbours(self, candidate: Row, rng: np.random.Generator) -> list[Row]:
        """Return the rows that differ in fewest decisions, in random order.

        That is one decision in a whole table. A sample of a space may hold few such rows: then those that differ in
        more are taken too, until there are as many as there are decisions.
        """
        differing = self._distances(self._codes_of(candidate), self._compact)
        if candidate.index != MISSING:
            differing[candidate.index] = len(self.choices) + 1
        nearest = np.sort(np.partition(differing, min(len(self.choices), len(differing) - 1))[: len(self.choices)])[-1]
        near = np.flatnonzero(differing <= min(nearest, len(self.choices)))
        return [self._row(int(index)) for index in rng.permutation(near)]

    def crossover(self, a: Row, b: Row, rng: np.random.Generator) -> Row:
        """Return a child that takes each decision from either parent, or a row near to such a child."""
        codes = np.stack([self._codes_of(a), self._codes_of(b)])
        child = codes[0]
        for _ in range(MAX_TRIES):
            child = codes[rng.integers(2, size=codes.shape[1]), np.arange(codes.shape[1])]
            index = self._rows.get(child.tobytes(), MISSING)
            if index != MISSING:
                return self._row(index)
        rows = np.arange(len(self.table))
        if len(rows) > MAX_LOOKED_AT:
            rows = rng.integers(len(rows), size=MAX_LOOKED_AT)
        differing = self._distances(child, self._compact[rows])
        return self._row(int(rows[rng.choice(np.flatnonzero(differing == differing.min()))]))

    def encode(self, candidate: Row) -> Floats:
        """Return features of shape (num_features,), each in 0..1."""
        return encode(self.choices, self.parameters(candidate), self.choices)

    def parameters(self, candidate: Row) -> Parameters:
        """Return the decisions of a row."""
        return dict(zip(self.choices, candidate.values, strict=True))

    def from_parameters(self, parameters: Mapping[str, Value]) -> Row:
        """Return the row with these decisions; one that the table lacks is not valid."""
        values = tuple(parameters[name] for name in self.choices)
        codes = np.array([known.index(value) for known, value in zip(self.choices.values(), values, strict=True)])
        return Row(self._rows.get(codes.astype(np.int64).tobytes(), MISSING), values)

    def is_valid(self, candidate: Row) -> bool:
        """Return whether the table holds the candidate."""
        return candidate.index != MISSING

    def _row(self, index: int) -> Row:
        codes = self.table.codes[index].tolist()
        return Row(index, tuple(known[code] for known, code in zip(self.choices.values(), codes, strict=True)))

    def _codes_of(self, candidate: Row) -> NDArray[np.int64]:
        known = zip(self.choices.values(), candidate.values, strict=True)
        return np.array([choices.index(value) for choices, value in known], dtype=np.int64)

    def _distances(self, codes: NDArray[np.int64], rows: NDArray[np.int16]) -> NDArray[np.int16]:
        """Return in how many decisions rows differ from given ones."""
        return np.asarray((rows != codes.astype(np.int16)).sum(axis=1, dtype=np.int16))

    @cached_property
    def _compact(self) -> NDArray[np.int16]:
        """The codes in little memory."""
        return self.table.codes.astype(np.int16)

    @cached_property
    def _rows(self) -> dict[bytes, int]:
        return {codes.tobytes(): index for index, codes in enumerate(self.table.codes)}


def _read_frame(file: YamlFile, spec: TableSpec) -> pd.DataFrame:
    path = file.resolve(spec.table)
    if path.suffix not in (".parquet", ".csv"):
        raise file.error(("table",), f"'{spec.table}' is neither .parquet nor .csv")
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except FileNotFoundError:
        raise file.error(("table",), f"no such file: {path}") from None
    except ImportError:
        raise file.error(("table",), "a .parquet table needs pyarrow: pip install 'econas[bench]'") from None
    except (OSError, ValueError) as error:
        raise file.error(("table",), f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from None
    for name in spec.columns:
        if name not in frame.columns:
            raise file.error(("table",), unknown_name("column", name, map(str, frame.columns)))
    return frame


def _refuse_twins(spec: TableSpec, codes: NDArray[np.int64]) -> None:
    order = np.lexsort(codes.T)
    for one, other in pairwise(order.tolist()):
        if np.array_equal(codes[one], codes[other]):
            raise ConfigError(
                f"table {spec.table}: rows {min(one, other)} and {max(one, other)} have the same decisions; "
                "they must name one row"
            )


def _stack(numbers: Mapping[str, Floats], items: Sequence[ColumnObjective | ColumnFidelity], num_rows: int) -> Floats:
    if not items:
        return np.empty((num_rows, 0))
    return np.stack([item.offset + item.scale * numbers[item.column] for item in items], axis=1)


def _plain(value: Any) -> Value:  # Any: NumPy's scalars
    """Return Python's own value, since a choice is stored and written."""
    plain = value.item() if isinstance(value, np.generic) else value
    assert isinstance(plain, bool | int | float | str)
    return plain
