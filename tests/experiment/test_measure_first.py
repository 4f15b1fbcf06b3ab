"""Candidates are measured before one of them is trained: each once, and only where that is worth its time."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from ecoNAS import ExperimentConfig, load_run, prepare, run_search
from ecoNAS.analysis.run import Run
from ecoNAS.errors import ConfigError
from ecoNAS.evaluation.evaluate import evaluate
from ecoNAS.evaluation.task import EvaluationTask
from ecoNAS.events import CandidateProfiled, Event, TrialEnded
from ecoNAS.experiment.run import Watcher
from ecoNAS.records import Evaluation
from ecoNAS.run_folder import RunFolder

SMOKE = Path(__file__).parents[2] / "experiments" / "smoke.yaml"
BASE = {
    "objectives": ["accuracy", "latency", "macs"],
    "search.sampler": "auto",
    "training.epochs": 1,
    "report.every_s": 1e9,
}


def search(
    folder: Path, trials: int, *, resume: bool = False, watcher: Watcher | None = None, **changes: object
) -> Run:
    config = ExperimentConfig.from_yaml(SMOKE, {**BASE, "search.trials": trials, **changes})
    run_search(prepare(config), RunFolder(folder), resume=resume, watcher=watcher)
    return load_run(folder)


def measured(run: Run) -> list[str]:
    return [event.digest for event in run.events if isinstance(event, CandidateProfiled)]


def names(run: Run) -> dict[str, list[str]]:
    """Return the stretches of each trial's end, by digest."""
    ends = [event for event in run.events if isinstance(event, TrialEnded)]
    return {event.digest: [phase.name for phase in event.phases] for event in ends}


@pytest.mark.slow
def test_each_candidate_is_measured_once_and_the_best_of_them_is_trained(tmp_path: Path) -> None:
    asked = {"search.measure_first": 3}
    run = search(tmp_path / "run", 10, **asked)
    first = measured(run)
    assert len(first) >= 3
    run = search(tmp_path / "run", 12, resume=True, **asked)
    assert measured(run)[: len(first)] == first
    assert max(Counter(measured(run)).values()) == 1
    trained = names(run)
    assert set(trained) - set(measured(run))  # the start is not chosen by costs
    assert set(trained) & set(measured(run))
    assert set(measured(run)) - set(trained)
    for digest, phases in trained.items():
        assert phases == (["training"] if digest in measured(run) else ["profiling", "training"])
    kept = RunFolder(tmp_path / "run").profiled()
    for digest, evaluation in RunFolder(tmp_path / "run").evaluations().items():
        assert digest not in kept or evaluation.profile == kept[digest].profile
    (row,) = [row for row in run.ledger.rows if row.phase == "profiling"]
    assert row.num == len(set(trained) | set(measured(run)))


@pytest.mark.slow
def test_nothing_is_measured_first_where_a_training_takes_no_longer(tmp_path: Path) -> None:
    assert measured(search(tmp_path / "run", 10)) == []


@pytest.mark.slow
def test_a_search_goes_on_where_nothing_can_be_measured_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = list[str]()

    def broken(task: EvaluationTask, check: object) -> Evaluation:
        if task.stage == "profile":
            tried.append(task.candidate.digest)
            raise RuntimeError("the device is gone")
        return evaluate(task)

    monkeypatch.setattr("ecoNAS.experiment.workers.evaluate", broken)
    run = search(tmp_path / "run", 11, **{"search.measure_first": 2})
    assert run.counts["evaluated"] == 11
    assert measured(run) == []
    assert tried
    assert max(Counter(tried).values()) == 1  # not tried again and again
    assert "could not be measured before its training: RuntimeError: the device is gone" in caplog.text


@pytest.mark.slow
def test_ctrl_c_while_candidates_are_measured_begins_no_training(tmp_path: Path) -> None:
    def interrupt(event: Event) -> None:
        if event.type == "candidate_profiled":
            os.kill(os.getpid(), signal.SIGINT)

    asked = {"search.measure_first": 3}
    run = search(tmp_path / "run", 12, watcher=Watcher(on_event=interrupt), **asked)
    assert run.ended is not None
    assert run.ended.reason == "interrupted"
    assert len(measured(run)) == 1
    assert run.counts["evaluated"] == len(names(run)) == 8
    assert search(tmp_path / "run", 9, resume=True, **asked).counts["evaluated"] == 9


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"search.sampler": "random", "search.measure_first": 2}, "sampler 'random' does not ask for measurements"),
        ({"objectives": ["accuracy", "macs"], "search.measure_first": 2}, "no objective is measured here"),
        ({"search.measure_first": -1}, "search.measure_first"),
    ],
)
def test_measuring_that_cannot_be_had_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        prepare(ExperimentConfig.from_yaml(SMOKE, {**BASE, **changes}))
