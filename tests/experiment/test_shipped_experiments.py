"""Every experiment that is shipped runs, with a tiny budget; one whose data is missing is skipped and says so."""

from pathlib import Path

import pytest

from ecoNAS import load_run
from ecoNAS.cli import main

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))
# `auto` would begin with the most expensive network that passes; a random pair is a fraction of the work.
TINY = [
    "search.trials=2",
    "search.sampler=random",
    "search.halving=null",  # one epoch leaves no room for a rung
    "training.epochs=1",
    "workers={kind: in_process, device: cpu}",
    "report.every_s=1000",
]


def test_there_are_experiments() -> None:
    assert {path.stem for path in EXPERIMENTS} >= {"digits", "smoke", "flowers17", "cifar10_13k"}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_shipped_experiment_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "ECONAS_DATA" in path.read_text():
        if not DATA.is_dir():
            pytest.skip(f"{path.name} needs the images of {DATA}, and that folder is missing")
        monkeypatch.setenv("ECONAS_DATA", str(DATA))
    options = [word for value in TINY for word in ("--set", value)]
    assert main(["search", str(path), "--run-dir", str(tmp_path / "run"), *options]) == 0
    run = load_run(tmp_path / "run")
    assert run.counts["evaluated"] == 2
    assert run.front_trials()
    assert all(set(run.objectives.names) <= set(trial.scores) for trial in run.trials if trial.evaluation)


def test_every_experiment_opens_with_the_question_it_answers() -> None:
    for path in EXPERIMENTS:
        comment = [line for line in path.read_text().splitlines() if line.startswith("#")]
        assert any("?" in line for line in comment), path
