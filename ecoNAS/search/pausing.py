"""Candidates that wait at rungs: what the loop keeps of them, and what is written when one pauses or goes on.

Who goes on is decided by `halving`; what a worker then does, by the loop's parts.
"""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import Trial

from ecoNAS.costs.screen import Screening
from ecoNAS.events import Event, Phase, RungReached, TrialEnded, TrialPromoted, untold
from ecoNAS.search.parts import Parts, Result


@dataclass(slots=True)
class UnderWay:
    """A candidate that is evaluated, or waits at a rung.

    Attributes:
        first: Its first task.
        task: What a worker does with it now.
        result: What it showed at its last rung; None before the first.
        attempt: How often its present task was begun.
    """

    trial: Trial
    candidate: Any  # whatever the space holds
    screening: Screening
    first: Any
    task: Any
    result: Any = None
    attempt: int = 1


@dataclass(slots=True)
class Pausing:
    """The candidates of one search that wait, by trial.

    Attributes:
        parts: Of the loop.
        log: Writes an event.
    """

    parts: Parts
    log: Callable[[Event], None]
    waiting: dict[int, UnderWay] = field(default_factory=dict)
    _told: defaultdict[int, list[Phase]] = field(default_factory=lambda: defaultdict(list))

    def note(self, event: Event) -> None:
        """Take in what an event says of rungs."""
        rungs = self.parts.rungs
        if rungs is None:
            return
        if isinstance(event, RungReached):
            rungs.note(event.trial, event.rung, event.values)
            self._told[event.trial] += event.phases
        elif isinstance(event, TrialPromoted):
            rungs.go_on(event.trial, event.rung)
        elif isinstance(event, TrialEnded):
            rungs.leave(event.trial)

    def pause(self, candidate: UnderWay, result: Result, part: Result) -> None:
        """Let a candidate, whose result is on disk, wait at the rung that it reached.

        Args:
            candidate: That waits from now on.
            result: Of all its parts.
            part: Of the last one alone.
        """
        values, rungs = self.parts.values(result), self.parts.rungs
        assert values is not None
        assert rungs is not None
        place = self.parts.rung_of(result)
        event = RungReached(
            trial=candidate.trial.number,
            digest=result.digest,
            rung=place,
            at=rungs.names[place],
            values=tuple(None if math.isnan(value) else value for value in values),
            duration_s=(part.ended - part.started).total_seconds(),
            phases=self.phases(part),
        )
        candidate.result, self.waiting[candidate.trial.number] = result, candidate
        self.log(event)
        self.note(event)

    def restore(self, candidate: UnderWay) -> bool:
        """Take up a candidate that an earlier driver left; return whether it had been sent on its way already."""
        rungs, number, result = self.parts.rungs, candidate.trial.number, candidate.result
        assert rungs is not None  # a resumed run keeps its rungs
        if rungs.place_of(number) != self.parts.rung_of(result):  # the driver died before it said so
            self.pause(candidate, result, result)
            return False
        self.waiting[number] = candidate
        return number not in rungs.paused

    def phases(self, part: Result) -> tuple[Phase, ...]:
        """Return the stretches of a part; of all parts together, as after a death, those not told of yet."""
        return untold(self.parts.phases(part), self._told[part.trial])

    def promotable(self) -> tuple[int, int] | None:
        """Return who should go on now, and the place of the rung; None where nobody should."""
        return self.parts.rungs.promotable() if self.parts.rungs is not None else None

    def promote(self, number: int, rung: int) -> UnderWay:
        """Let a candidate go on from a rung; return it with its next task."""
        event = TrialPromoted(trial=number, digest=self.waiting[number].candidate.digest, rung=rung)
        self.log(event)
        self.note(event)
        return self.take(number)

    def next_share(self, number: int) -> float:
        """Return the share of a whole training that the next part of a candidate takes."""
        candidate = self.waiting[number]
        return self.parts.share_of(self.parts.go_on(candidate.first, candidate.result))

    def take(self, number: int) -> UnderWay:
        """Return a candidate, which waits no more, with its next task."""
        candidate = self.waiting.pop(number)
        candidate.task, candidate.attempt = self.parts.go_on(candidate.first, candidate.result), 1
        return candidate

    def one_too_many(self) -> int | None:
        """Return the trial that has to end so that the others find room; None where there is room for all."""
        if self.parts.rungs is None or not self.waiting or not self.parts.must_make_room():
            return None
        return self.parts.rungs.worst()
