"""Candidates that differ only in how they are deployed share one training.

A deployment does not change weights, but for its resolution: a network is trained at the resolution at which it will
run, so that its accuracy is that of what was measured. Within a run all else that decides a training is equal, but for
what candidates decide of their recipe.
"""

from dataclasses import dataclass, field

from ecoNAS.evaluation.task import EvaluationTask
from ecoNAS.events import Event, TrialEnded
from ecoNAS.records import Evaluation, Outcome, Training
from ecoNAS.run_folder import RunFolder


def training_of(task: EvaluationTask) -> tuple[str, int, str] | None:
    """Return what the tasks of one run with the same training have in common; None for one that trains nothing."""
    return (task.architecture_key, task.problem.resolution, task.recipe.digest) if task.training is None else None


@dataclass(slots=True)
class SharedTrainings:
    """The finished trainings of one run, by what candidates may share.

    Attributes:
        folder: Of the run; what an earlier session trained is taken, too.
    """

    folder: RunFolder
    _trained: dict[tuple[str, int, str], Training] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read what an earlier session trained."""
        for evaluation in self.folder.evaluations().values():
            self._take_in(evaluation)

    def note(self, event: Event) -> None:
        """Take in the training of a candidate that was evaluated."""
        if isinstance(event, TrialEnded) and event.outcome is Outcome.EVALUATED:
            evaluation = self.folder.evaluation(event.digest)
            if evaluation is not None:
                self._take_in(evaluation)

    def task(self, task: EvaluationTask) -> EvaluationTask:
        """Return a task that trains nothing where the network was trained for another deployment."""
        key = training_of(task)
        found = self._trained.get(key) if key is not None else None
        if found is None:
            return task
        return task.model_copy(update={"training": found, "until": None})

    def _take_in(self, evaluation: Evaluation) -> None:
        if evaluation.outcome is Outcome.EVALUATED and evaluation.training is not None:
            key = evaluation.training.key
            self._trained.setdefault((key.architecture, key.resolution, key.recipe), evaluation.training)
