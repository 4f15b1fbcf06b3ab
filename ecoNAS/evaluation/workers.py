"""Workers: who runs the evaluation of a candidate, behind one protocol; here the twin that runs it in this process.

A task goes in, a `Finished` comes out, in any order. A worker that dies is replaced here; whether its task is run again
is decided by the search. The Ray twin is `ecoNAS.evaluation.ray_workers`.
"""

import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Finished(Generic[TaskT, ResultT]):
    """How one task ended: with a result, or with an error.

    Attributes:
        error: What went wrong, with the traceback where there is one; empty for a result.
        is_lost: Whether the worker died, so that the task itself may be innocent.
    """

    task: TaskT
    result: ResultT | None
    error: str = ""
    is_lost: bool = False


class Workers(Protocol[TaskT, ResultT]):
    """Something that runs tasks, `capacity` of them at a time."""

    @property
    def capacity(self) -> int:
        """How many tasks run at once."""
        ...

    def submit(self, task: TaskT) -> None:
        """Take on a task; never waits for it."""
        ...

    def next_finished(self, timeout_s: float) -> Finished[TaskT, ResultT] | None:
        """Return a task that has ended, or None if none ends within about `timeout_s` seconds."""
        ...

    def close(self) -> None:
        """End all workers; tasks that still run are abandoned."""
        ...


class Desk(Generic[TaskT, ResultT]):
    """Workers that can also be asked for one result out of turn; what ends meanwhile waits to be taken.

    Args:
        workers: Who does the work, and stays the caller's to close.
    """

    def __init__(self, workers: Workers[TaskT, ResultT]) -> None:
        self._workers = workers
        self._ended: deque[Finished[TaskT, ResultT]] = deque()

    @property
    def capacity(self) -> int:
        """How many tasks run at once."""
        return self._workers.capacity

    def submit(self, task: TaskT) -> None:
        """Take on a task; never waits for it."""
        self._workers.submit(task)

    def next_finished(self, timeout_s: float) -> Finished[TaskT, ResultT] | None:
        """Return a task that has ended, or None if none ends within about `timeout_s` seconds."""
        return self._ended.popleft() if self._ended else self._workers.next_finished(timeout_s)

    def finish(self, task: TaskT, on_wait: Callable[[], None], every_s: float) -> Finished[TaskT, ResultT]:
        """Have a task done now.

        Args:
            task: While it is done, one worker is free of others.
            on_wait: Called at least every `every_s` seconds where the work is done elsewhere; may raise.
            every_s: Seconds.
        """
        self._workers.submit(task)
        while True:
            finished = self._workers.next_finished(every_s)
            on_wait()
            if finished is not None and finished.task is task:
                return finished
            if finished is not None:
                self._ended.append(finished)

    def close(self) -> None:
        """End all workers."""
        self._workers.close()


class InProcessWorkers(Generic[TaskT, ResultT]):
    """Runs one task at a time, in this process, when the next finished one is asked for."""

    capacity = 1

    def __init__(self, run: Callable[[TaskT], ResultT]) -> None:
        self._run = run
        self._waiting: deque[TaskT] = deque()

    def submit(self, task: TaskT) -> None:
        """Queue a task."""
        self._waiting.append(task)

    def next_finished(self, timeout_s: float) -> Finished[TaskT, ResultT] | None:
        """Run the oldest task to its end, however long that takes; None if there is none."""
        if not self._waiting:
            return None
        task = self._waiting.popleft()
        try:
            return Finished(task, self._run(task))
        except Exception:  # a bug that one candidate shows must not end the search: it is recorded as failed
            return Finished(task, None, error=traceback.format_exc())

    def close(self) -> None:
        """Forget what waits."""
        self._waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
