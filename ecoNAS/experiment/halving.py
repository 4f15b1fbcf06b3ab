"""Trainings that pause: the rungs of an experiment, one record from its parts, and checkpoints within their bound."""

import shutil
from contextlib import suppress
from dataclasses import dataclass

from ecoNAS.evaluation.parts import join_trainings
from ecoNAS.events import Event, TrialEnded
from ecoNAS.experiment.setup import Setup
from ecoNAS.records import Evaluation
from ecoNAS.run_folder import RunFolder
from ecoNAS.search.halving import SPREADS, Rungs


def rungs_of(setup: Setup) -> Rungs | None:
    """Return the rungs of an experiment, empty; None where it finishes every training at once."""
    halving = setup.config.search.halving
    if halving is None or not setup.rungs:
        return None
    names = tuple(f"epoch {epoch}" for epoch in setup.rungs)
    return Rungs(names, halving.factor, setup.objectives.directions, SPREADS[halving.spread])


def join(before: Evaluation, later: Evaluation) -> Evaluation:
    """Return one evaluation of a training that was paused: joules and seconds of both parts are added."""
    one, other = before.training, later.training
    joined = later.model_copy(update={"started": before.started})
    if one is None or other is None:
        return joined
    return joined.model_copy(update={"training": join_trainings(one, other)})


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Where paused trainings of a run wait.

    Attributes:
        limit_bytes: What they may take together.
    """

    folder: RunFolder
    limit_bytes: float

    def num_bytes(self) -> int:
        """Return what they take."""
        total = 0
        for path in self.folder.checkpoints.rglob("*.*"):
            with suppress(FileNotFoundError):  # a worker may have renamed or removed it meanwhile
                total += path.stat().st_size
        return total

    def is_full(self) -> bool:
        """Return whether the worst of them should make room."""
        return self.num_bytes() > self.limit_bytes

    def note(self, event: Event) -> None:
        """Remove what nobody will go on from."""
        if isinstance(event, TrialEnded) and event.duplicate_of is None:
            shutil.rmtree(self.folder.checkpoints / event.digest, ignore_errors=True)

    def tidy(self) -> None:
        """Remove what a driver that died left of trials that had ended."""
        for event in self.folder.events:
            self.note(event)
