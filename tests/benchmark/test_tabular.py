from pathlib import Path

import numpy as np
import pytest
import yaml
from tables import SPEC, frame, table, write

from ecoNAS.errors import ConfigError
from ecoNAS.evaluation.tabular import MISSING, TableSpace, read_table


def test_objectives_are_offset_plus_scale_times_column() -> None:
    found = table()
    assert found.objectives[:, 0] == pytest.approx(100 - frame()["accuracy"].to_numpy())
    assert found.objectives[:, 1] == pytest.approx(frame()["joules"].to_numpy())
    assert found.exact(3) == {"macs": frame()["macs"][3]}
    assert found.measurable(3) == {"energy": frame()["joules"][3]}


def test_parameters_round_trip_and_what_is_missing_is_invalid() -> None:
    space = TableSpace(table(missing=20))
    rows = space.listing(1000)
    assert rows is not None
    assert len(rows) == 80
    assert space.listing(79) is None
    assert all(space.from_parameters(space.parameters(row)) == row for row in rows)
    there = {row.values for row in rows}
    absent = [
        space.from_parameters({"kernel": kernel, "width": width, "depth": depth})
        for kernel in ("conv", "none")
        for width in (8, 48)
        for depth in (1, 2, 3, 4, 5)
        if (kernel, width, depth) not in there
    ]
    assert absent
    assert all(row.index == MISSING and not space.is_valid(row) for row in absent)


def test_neighbours_differ_in_one_decision_and_in_a_sparse_table_in_as_few_as_there_are() -> None:
    space, rng = TableSpace(table()), np.random.default_rng(0)
    row = space.random(rng)
    neighbours = space.neighbours(row, rng)
    assert len(neighbours) == 3 + 4 + 4
    assert all(sum(a != b for a, b in zip(row.values, other.values, strict=True)) == 1 for other in neighbours)
    sparse = TableSpace(table(missing=97))
    lonely = sparse.random(rng)
    assert lonely not in sparse.neighbours(lonely, rng)
    assert sparse.neighbours(lonely, rng)


def test_a_child_is_always_a_row() -> None:
    space, rng = TableSpace(table(missing=90)), np.random.default_rng(0)
    for _ in range(50):
        assert space.is_valid(space.crossover(space.random(rng), space.random(rng), rng))


def test_features_lie_in_0_to_1_and_tell_rows_apart() -> None:
    space = TableSpace(table())
    rows = space.listing(1000) or []
    features = np.stack([space.encode(row) for row in rows])
    assert features.shape == (100, len(space.feature_decisions))
    assert features.min() >= 0
    assert features.max() <= 1
    assert len(np.unique(features, axis=0)) == 100


def test_without_a_scale_that_of_the_true_front_is_taken() -> None:
    scale = table().scale
    assert scale.ideal == pytest.approx((100 - frame()["accuracy"].max(), frame()["joules"].min()))
    assert scale.reference == (1.1, 1.1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"decisions": ["kernel", "widht"]}, "unknown column 'widht'"),
        ({"decisions": ["kernel", "width"]}, "rows 75 and 76 have the same decisions"),
        ({"table": "nothing.csv"}, "no such file"),
        ({"table": "t.txt"}, "neither .parquet nor .csv"),
        (
            {"hypervolume": {"ideal": [1], "nadir": [1, 2], "reference": [1, 2]}},
            "hypervolume.ideal has 1 numbers for 2",
        ),
        ({"speed": 3}, "unknown key 'speed'"),
    ],
)
def test_a_mistake_in_a_specification_is_one_line(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = write(tmp_path, yaml.safe_dump({**SPEC, **change}))
    with pytest.raises(ConfigError) as caught:
        read_table(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_number_that_is_missing_is_refused(tmp_path: Path) -> None:
    data = frame()
    data.loc[7, "accuracy"] = np.nan
    with pytest.raises(ConfigError, match="column 'accuracy', row 7"):
        read_table(write(tmp_path, yaml.safe_dump(SPEC), data))
