"""What a search loop is made of: the collaborators that it is given, and the fixed facts of its study.

The same loop drives real training, tests and tables; they differ in nothing but these parts.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import optuna

from ecoNAS.costs.screen import GateTally, Screening
from ecoNAS.evaluation.workers import Workers
from ecoNAS.events import Event, Phase, phases_of
from ecoNAS.records import Costs, Outcome
from ecoNAS.search.budget import Budget
from ecoNAS.search.growth import Growth
from ecoNAS.search.halving import Rungs
from ecoNAS.search.memory import Memory
from ecoNAS.space.protocol import Space


class Result(Protocol):
    """What a worker returns of a candidate: an `Evaluation`, or what a table holds."""

    @property
    def trial(self) -> int:
        """The trial that it belongs to."""
        ...

    @property
    def digest(self) -> str:
        """Of the candidate."""
        ...

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        ...

    @property
    def reason(self) -> str:
        """Why, where that needs saying."""
        ...

    @property
    def violations(self) -> dict[str, float]:
        """By constraint."""
        ...

    @property
    def started(self) -> datetime:
        """UTC."""
        ...

    @property
    def ended(self) -> datetime:
        """UTC."""
        ...


class Log(Protocol):
    """Where events go."""

    def append(self, event: Event) -> None:
        """Keep one more."""
        ...

    def __iter__(self) -> Iterator[Event]: ...


class Archive(Protocol):
    """Where a search keeps what happened: a `RunFolder`, or the memory of a benchmark."""

    @property
    def path(self) -> Path:
        """Where people find it."""
        ...

    @property
    def events(self) -> Log:
        """Everything that happened."""
        ...

    def evaluations(self) -> Mapping[str, Any]:
        """Return all results by digest."""
        ...

    def write_evaluation(self, evaluation: Any) -> None:
        """Keep one result."""
        ...

    def log(self, trial: int) -> Path:
        """Where the reasons of a failed trial are written."""
        ...


class Limits(Protocol):
    """What a search may take; see `search.budget.Budget`."""

    def note(self, event: Event) -> None:
        """Take in what happened."""
        ...

    def promise(self, trial: int, costs: Costs | None, share: float = 1.0) -> None:
        """Take in what a candidate will take: a share of a whole training."""
        ...

    def why_full(self, costs: Costs | None = None, share: float = 1.0) -> str:
        """Return why no more candidate can be begun; empty where there is room."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a loop is made of.

    Attributes:
        space: What may be proposed.
        screen: The gate.
        make_task: (trial number, candidate, screening) to the task of a worker.
        training_of: What tasks with the same training have in common; it is done for one of them at a time, and the
            others wait for what it comes to. None where a task shares its training with no other.
        values: The objectives' values of an evaluation, in the order of the study's objectives, or None.
        errors: Their standard errors, where they are known.
        growth: The hypervolume so far, and when it counts as found.
        budget: What the search may take.
        next_task: What a worker does next with a candidate whose present stage is over; None where that was the last.
        rungs: Where trainings are paused; None where each goes to its end at once.
        rung_of: The place of the last rung that a result reached.
        share_of: The share of a whole training that a task takes.
        go_on: (first task, result so far) to the task that goes on from there.
        must_make_room: Whether the worst of the paused candidates has to end.
        join: (result so far, what was done since) to one result.
        phases: The stretches of a result, for the ledger.
        on_event: Called after each event was written.
        on_tick: Called at least every half second or so, between events.
    """

    space: Space[Any]  # Any: whatever the space holds
    study: optuna.Study
    workers: Workers[Any, Any]  # Any: tasks and results, which `make_task` and `values` know
    folder: Archive
    memory: Memory
    tally: GateTally
    screen: Callable[[Any], Screening]
    make_task: Callable[[int, Any, Screening], Any]
    values: Callable[[Any], tuple[float, ...] | None]
    growth: Growth
    trials: int
    budget: Limits = field(default_factory=Budget)
    next_task: Callable[[Any, Any], Any | None] = lambda task, evaluation: None
    rungs: Rungs | None = None
    rung_of: Callable[[Any], int] = lambda result: 0
    share_of: Callable[[Any], float] = lambda task: 1.0
    go_on: Callable[[Any, Any], Any] = lambda task, result: task
    training_of: Callable[[Any], Hashable | None] = lambda task: None
    must_make_room: Callable[[], bool] = lambda: False
    join: Callable[[Any, Any], Any] = lambda before, result: result
    errors: Callable[[Any], tuple[float, ...] | None] = lambda evaluation: None
    phases: Callable[[Any], tuple[Phase, ...]] = phases_of
    on_event: Callable[[Event], None] = lambda event: None
    on_tick: Callable[[], None] = lambda: None
