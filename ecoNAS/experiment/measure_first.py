"""Energy profiles of candidates that the sampler asks for before it has one of them trained.

Each is a file and an event before it is used, so that none is measured twice, whatever the driver dies of. How many are
worth their time is decided by the sampler, from what one costs; here only the seconds are counted.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from ecoNAS.architecture import Candidate
from ecoNAS.evaluation.task import EvaluationTask
from ecoNAS.evaluation.workers import Desk
from ecoNAS.events import CandidateProfiled, Event, Phase, RungReached, TrialEnded, phases_of
from ecoNAS.experiment.setup import Setup
from ecoNAS.records import Evaluation
from ecoNAS.run_folder import RunFolder
from ecoNAS.search.gauges import NUM_MEASURED, Measuring

logger = logging.getLogger(__name__)

POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Laboratory:
    """Who measures for a search that runs.

    Attributes:
        desk: Of the workers.
        log: Writes an event.
        on_wait: Called at least every `POLL_S` seconds; may raise.
        is_over: Whether nothing more is to be begun.
    """

    desk: Desk[EvaluationTask, Evaluation]
    log: Callable[[Event], None]
    on_wait: Callable[[], None]
    is_over: Callable[[], bool]


@dataclass(slots=True)
class MeasuredFirst:
    """What was measured of candidates before their training, of one run.

    Attributes:
        laboratory: Who measures; None until the workers are there.
    """

    setup: Setup
    folder: RunFolder
    laboratory: Laboratory | None = None
    _found: dict[str, Evaluation] = field(default_factory=dict)
    _failed: set[str] = field(default_factory=set)
    _profiling: list[timedelta] = field(default_factory=list)
    _epoch: list[timedelta] = field(default_factory=list)
    _epochs: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read what an earlier session left."""
        self._found = self.folder.profiled()
        for event in self.folder.events:
            self.note(event)

    @property
    def measuring(self) -> Measuring | None:
        """What the sampler takes; None where nothing is to be measured before a training.

        Where one GPU of several measures, the others would stand still while the driver waits for it.
        """
        asked = self.setup.config.search.measure_first
        names = tuple(objective.name for objective in self.setup.measurable)
        if not names or asked == 0 or self.setup.is_staged:
            return None
        before = [(evaluation.candidate, self._read(evaluation)) for evaluation in self._found.values()]
        if asked == "auto":
            return Measuring(names, self.of, self.cost, NUM_MEASURED, before)
        return Measuring(names, self.of, most=asked, before=before)

    def note(self, event: Event) -> None:
        """Take in how long candidates were measured and trained."""
        if not isinstance(event, CandidateProfiled | RungReached | TrialEnded):
            return
        profiling, training = (_active(event.phases, name) for name in ("profiling", "training"))
        if profiling:
            self._profiling.append(profiling)
        if training and not isinstance(event, CandidateProfiled):
            epochs = self.setup.config.training.epochs
            last = self.setup.rungs[event.rung] if isinstance(event, RungReached) else epochs
            self._epoch.append(training / (last - self._epochs.get(event.trial, 0)))
            self._epochs[event.trial] = last

    def cost(self) -> float:
        """Return what measuring one candidate costs, in full trainings, while those of all workers pause for it."""
        if not self._profiling or not self._epoch:
            return math.inf
        profiling = sum(self._profiling, timedelta()) / len(self._profiling)
        epoch = sum(self._epoch, timedelta()) / len(self._epoch)
        return profiling / (epoch * self.setup.config.training.epochs) * self.setup.num_workers

    def of(self, candidates: Sequence[Candidate]) -> list[dict[str, float]]:
        """Return the measurable objectives of candidates by name; nothing of those that could not be measured."""
        return [self._read(self._measured(candidate)) for candidate in candidates]

    def task(self, task: EvaluationTask) -> EvaluationTask:
        """Return the task of a training, with the profile where it was measured before."""
        found = self._found.get(task.candidate.digest)
        if found is None:
            return task
        return task.model_copy(update={"stage": "train", "profile": found.profile, "profile_b1": found.profile_b1})

    def _measured(self, candidate: Candidate) -> Evaluation | None:
        """Return what is known of a candidate, after measuring it where that was not done or tried."""
        digest, laboratory = candidate.digest, self.laboratory
        if digest in self._found or digest in self._failed or laboratory is None or laboratory.is_over():
            return self._found.get(digest)
        task = self.setup.profiling_task(candidate, self.folder.path)
        finished = laboratory.desk.finish(task, laboratory.on_wait, POLL_S)
        found = finished.result
        if found is None or found.profile is None:
            reason = finished.error.strip().rpartition("\n")[2][:300]
            logger.error("a candidate could not be measured before its training: %s", reason)  # shown in a terminal
            self._failed.add(digest)
            return None
        self.folder.write_profiled(found)
        self._found[digest] = found
        laboratory.log(CandidateProfiled(digest=digest, phases=phases_of(found)))
        return found

    def _read(self, evaluation: Evaluation | None) -> dict[str, float]:
        if evaluation is None:
            return {}
        scores = {
            item.name: item.read(evaluation, self.setup.config.energy.lifetime_images) for item in self.setup.measurable
        }
        return {name: score.value for name, score in scores.items() if score is not None}


def _active(phases: Sequence[Phase], name: str) -> timedelta:
    """Return how long the stretches of a name lasted, without pauses."""
    return sum(
        (phase.ended - phase.started - timedelta(seconds=phase.paused_s) for phase in phases if phase.name == name),
        timedelta(),
    )
