"""A task that needs a place waits for the worker that is there: a reference device measures, others only train."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from ecoNAS.evaluation.ray_workers import Places, RayWorkers
from ecoNAS.evaluation.workers import Finished


@dataclass(frozen=True)
class Task:
    trial: int
    place: str | None


def work(task: Task) -> int:
    return os.getpid()


def here() -> str:
    """Return `reference` in the first process that asks, as if the others had another device."""
    try:
        Path(os.environ["FIRST_PLACE"]).touch(exist_ok=False)
    except FileExistsError:
        return "other"
    return "reference"


def needed(task: Task) -> str | None:
    return task.place


def take(workers: RayWorkers[Task, int], count: int) -> list[Finished[Task, int]]:
    found: list[Finished[Task, int]] = []
    deadline = time.monotonic() + 60
    while len(found) < count and time.monotonic() < deadline:
        finished = workers.next_finished(0.5)
        if finished is not None:
            found.append(finished)
    return found


@pytest.mark.slow
def test_a_task_that_needs_a_place_waits_for_the_worker_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setenv("FIRST_PLACE", str(tmp_path / "first"))
    with RayWorkers(work, count=2, places=Places(here, needed)) as workers:
        for number in range(6):
            workers.submit(Task(number, "reference"))
        assert len({finished.result for finished in take(workers, 6)}) == 1  # all six in one of the two processes

        workers.submit(Task(6, None))
        assert take(workers, 1)[0].result is not None

        workers.submit(Task(7, "nowhere"))
        (refused,) = take(workers, 1)
        assert refused.result is None
        assert refused.error == "no worker is on nowhere; there are workers on other, reference"
