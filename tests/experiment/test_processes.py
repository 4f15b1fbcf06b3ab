"""Real processes, really killed: whatever dies, no finished candidate is lost or repeated, and the count ends right."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from ecoNAS import load_run
from ecoNAS.events import TrialEnded, TrialStarted, WorkerLost
from ecoNAS.records import Outcome
from ecoNAS.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0

pytestmark = pytest.mark.slow


def start(folder: Path, *more: str, epochs: int = 12, trials: int = 10) -> subprocess.Popen[str]:
    """Start `econas search` in a process group of its own, as a terminal would."""
    values = [f"training.epochs={epochs}", f"search.trials={trials}", "report.every_s=2", *more]
    options = [word for value in values for word in (("--set", value) if "=" in value else (value,))]
    command = [
        sys.executable,
        "-m",
        "ecoNAS",
        "search",
        str(ROOT / "experiments" / "smoke.yaml"),
        "--run-dir",
        str(folder),
    ]
    return subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def ended(folder: Path) -> list[TrialEnded]:
    return [event for event in RunFolder(folder).events if isinstance(event, TrialEnded)]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=PATIENCE_S)
    return out, err


def check_whole(folder: Path, trials: int) -> None:
    run = load_run(folder)
    evaluated = [event.digest for event in ended(folder) if event.outcome is Outcome.EVALUATED]
    assert len(evaluated) == len(set(evaluated)) == trials
    assert run.counts["evaluated"] == trials
    study = optuna.load_study(study_name="econas", storage=f"sqlite:///{folder / 'study.db'}")
    assert len(study.get_trials(states=(TrialState.COMPLETE,))) == trials
    assert not study.get_trials(states=(TrialState.RUNNING,))
    assert (folder / "report.html").exists()
    assert (folder / "front.csv").exists()


@pytest.mark.long  # test_paused_search.py kills a driver thrice, too
def test_a_driver_killed_in_mid_search_is_resumed_without_loss_or_repetition(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for at_least in (3, 6):
        process = start(folder, *(["--resume"] if at_least > 3 else []))
        wait_for(lambda: len(ended(folder)) >= at_least, process)  # noqa: B023  called within the turn
        process.send_signal(signal.SIGKILL)
        finish(process)
    before = {event.trial: event.digest for event in ended(folder)}
    assert 6 <= len(before) < 10
    records = {path.name: path.stat().st_mtime_ns for path in (folder / "evaluations").glob("*.json")}
    process = start(folder, "--resume")
    _, err = finish(process)
    assert process.returncode == 0, err
    check_whole(folder, trials=10)
    assert {event.trial: event.digest for event in ended(folder) if event.trial in before} == before
    assert all((folder / "evaluations" / name).stat().st_mtime_ns == stamp for name, stamp in records.items())


def test_ray_workers_a_ctrl_c_and_a_killed_driver_cost_nothing_that_was_finished(tmp_path: Path) -> None:
    """One search through all of it, since Ray takes long to start."""
    folder, ray = tmp_path / "run", ("workers.kind=ray", "workers.count=2")
    process = start(folder, *ray, epochs=15)
    wait_for(lambda: len(ended(folder)) >= 2, process)
    lost = kill_a_busy_worker(process, folder)
    os.killpg(process.pid, signal.SIGINT)  # a terminal signals the whole group
    _, err = finish(process)
    check_interrupted(process, err, folder)
    assert "a worker died" in err
    attempts = Counter(event.trial for event in RunFolder(folder).events if isinstance(event, TrialStarted))
    assert attempts[lost] == 2
    assert next(event.outcome for event in ended(folder) if event.trial == lost) is Outcome.EVALUATED

    num_ended = len(ended(folder))
    process = start(folder, "--resume", *ray, epochs=15)
    wait_for(lambda: len(ended(folder)) > num_ended, process)
    workers = [child for child in psutil.Process(process.pid).children(recursive=True) if "_Actor" in child.name()]
    assert len(workers) == 2
    process.send_signal(signal.SIGKILL)
    finish(process)
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE]

    process = start(folder, "--resume", *ray, epochs=15)
    _, err = finish(process)
    assert process.returncode == 0, err
    check_whole(folder, trials=10)


def kill_a_busy_worker(process: subprocess.Popen[str], folder: Path) -> int:
    """Kill one of two Ray workers that train; return the trial that it lost, once another worker has it."""

    def busy_workers() -> list[psutil.Process]:
        children = psutil.Process(process.pid).children(recursive=True)
        return [child for child in children if "ray::_Actor.run" in " ".join(child.cmdline())]

    def again() -> list[int]:
        attempts = Counter(event.trial for event in RunFolder(folder).events if isinstance(event, TrialStarted))
        return [trial for trial, count in attempts.items() if count > 1]

    wait_for(lambda: len(busy_workers()) == 2, process)
    os.kill(busy_workers()[0].pid, signal.SIGKILL)
    wait_for(lambda: bool(again()), process)
    (lost,) = [event for event in RunFolder(folder).events if isinstance(event, WorkerLost)]
    assert again() == [lost.trial]
    return lost.trial


def check_interrupted(process: subprocess.Popen[str], err: str, folder: Path) -> None:
    assert process.returncode == 130, err
    assert "candidates under way" in err
    assert "--resume" in err.strip().splitlines()[-1]
    assert "Traceback" not in err
    assert 2 <= len(ended(folder)) < 10
    run = load_run(folder)
    assert run.counts["evaluated"] == len(ended(folder))
    assert (folder / "report.html").exists()


@pytest.mark.long
def test_ctrl_c_finishes_what_is_under_way_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder)
    wait_for(lambda: len(ended(folder)) >= 2, process)
    os.killpg(process.pid, signal.SIGINT)
    _, err = finish(process)
    check_interrupted(process, err, folder)
    process = start(folder, "--resume")
    _, err = finish(process)
    assert process.returncode == 0, err
    check_whole(folder, trials=10)


@pytest.mark.long
def test_a_second_ctrl_c_gives_up_at_once_and_loses_only_what_was_under_way(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder, epochs=25)
    wait_for(lambda: len(ended(folder)) >= 2, process)
    finished = len(ended(folder))
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = finish(process)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "--resume" in err.strip().splitlines()[-1]
    assert len(ended(folder)) == finished
    process = start(folder, "--resume", epochs=25)
    _, err = finish(process)
    assert process.returncode == 0, err
    check_whole(folder, trials=10)


@pytest.mark.long
def test_a_larger_budget_goes_on_where_a_finished_search_ended(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    finish(start(folder, epochs=1, trials=3))
    first = [event.digest for event in ended(folder)]
    process = start(folder, "--resume", epochs=1, trials=6)
    _, err = finish(process)
    assert process.returncode == 0, err
    check_whole(folder, trials=6)
    assert [event.digest for event in ended(folder)][: len(first)] == first
