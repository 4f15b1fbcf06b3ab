"""Ray actors that run evaluations in parallel, reused from candidate to candidate.

Importing torch and timm costs seconds, hence actors and not tasks. An actor is replaced after a crash, after an
out-of-memory kill, and after a set number of candidates (so that a slow leak cannot grow without end). Ray core only.
"""

import logging
import os
import sys
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Generic, Self

import ray
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayActorError, RayTaskError

from ecoNAS.errors import EcoNASError
from ecoNAS.evaluation.workers import Finished, ResultT, TaskT

logger = logging.getLogger(__name__)

START_TIMEOUT_S: Final = 600.0


class _Actor:
    """What runs inside a worker process."""

    def __init__(
        self, run: Callable[[Any], Any], place: Callable[[], str], path: list[str]
    ) -> None:  # Any: Ray's handles are not typed
        # A task may hold a user's own block, whose module was found where the search began; Ray does not look there.
        sys.path.extend(folder for folder in path if folder not in sys.path)
        self._run, self._place = run, place

    def place(self) -> str:
        """Return where this process works."""
        return self._place()

    def run(self, task: Any) -> tuple[Any, str]:
        """Return (result, "") or (None, traceback)."""
        try:
            return self._run(task), ""
        except Exception:  # a bug that one candidate shows must not end the worker: it is recorded as failed
            return None, traceback.format_exc()


@dataclass(slots=True)
class _Worker:
    """An actor, where it works, and how many tasks it has been given."""

    actor: Any  # Ray's handles are not typed
    place: str = ""
    num_tasks: int = 0


@dataclass(frozen=True, slots=True)
class Places(Generic[TaskT]):
    """Which task must run where.

    Attributes:
        here: Called in each actor: where it works; importable by name.
        needed: Where a task must run; None for anywhere.
    """

    here: Callable[[], str]
    needed: Callable[[TaskT], str | None]


def _nowhere() -> str:
    return ""


class RayWorkers(Generic[TaskT, ResultT]):
    """Runs tasks in `count` actors with `cpus` CPUs each; a context manager that starts and ends Ray."""

    def __init__(
        self,
        run: Callable[[TaskT], ResultT],
        count: int,
        cpus: int = 1,
        gpus: float = 0.0,
        *,
        tasks_per_worker: int = 200,
        places: Places[TaskT] | None = None,
    ) -> None:
        """Start Ray, if it is not running, and the actors.

        Args:
            run: What a worker does with a task; importable by name.
            count: Number of actors.
            cpus: CPUs, and threads, of each.
            gpus: Share of a GPU of each.
            tasks_per_worker: After so many, an actor is replaced.
            places: Where tasks must run, if they cannot run anywhere.
        """
        self._run, self._cpus, self._gpus, self._tasks_per_worker = run, cpus, gpus, tasks_per_worker
        self._places, self._is_up = places, False
        self.capacity = count
        self._owns_ray = not ray.is_initialized()
        if self._owns_ray:
            _start_ray(count * cpus)
        self._idle: deque[_Worker] = deque(self._new_workers(count))
        self._waiting: deque[TaskT] = deque()
        self._running: dict[Any, tuple[_Worker, TaskT]] = {}  # by Ray's object reference

    def submit(self, task: TaskT) -> None:
        """Hand a task to an idle actor, or queue it."""
        self._waiting.append(task)
        self._feed()

    def next_finished(self, timeout_s: float) -> Finished[TaskT, ResultT] | None:
        """Wait for any actor; one that died is replaced and its task comes back as lost.

        Raises:
            EcoNASError: if a task cannot be read where workers run, such as one with a block that is not there.
        """
        if not self._running:
            return self._without_place()
        done, _ = ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        if not done:
            return None
        worker, task = self._running.pop(done[0])
        try:
            result, error = ray.get(done[0])
        except (RayActorError, OutOfMemoryError) as loss:  # Ray's out-of-memory error is not an actor error
            logger.warning("a worker died: %s", loss)
            self._replace(worker)
            finished: Finished[TaskT, ResultT] = Finished(task, None, error=str(loss), is_lost=True)
        except RayTaskError as unread:  # what the task itself raises is told, not raised: it could not be read there
            reason = next((line for line in reversed(str(unread).splitlines()) if line.strip()), type(unread).__name__)
            raise EcoNASError(
                f"a worker cannot read its task: {reason.strip()[:200]}; install what is missing where workers run, or "
                "put it on PYTHONPATH there"
            ) from None
        else:
            finished = Finished(task, result, error=error)
            if worker.num_tasks >= self._tasks_per_worker:
                self._replace(worker)
            else:
                self._idle.append(worker)
        self._feed()
        return finished

    def _without_place(self) -> Finished[TaskT, ResultT] | None:
        """Return a task that no actor is in the right place for, since all are idle and it still waits."""
        if not self._waiting or self._places is None:
            return None
        task = self._waiting.popleft()
        there = ", ".join(sorted({worker.place for worker in self._idle}))
        return Finished(task, None, error=f"no worker is on {self._places.needed(task)}; there are workers on {there}")

    def close(self) -> None:
        """Kill the actors, and Ray if it was started here."""
        for worker in [*self._idle, *(worker for worker, _ in self._running.values())]:
            ray.kill(worker.actor)
        self._idle.clear()
        self._running.clear()
        self._waiting.clear()
        if self._owns_ray:
            ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _new_workers(self, count: int) -> list[_Worker]:
        """Start actors side by side; at the start, and where places matter, wait until each is up.

        An actor that still imports torch while another one measures would be counted with it.
        """
        new = ray.remote(_Actor).options(num_cpus=self._cpus, num_gpus=self._gpus, max_restarts=0)
        here = self._places.here if self._places else _nowhere
        actors: list[Any] = [new.remote(self._run, here, sys.path) for _ in range(count)]
        if self._places is None and self._is_up:
            return [_Worker(actor) for actor in actors]
        try:
            places = ray.get([actor.place.remote() for actor in actors], timeout=START_TIMEOUT_S)
        except GetTimeoutError:
            raise EcoNASError(
                f"{count} workers with {self._cpus} CPUs each did not start within {START_TIMEOUT_S:.0f} s, as if Ray "
                "had not so many CPUs free; lower workers.count or workers.cpus_per_trial, or stop what else runs in it"
            ) from None
        self._is_up = True
        return [_Worker(actor, place) for actor, place in zip(actors, places, strict=True)]

    def _replace(self, worker: _Worker) -> None:
        ray.kill(worker.actor)
        self._idle.extend(self._new_workers(1))

    def _feed(self) -> None:
        """Give each waiting task, the oldest first, to an idle actor in the right place."""
        for task in list(self._waiting):
            worker = self._idle_for(task)
            if worker is None:
                continue
            self._waiting.remove(task)
            self._idle.remove(worker)
            worker.num_tasks += 1
            self._running[worker.actor.run.remote(task)] = (worker, task)

    def _idle_for(self, task: TaskT) -> _Worker | None:
        needed = self._places.needed(task) if self._places else None
        return next((worker for worker in self._idle if needed in (None, worker.place)), None)


def _start_ray(num_cpus: int) -> None:
    # Both are read when Ray starts: no usage report is sent, and no notice about it is printed.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init(num_cpus=num_cpus, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
