"""Tables with cheaper trainings: what a part costs, who goes on, and that it helps."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tables import SPEC, frame, table, write

from ecoNAS.benchmark.compare import compare
from ecoNAS.benchmark.lookup import Way, run_once
from ecoNAS.benchmark.rivals import RIVALS
from ecoNAS.cli import main
from ecoNAS.evaluation.table_spec import TableSpec
from ecoNAS.evaluation.tabular import Table, make_table

EARLY: dict[str, Any] = {"objective": "error", "column": "early", "offset": 100, "scale": -1}


def with_fidelities(*fidelities: dict[str, Any], **changes: Any) -> Table:
    """Return the small table with what shorter trainings show: the same but for some noise, and worse."""
    data = frame()
    rng = np.random.default_rng(1)
    data["early"] = data["accuracy"] * 0.8 + rng.normal(0, 1.0, len(data))
    data["middle"] = data["accuracy"] * 0.9 + rng.normal(0, 0.5, len(data))
    spec = {**SPEC, "fidelities": [{**EARLY, **fidelity} for fidelity in fidelities], **changes}
    return make_table(TableSpec.model_validate(spec), data)


def test_a_training_that_goes_on_pays_for_the_rest_and_another_for_all_of_it() -> None:
    first = {"name": "early", "cost": 0.1}
    middle = {"name": "middle", "column": "middle", "cost": 0.4}
    on = with_fidelities({**middle, "continues": True}, {**first, "continues": True})
    assert [rung.name for rung in on.rungs] == ["early", "middle"]
    assert [on.training_cost(level) for level in range(3)] == pytest.approx([0.1, 0.3, 0.6])
    anew = with_fidelities({**first, "continues": False}, {**middle, "continues": False})
    assert [anew.training_cost(level) for level in range(3)] == [0.1, 0.4, 1.0]


@pytest.mark.parametrize("name", ["auto", "random", "nsga2-20", "tpe"])
def test_a_search_pays_for_every_part_and_finishes_a_share(name: str) -> None:
    found = with_fidelities({"name": "early", "cost": 0.1, "continues": False})
    trace = run_once(found, RIVALS[name], 0, Way(12, halving=True, factor=4))
    assert len(set(trace.rows)) == len(trace.rows)
    assert 5 <= len(trace.rows) <= 12
    assert trace.costs[-1] <= 12
    begun = 4 * len(trace.rows)
    assert trace.measured >= begun * 0.8


def test_an_objective_that_no_fidelity_shows_waits_for_the_whole_training() -> None:
    second = {"name": "loss", "column": "joules", "direction": "minimize", "known": "after_training"}
    objectives = [SPEC["objectives"][0], second]
    found = with_fidelities({"name": "early", "cost": 0.1, "continues": True}, objectives=objectives)
    assert np.isnan(found.shown_at(0, 0)[1])
    for name in ("random", "auto"):
        assert len(run_once(found, RIVALS[name], 0, Way(10, halving=True, factor=3)).rows) >= 4


def test_pausing_helps_where_what_is_shown_early_tells_the_end() -> None:
    found = with_fidelities({"name": "early", "cost": 0.05, "continues": True})
    plain, halved = (compare(found, ["random"], 8, Way(10, halving=halving)).searches for halving in (False, True))
    ends = [np.mean([search.readings[-1].hv_frac for search in searches]) for searches in (plain, halved)]
    assert ends[1] > ends[0]


def test_the_command_pauses_and_refuses_tables_that_show_nothing_early(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data: pd.DataFrame = frame().assign(early=lambda rows: rows["accuracy"] - 5)
    spec = json.dumps({**SPEC, "fidelities": [{**EARLY, "name": "early", "cost": 0.1, "continues": True}]})
    path = write(tmp_path, spec, data)
    words = ["bench", str(path), "--sampler", "random", "--budget", "5", "--seeds", "2", "--jobs", "1", "--json"]
    assert main([*words, "--fidelities", "--spread", "epsilon_net"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {result["cost"] for result in found["results"]} == {5.0}
    (tmp_path / "plain").mkdir()
    plain = write(tmp_path / "plain", json.dumps(SPEC))
    for extra, said in (
        (["--fidelities"], "has no fidelities"),
        (["--factor", "1"], "--factor 1: must be above 1"),
        (["--spread", "crowded"], "unknown spread rule 'crowded'; known: crowding, epsilon_net"),
    ):
        assert main(["bench", str(plain), "--budget", "5", *extra]) == 2
        assert said in capsys.readouterr().err


def test_a_table_without_fidelities_has_no_rungs() -> None:
    assert table().rungs == ()
