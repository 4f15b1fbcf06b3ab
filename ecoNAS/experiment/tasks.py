"""What workers are told of a candidate: the task, less what is known of it already.

Known are what was measured before a training, what earlier runs did, and a training of the same network for another
deployment; how a training begins is added.
"""

from dataclasses import dataclass, field

from ecoNAS.architecture import Candidate
from ecoNAS.costs.screen import Screening
from ecoNAS.evaluation.task import EvaluationTask
from ecoNAS.events import Event
from ecoNAS.experiment.measure_first import MeasuredFirst
from ecoNAS.experiment.setup import Setup
from ecoNAS.experiment.shared_trainings import SharedTrainings
from ecoNAS.experiment.start import Heritage
from ecoNAS.experiment.warm_start import WarmStart
from ecoNAS.run_folder import RunFolder


@dataclass(slots=True)
class Tasks:
    """The tasks of one search, and where what is known comes from.

    Attributes:
        first: What was measured before a training, and who measures.
        warm: What earlier runs did.
    """

    setup: Setup
    folder: RunFolder
    first: MeasuredFirst = field(init=False)
    warm: WarmStart = field(init=False)
    _heritage: Heritage = field(init=False)
    _shared: SharedTrainings = field(init=False)

    def __post_init__(self) -> None:
        """Read what is there already."""
        self.first, self.warm = MeasuredFirst(self.setup, self.folder), WarmStart(self.setup, self.folder)
        self._heritage, self._shared = Heritage(self.setup, self.folder), SharedTrainings(self.folder)

    def note(self, event: Event) -> None:
        """Learn from what happened."""
        self.first.note(event)
        self._shared.note(event)

    def of(self, number: int, candidate: Candidate, found: Screening) -> EvaluationTask:
        """Return the task of a trial that passed the gate."""
        task = self._heritage.task(self.setup.task(number, candidate, found.costs, self.folder.path))
        return self._shared.task(self.warm.task(self.first.task(task)))
