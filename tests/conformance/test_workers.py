"""What all workers must keep, in process and in Ray actors."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ecoNAS.evaluation.ray_workers import RayWorkers
from ecoNAS.evaluation.workers import Desk, Finished, InProcessWorkers, Workers

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Task:
    """What the stand-in for an evaluation is asked to do."""

    trial: int
    action: str = "square"
    marker: Path | None = None


def work(task: Task) -> int:
    if task.action == "fail":
        raise ValueError(f"trial {task.trial} cannot be done")
    if task.action == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task.action == "die once":
        assert task.marker is not None
        if not task.marker.exists():
            task.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if task.action == "sleep":
        time.sleep(1.0)
    if task.action == "pid":
        return os.getpid()
    return task.trial**2


AnyWorkers = Workers[Task, int]


@pytest.fixture(scope="module")
def ray_workers() -> Iterator[AnyWorkers]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # so that a worker process finds `work`
        with RayWorkers(work, count=2) as workers:
            yield workers


@pytest.fixture(params=["in_process", pytest.param("ray", marks=pytest.mark.slow)])
def workers(request: pytest.FixtureRequest) -> Iterator[AnyWorkers]:
    if request.param == "ray":
        yield request.getfixturevalue("ray_workers")
    else:
        with InProcessWorkers(work) as found:
            yield found


def take(workers: AnyWorkers, count: int) -> list[Finished[Task, int]]:
    found: list[Finished[Task, int]] = []
    deadline = time.monotonic() + TIMEOUT_S
    while len(found) < count and time.monotonic() < deadline:
        finished = workers.next_finished(0.5)
        if finished is not None:
            found.append(finished)
    return found


def test_every_task_comes_back_once_with_its_result(workers: AnyWorkers) -> None:
    for number in range(7):
        workers.submit(Task(number))
    found = {finished.task.trial: finished.result for finished in take(workers, 7)}
    assert found == {number: number**2 for number in range(7)}
    assert workers.next_finished(0.0) is None


def test_a_task_can_be_done_out_of_turn_and_what_ends_meanwhile_is_kept(workers: AnyWorkers) -> None:
    desk, waits = Desk(workers), list[int]()
    desk.submit(Task(2))
    urgent = Task(5, "sleep")
    assert desk.finish(urgent, lambda: waits.append(1), 0.2).result == 25
    assert waits
    desk.submit(Task(3))
    assert [finished.result for finished in take(desk, 2)] == [4, 9]
    assert desk.next_finished(0.0) is None


def test_nothing_submitted_means_nothing_finished(workers: AnyWorkers) -> None:
    assert workers.next_finished(0.1) is None


def test_an_exception_comes_back_as_an_error_with_its_traceback(workers: AnyWorkers) -> None:
    workers.submit(Task(3, "fail"))
    (finished,) = take(workers, 1)
    assert finished.result is None
    assert not finished.is_lost
    assert "ValueError: trial 3 cannot be done" in finished.error
    assert "Traceback" in finished.error


def test_work_goes_on_after_an_exception(workers: AnyWorkers) -> None:
    workers.submit(Task(1, "fail"))
    workers.submit(Task(4))
    assert {finished.result for finished in take(workers, 2)} == {None, 16}


@pytest.mark.slow
def test_ray_runs_as_many_tasks_at_once_as_it_has_workers(ray_workers: AnyWorkers) -> None:
    ray_workers.submit(Task(0))
    take(ray_workers, 1)  # both actors are up by now or will be soon
    ray_workers.submit(Task(1, "pid"))
    ray_workers.submit(Task(2, "pid"))
    pids = {finished.result for finished in take(ray_workers, 2)}
    assert os.getpid() not in pids
    for number in range(2):
        ray_workers.submit(Task(number, "sleep"))
    started = time.monotonic()
    take(ray_workers, 2)
    assert time.monotonic() - started < 1.9  # one after the other would take two seconds


@pytest.mark.slow
def test_a_killed_ray_worker_gives_its_task_back_as_lost_and_is_replaced(ray_workers: AnyWorkers) -> None:
    ray_workers.submit(Task(5, "die"))
    (lost,) = take(ray_workers, 1)
    assert lost.is_lost
    assert lost.result is None
    assert lost.error
    for number in range(4):
        ray_workers.submit(Task(number))
    assert {finished.result for finished in take(ray_workers, 4)} == {0, 1, 4, 9}


@pytest.mark.slow
def test_a_ray_worker_is_replaced_after_its_share_of_tasks(ray_workers: AnyWorkers) -> None:
    with RayWorkers(work, count=1, cpus=0, tasks_per_worker=2) as workers:  # the CPUs are taken by the others
        for number in range(4):
            workers.submit(Task(number, "pid"))
        pids = [finished.result for finished in take(workers, 4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]
