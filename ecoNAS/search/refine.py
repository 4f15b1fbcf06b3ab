"""Measuring again what decides the front: whose place is undecided first, then its members to a tighter target.

While searching, one block of windows a candidate is enough to steer by. At the end the few candidates that are on the
front, or would be if their joules were at the low end of their interval, are measured until their intervals are
narrow. Values that were told to the study stay as they are: fronts are read from evaluations.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ecoNAS.energy_settings import EnergySettings
from ecoNAS.evaluation.objectives import Objectives
from ecoNAS.evaluation.workers import Finished, Workers
from ecoNAS.events import Event, ProfileRefined, RefinementStarted, profiling
from ecoNAS.pareto import dominates, front
from ecoNAS.records import Evaluation
from ecoNAS.run_folder import RunFolder

logger = logging.getLogger(__name__)

MAX_ROUNDS = 10  # a refined value may move a candidate on or off the front, which makes others undecided
POLL_S = 0.5

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Wish:
    """A candidate that is to be measured again, until half of its interval is `target` of its joules."""

    evaluation: Evaluation
    target: float


def undecided(evaluations: Sequence[Evaluation], objectives: Objectives, settings: EnergySettings) -> list[Wish]:
    """Return who is to be measured again: members of the front, and candidates that may turn out to belong there.

    Args:
        evaluations: Of the whole run.
        objectives: Of the study.
        settings: Its targets for the front and near it.
    """
    rows = [
        (evaluation, scores)
        for evaluation in evaluations
        if evaluation.is_feasible and (scores := objectives.scores(evaluation)) is not None
    ]
    if not rows or not any(objective.is_energy for objective in objectives.items):
        return []
    values = [tuple(score.value for score in scores) for _, scores in rows]
    members = set(np.flatnonzero(front(values, objectives.directions)).tolist())
    wishes = []
    for place, (evaluation, scores) in enumerate(rows):
        hopeful = tuple(score.interval[0] if score.interval else score.value for score in scores)
        if place in members:
            target = settings.front_target
        elif any(dominates(values[member], hopeful, objectives.directions) for member in members):
            continue
        else:
            target = settings.near_target
        measurements = [profile.measurement for profile in evaluation.profiles if profile.measurement is not None]
        if any(measurement.repeatability > target for measurement in measurements):
            wishes.append(Wish(evaluation, target))
    return wishes


def carry_out(
    items: Sequence[ItemT],
    make_task: Callable[[ItemT], Any],
    workers: Workers[Any, Evaluation],
    is_stopping: Callable[[], bool],
    on_tick: Callable[[], None],
) -> Iterator[tuple[ItemT, Finished[Any, Evaluation]]]:
    """Hand tasks to workers, as many at a time as they take, and yield how each ended; begin none while stopping.

    Args:
        items: What there is to do; at most one a trial.
        make_task: Returns the task of an item, which names its trial.
        workers: Idle ones.
        is_stopping: Whether the user wants an end; what is under way is finished.
        on_tick: Called at least every `POLL_S` seconds.
    """
    waiting, under_way = list(items), dict[int, ItemT]()
    while under_way or (waiting and not is_stopping()):
        while waiting and len(under_way) < workers.capacity and not is_stopping():
            item = waiting.pop(0)
            task = make_task(item)
            under_way[task.trial] = item
            workers.submit(task)
        finished = workers.next_finished(POLL_S)
        on_tick()
        if finished is not None:
            yield under_way.pop(finished.task.trial), finished


@dataclass(frozen=True, slots=True)
class Refinement:
    """How candidates of one run are measured again.

    Attributes:
        folder: Of the run; its evaluations are rewritten.
        workers: Idle ones.
        make_task: The task of a worker that measures and does not train.
        on_event: Called after each event was written.
        is_stopping: Whether the user wants an end; what is under way is finished.
        on_tick: Called at least every `POLL_S` seconds.
    """

    folder: RunFolder
    workers: Workers[Any, Evaluation]  # Any: tasks are made by the caller
    make_task: Callable[[Wish], Any]
    on_event: Callable[[Event], None]
    is_stopping: Callable[[], bool]
    on_tick: Callable[[], None] = lambda: None

    def run(self, find: Callable[[Sequence[Evaluation]], list[Wish]]) -> int:
        """Measure until nothing more is undecided, or everything was tried; return how many profiles were replaced.

        Args:
            find: Who is to be measured, given all evaluations of the run.
        """
        tried: dict[str, float] = {}  # the tightest target by digest
        for event in self.folder.events:
            if isinstance(event, ProfileRefined):
                tried[event.digest] = min(event.target, tried.get(event.digest, math.inf))
        num_replaced = 0
        for _ in range(MAX_ROUNDS):
            found = find(tuple(self.folder.evaluations().values()))
            # A looser target than one that was tried would put a less certain value in the place of a surer one.
            wishes = [wish for wish in found if wish.target < tried.get(wish.evaluation.digest, math.inf)]
            if not wishes or self.is_stopping():
                break
            tried.update({wish.evaluation.digest: wish.target for wish in wishes})
            wishes.sort(key=lambda wish: wish.evaluation.trial)
            self._tell(RefinementStarted(trials=tuple(wish.evaluation.trial for wish in wishes)))
            num_replaced += self._measure(wishes)
        return num_replaced

    def _measure(self, wishes: Sequence[Wish]) -> int:
        """Measure each of `wishes` once; return how many profiles were replaced."""
        ends = carry_out(wishes, self.make_task, self.workers, self.is_stopping, self.on_tick)
        return sum(self._replace(wish, finished) for wish, finished in ends)

    def _replace(self, wish: Wish, finished: Finished[Any, Evaluation]) -> bool:
        """Keep the new profile; one that was refused, or whose worker died, leaves the old one where it is."""
        found = finished.result
        if found is None or any(profile.energy is None for profile in found.profiles):
            reason = finished.error.strip().rpartition("\n")[2][:300]
            logger.error("trial %d was not measured again: %s", wish.evaluation.trial, reason)  # shown in a terminal
            return False
        violations = {**wish.evaluation.violations, **found.violations}  # of bounds on what was measured again
        evaluation = wish.evaluation.model_copy(
            update={"profile": found.profile, "profile_b1": found.profile_b1, "violations": violations}
        )
        self.folder.write_evaluation(evaluation)
        for profile in found.profiles:
            phase = profiling(profile)
            self._tell(
                ProfileRefined(trial=evaluation.trial, digest=evaluation.digest, target=wish.target, phase=phase)
            )
        return True

    def _tell(self, event: Event) -> None:
        self.folder.events.append(event)
        self.on_event(event)
