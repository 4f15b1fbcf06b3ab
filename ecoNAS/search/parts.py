"""What a search loop is made of: the collaborators that it is given, and the fixed facts of its study.

The same loop drives real training, tests and tables; they differ in nothing but these parts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import optuna

from ecoNAS.costs.screen import GateTally, Screening
from ecoNAS.evaluation.workers import Workers
from ecoNAS.events import Event
from ecoNAS.pareto import Direction
from ecoNAS.records import Evaluation
from ecoNAS.run_folder import RunFolder
from ecoNAS.search.budget import Budget
from ecoNAS.search.memory import Memory
from ecoNAS.space.protocol import Space


@dataclass(frozen=True, slots=True)
class Parts:
    """What a loop is made of.

    Attributes:
        space: What may be proposed.
        screen: The gate.
        make_task: (trial number, candidate, screening) to the task of a worker.
        values: The objectives' values of an evaluation, in the order of `names`, or None.
        bounds: The user's bounds on objectives, for the scale of the hypervolume.
        budget: What the search may take.
        next_task: What a worker does next with a candidate whose present stage is over; None where that was the last.
        on_event: Called after each event was written.
        on_tick: Called at least every half second or so, between events.
    """

    space: Space[Any]  # Any: whatever the space holds
    study: optuna.Study
    workers: Workers[Any, Evaluation]
    folder: RunFolder
    memory: Memory
    tally: GateTally
    screen: Callable[[Any], Screening]
    make_task: Callable[[int, Any, Screening], Any]
    values: Callable[[Evaluation], tuple[float, ...] | None]
    names: tuple[str, ...]
    directions: tuple[Direction, ...]
    bounds: dict[str, float]
    trials: int
    budget: Budget = field(default_factory=Budget)
    next_task: Callable[[Any, Evaluation], Any | None] = lambda task, evaluation: None
    on_event: Callable[[Event], None] = lambda event: None
    on_tick: Callable[[], None] = lambda: None
