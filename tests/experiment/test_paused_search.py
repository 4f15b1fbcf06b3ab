"""Real searches with rungs: parts make one record, and a sudden death costs no more than the part under way."""

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ecoNAS import ExperimentConfig, load_run, prepare, run_search
from ecoNAS.analysis.run import Run
from ecoNAS.analysis.summary import counts_line
from ecoNAS.errors import ConfigError
from ecoNAS.events import RungReached, TrialEnded, TrialPromoted
from ecoNAS.experiment.halving import Checkpoints
from ecoNAS.experiment.run import evaluate_architecture
from ecoNAS.records import Outcome
from ecoNAS.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "experiments" / "smoke.yaml"
HALVING = {"first": 1, "factor": 2}
PATIENCE_S = 120.0


def search(folder: Path, trials: int = 10, *, resume: bool = False, **changes: object) -> Run:
    values = {
        "search.sampler": "auto",
        "search.trials": trials,
        "search.halving": HALVING,
        "training.epochs": 4,
        "report.every_s": 1e9,
        **changes,
    }
    run_search(prepare(ExperimentConfig.from_yaml(SMOKE, values)), RunFolder(folder), resume=resume)
    return load_run(folder)


def parts(run: Run) -> list[tuple[int, int]]:
    """Return (trial, how many rungs lie below) of each part of a training that came to its end, in order."""
    found = [(event.trial, event.rung) for event in run.events if isinstance(event, RungReached)]
    ends = [event for event in run.events if isinstance(event, TrialEnded) and event.outcome is Outcome.EVALUATED]
    return found + [(event.trial, 2) for event in ends]


def test_parts_of_a_training_make_one_record_and_one_bill(tmp_path: Path) -> None:
    run = search(tmp_path / "run")
    assert run.counts["evaluated"] > 0
    assert run.counts["evaluated"] + run.counts["stopped"] == 10
    assert max(Counter(parts(run)).values()) == 1
    epochs = 0
    for trial in run.trials:
        assert trial.evaluation is not None
        training = trial.evaluation.training
        assert training is not None
        assert [record.epoch for record in training.curve] == list(range(1, len(training.curve) + 1))
        assert (len(training.curve) == 4) == (trial.outcome is Outcome.EVALUATED)
        assert (training.weights_file is None) == (trial.outcome is Outcome.STOPPED)
        assert training.energy is not None
        epochs += len(training.curve)
    assert epochs == sum((1, 1, 2)[level] for _, level in parts(run))
    priced_j = sum(trial.evaluation.training.energy.value_j for trial in run.trials if trial.evaluation)  # type: ignore[union-attr]
    assert run.ledger.search_energy_j == pytest.approx(priced_j)
    assert run.ledger.training_s <= run.ledger.wall_s
    assert Checkpoints(RunFolder(tmp_path / "run"), 1.0).num_bytes() == 0
    assert all(trial.outcome is Outcome.EVALUATED for trial in run.front_trials())
    assert run.model(run.front_trials()[0]) is not None


def test_an_interrupted_search_trains_what_it_would_have_trained(tmp_path: Path) -> None:
    whole = search(tmp_path / "whole", 12)
    assert whole.ledger.search_energy_j is not None
    begun = search(tmp_path / "parts", 12, **{"search.budget.energy": whole.ledger.search_energy_j / 3})
    assert 0 < len(begun.trials) < 12
    assert "waiting at a rung" in counts_line(begun)
    resumed = search(tmp_path / "parts", 12, resume=True)
    assert [trial.digest for trial in resumed.trials] == [trial.digest for trial in whole.trials]
    assert [trial.outcome for trial in resumed.trials] == [trial.outcome for trial in whole.trials]


def test_killed_anywhere_a_search_repeats_no_rung_and_ends_as_it_would_have(tmp_path: Path) -> None:
    whole = search(tmp_path / "whole")
    command = [sys.executable, "-m", "ecoNAS", "search", str(SMOKE), "--run-dir", str(tmp_path / "run")]
    command += ["--set", "search.sampler=auto", "--set", "search.trials=10", "--set", "training.epochs=4"]
    command += ["--set", f"search.halving={HALVING}"]
    events, num_killed = tmp_path / "run" / "events.jsonl", 0
    for num_rungs in (3, 9, 14):
        resume = ["--resume"] * events.exists()
        process = subprocess.Popen([*command, *resume], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT)
        deadline = time.monotonic() + PATIENCE_S
        while process.poll() is None and time.monotonic() < deadline:
            if events.exists() and events.read_text().count('"rung_reached"') >= num_rungs:
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        num_killed += process.returncode == -signal.SIGKILL
    assert num_killed == 3
    subprocess.run([*command, "--resume"], check=True, capture_output=True, cwd=ROOT, timeout=PATIENCE_S)
    run = load_run(tmp_path / "run")
    assert max(Counter(parts(run)).values()) == 1
    promoted = Counter((event.trial, event.rung) for event in run.events if isinstance(event, TrialPromoted))
    assert max(promoted.values()) == 1
    assert [(trial.digest, trial.outcome) for trial in run.trials] == [
        (trial.digest, trial.outcome) for trial in whole.trials
    ]
    for ours, theirs in zip(run.front_trials(), whole.front_trials(), strict=True):
        assert ours.scores["accuracy"].value == theirs.scores["accuracy"].value
    assert not any((tmp_path / "run" / "checkpoints").iterdir())


def test_checkpoints_keep_within_their_bound(tmp_path: Path) -> None:
    run = search(tmp_path / "run", 8, **{"search.halving": {**HALVING, "disk": "50 kB"}})
    reasons = {event.reason for event in run.events if isinstance(event, TrialEnded)}
    assert "its checkpoint had to make room" in reasons
    assert run.counts["evaluated"] + run.counts["stopped"] == 8


def test_a_duplicate_leaves_the_checkpoint_of_its_original(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    (folder.checkpoints / "abc").mkdir(parents=True)
    (folder.checkpoints / "abc" / "1.safetensors").write_bytes(bytes(100))
    checkpoints = Checkpoints(folder, 50.0)
    checkpoints.note(TrialEnded(trial=3, digest="abc", outcome=Outcome.DUPLICATE, duplicate_of=1))
    assert checkpoints.num_bytes() == 100
    assert checkpoints.is_full()
    checkpoints.note(TrialEnded(trial=1, digest="abc", outcome=Outcome.STOPPED))
    assert checkpoints.num_bytes() == 0


def test_one_architecture_is_evaluated_to_the_end_whatever_the_experiment_halves() -> None:
    setup = prepare(ExperimentConfig.from_yaml(SMOKE, {"search.halving": HALVING, "training.epochs": 2}))
    candidate = setup.space.random(np.random.default_rng(0))
    evaluation = evaluate_architecture(setup, candidate.architecture)
    assert evaluation.outcome is Outcome.EVALUATED
    assert evaluation.training is not None
    assert len(evaluation.training.curve) == 2


def test_a_rung_after_the_end_is_refused() -> None:
    values = {"search.halving": {"first": 2}, "training.epochs": 2}
    with pytest.raises(ConfigError, match="first rung must come before the end, at 2 epochs"):
        prepare(ExperimentConfig.from_yaml(SMOKE, values))
