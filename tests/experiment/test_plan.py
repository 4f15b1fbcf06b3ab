"""`econas plan`: what it extrapolates, and that it says so when a budget does not fit."""

import json
from pathlib import Path

import numpy as np
import pytest

from ecoNAS import ExperimentConfig, prepare
from ecoNAS.cli import main
from ecoNAS.errors import EcoNASError
from ecoNAS.evaluation.probe import Probe
from ecoNAS.experiment.plan import Plan, _mean_epoch, make_plan

SMOKE = Path(__file__).parents[2] / "experiments" / "smoke.yaml"


def plan(**changes: object) -> Plan:
    return make_plan(prepare(ExperimentConfig.from_yaml(SMOKE, changes)))


def test_totals_follow_from_the_probes() -> None:
    found = plan(**{"search.trials": 30, "training.epochs": 12})
    assert found.num_networks == 48
    assert found.passing.low < found.passing.value <= found.passing.high <= 1
    assert found.total.epochs == 30 * 12
    least_s = 30 * found.candidate_s.low / found.workers
    assert least_s <= found.total.wall_s.value
    assert found.total.wall_s.low < found.total.wall_s.value < found.total.wall_s.high
    assert found.total.training_j is not None
    assert found.total.whole_j is None  # nothing was measured
    assert found.profiling_share == 0
    assert found.worker_bytes is not None
    assert found.worker_bytes > 50 * 2**20
    assert found.verdict == ""


def test_halving_takes_the_share_of_epochs_that_its_rungs_say() -> None:
    halving = {"first": 2, "factor": 2}
    found = plan(**{"search.trials": 10, "training.epochs": 8, "search.halving": halving})
    assert found.halved is not None
    assert found.halved.epochs == pytest.approx(10 * (2 + 2 / 2 + 4 / 4))
    assert found.halved.training_j == pytest.approx(found.total.training_j * found.halved.epochs / found.total.epochs)
    assert plan(**{"training.epochs": 2}).halved is None  # no rung fits


def test_a_budget_that_is_too_small_says_how_far_it_goes() -> None:
    found = plan(**{"search.trials": 1000, "search.budget": {"time": "1 s", "energy": "1000 MJ"}})
    assert "ends the search at about" in found.verdict
    assert "of 1000 trials" in found.verdict
    assert "1e+09 J fits" in found.verdict


def test_a_line_through_the_probes_tells_what_others_take() -> None:
    probes = [
        Probe(
            digest="", macs=macs, start_s=0, epoch_s=1 + macs / 100, profile_s=0, power_w=None, peak_memory_bytes=None
        )
        for macs in (100, 200, 400, 800)
    ]
    found = _mean_epoch(probes, np.array([100.0, 900.0]))
    assert found.value == pytest.approx(6.0)
    assert found.low == pytest.approx(6.0)


def test_what_nothing_passes_is_said_before_anything_is_tried() -> None:
    config = ExperimentConfig.from_yaml(SMOKE, {"constraints": ["macs <= 1"]})
    with pytest.raises(EcoNASError):
        make_plan(prepare(config))


def test_the_command_prints_a_table_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(SMOKE)]) == 0
    said = capsys.readouterr().out
    assert "Estimates from 6 networks" in said
    assert "6 trials, each to its end" in said
    assert main(["plan", str(SMOKE), "--json", "--set", "search.trials=9"]) == 0
    assert json.loads(capsys.readouterr().out)["trials"] == 9
    assert main(["plan", str(SMOKE), "--set", "search.trails=9"]) == 2
    assert "search.trails" in capsys.readouterr().err
