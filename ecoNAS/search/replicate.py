"""Training doubtful members of the front again, with other seeds, so that a lucky training does not decide.

The best of many scores is high partly by chance. A member is doubtful if another network would take its place, were its
score at the low end of its 95 % interval. What was told to the study stays; fronts are read from evaluations, where the
mean of all trainings counts.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ecoNAS.evaluation.evaluate import violations_of
from ecoNAS.evaluation.objectives import Objectives
from ecoNAS.evaluation.workers import Finished, Workers
from ecoNAS.events import Event, ReplicationStarted, TrainingReplicated, trained
from ecoNAS.pareto import dominates, front
from ecoNAS.records import Evaluation, Training
from ecoNAS.run_folder import RunFolder
from ecoNAS.search.refine import carry_out

logger = logging.getLogger(__name__)

MAX_TRAININGS: Final = 3  # of one network, the first included
ERRORS: Final = 1.96  # standard errors


def doubtful(evaluations: Sequence[Evaluation], objectives: Objectives) -> list[Evaluation]:
    """Return the members of the front whose place may be luck, and that may be trained again.

    Args:
        evaluations: Of the whole run.
        objectives: Of the study.
    """
    rows = [
        (evaluation, scores)
        for evaluation in evaluations
        if evaluation.is_feasible and (scores := objectives.scores(evaluation)) is not None
    ]
    values = [tuple(score.value for score in scores) for _, scores in rows]
    members = np.flatnonzero(front(values, objectives.directions)).tolist() if values else []
    found = []
    for place in members:
        evaluation, scores = rows[place]
        unlucky = tuple(
            score.value - (1 if item.direction == "maximize" else -1) * ERRORS * (score.standard_error or 0.0)
            if item.is_learned
            else score.value
            for item, score in zip(objectives.items, scores, strict=True)
        )
        rivals = (other for index, other in enumerate(values) if index != place)
        has_room = len(evaluation.trainings) < MAX_TRAININGS
        if has_room and any(dominates(other, unlucky, objectives.directions) for other in rivals):
            found.append(evaluation)
    return found


def first_of_each_training(found: Sequence[Evaluation]) -> list[Evaluation]:
    """Return those that are to be trained, by trial: of candidates that share their first training, the first."""
    firsts: dict[str, Evaluation] = {}
    for one in sorted(found, key=lambda one: one.trial):
        firsts.setdefault(_key(one), one)
    return list(firsts.values())


def _key(evaluation: Evaluation) -> str:
    assert evaluation.training is not None  # as of every member of the front
    return evaluation.training.key.digest


@dataclass(frozen=True, slots=True)
class Replication:
    """How candidates of one run are trained again.

    Attributes:
        folder: Of the run; its evaluations are rewritten.
        workers: Idle ones.
        make_task: The task of a worker that trains once more.
        on_event: Called after each event was written.
        is_stopping: Whether the user wants an end; what is under way is finished.
        on_tick: Called at least twice a second or so.
    """

    folder: RunFolder
    workers: Workers[Any, Evaluation]  # Any: tasks are made by the caller
    make_task: Callable[[Evaluation], Any]
    on_event: Callable[[Event], None]
    is_stopping: Callable[[], bool]
    on_tick: Callable[[], None] = lambda: None

    def run(self, find: Callable[[Sequence[Evaluation]], list[Evaluation]]) -> int:
        """Train until nothing more is doubtful; return how many trainings were added.

        Args:
            find: Who is to be trained again, given all evaluations of the run.
        """
        failed, num_added = set[str](), 0
        while not self.is_stopping():
            evaluations = tuple(self.folder.evaluations().values())
            found = [one for one in find(evaluations) if one.digest not in failed]
            if self._share(found, evaluations):
                continue
            chosen = first_of_each_training(found)
            if not chosen:
                break
            self._tell(ReplicationStarted(trials=tuple(one.trial for one in chosen)))
            ends = carry_out(chosen, self.make_task, self.workers, self.is_stopping, self.on_tick)
            for evaluation, finished in ends:
                if self._add(evaluation, finished):
                    num_added += 1
                else:
                    failed.add(evaluation.digest)
        return num_added

    def _share(self, found: Sequence[Evaluation], evaluations: Sequence[Evaluation]) -> bool:
        """Give doubtful candidates the trainings of others that differ in deployment alone; return whether any got one.

        Such candidates share their first training, and would be trained again with the same seed.
        """
        num_shared = 0
        for one in found:
            more = [twin.replicates for twin in evaluations if twin.training is not None and _key(twin) == _key(one)]
            replicates = max(more, key=len)
            if len(replicates) > len(one.replicates):
                self._keep(one, replicates[: len(one.replicates) + 1])
                num_shared += 1
        return num_shared > 0

    def _add(self, evaluation: Evaluation, finished: Finished[Any, Evaluation]) -> bool:
        """Keep one more training; where there is none, the evaluation stays as it is."""
        training = finished.result.training if finished.result is not None else None
        if training is None:
            why = finished.error.strip().rpartition("\n")[2] or (finished.result.reason if finished.result else "")
            logger.error("trial %d was not trained again: %s", evaluation.trial, why[:300])  # shown in a terminal
            return False
        self._keep(evaluation, (*evaluation.replicates, training))
        self._tell(TrainingReplicated(trial=evaluation.trial, digest=evaluation.digest, phase=trained(training)))
        return True

    def _keep(self, evaluation: Evaluation, replicates: tuple[Training, ...]) -> None:
        merged = evaluation.model_copy(update={"replicates": replicates})
        violations = violations_of(self.make_task(evaluation), merged)
        self.folder.write_evaluation(merged.model_copy(update={"violations": violations}))

    def _tell(self, event: Event) -> None:
        self.folder.events.append(event)
        self.on_event(event)
