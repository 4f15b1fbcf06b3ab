"""The search loop: ask, canonicalise, deduplicate, screen, evaluate, tell.

It knows candidates by the space protocol, evaluation by the workers' protocol, and nothing of networks. Everything
that happens is an event before it is told to the study, and every evaluation is a file before it is an event; so
whatever the driver dies of, `restore` finds what is missing and goes on. Where trainings are paused at rungs, a paused
candidate keeps its trial, which Optuna sees as running.
"""

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from optuna.trial import Trial

from ecoNAS.costs.screen import Screening
from ecoNAS.errors import MeasurementError
from ecoNAS.evaluation.workers import Finished
from ecoNAS.events import (
    CandidateProfiled,
    Event,
    RunEnded,
    RungReached,
    ScaleFixed,
    TrialEnded,
    TrialProposed,
    TrialStarted,
    WorkerLost,
)
from ecoNAS.records import Costs, Outcome
from ecoNAS.search.growth import NUM_FIRST
from ecoNAS.search.memory import Seen
from ecoNAS.search.parts import Parts, Result
from ecoNAS.search.pausing import Pausing, UnderWay
from ecoNAS.search.storage import orphans, tell
from ecoNAS.search.streaks import Hopeless, Streak, explain

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 2
POLL_S = 0.5

StopReason = Literal["trials", "budget", "plateau", "interrupted"] | Hopeless


@dataclass(slots=True)
class SearchLoop:
    """One search, from its first or its next trial to its end."""

    parts: Parts
    is_stopping: bool = False
    is_abandoning: bool = False
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    _running: dict[int, UnderWay] = field(default_factory=dict)
    _held: dict[int, UnderWay] = field(default_factory=dict)
    _pausing: Pausing = field(init=False)
    _streak: Streak = field(default_factory=Streak)
    _full: str = ""
    _flat: str = ""

    def __post_init__(self) -> None:
        """Begin with nobody waiting."""
        self._pausing = Pausing(self.parts, self._log)

    @property
    def num_counted(self) -> int:
        """Candidates that count towards the trials asked for: evaluated and stopped ones."""
        return self.outcomes[Outcome.EVALUATED] + self.outcomes[Outcome.STOPPED]

    @property
    def num_running(self) -> int:
        """Candidates under way."""
        return len(self._running)

    def stop(self) -> None:
        """Ask for no more candidates; those under way are finished."""
        self.is_stopping = True

    def abandon(self) -> None:
        """Give up the candidates under way as well; `run` raises KeyboardInterrupt soon."""
        self.is_abandoning = True

    def why_full(self, costs: Costs | None = None, share: float = 1.0) -> str:
        """Return why the budget leaves no room for one more candidate, or a share of one; empty where it does."""
        try:
            return self.parts.budget.why_full(costs, share)
        except MeasurementError as error:
            return f"the joules cannot be counted any more, so that their budget cannot be kept: {error}"

    def restore(self) -> None:
        """Take up a study that an earlier driver left: remember what ended, and go on with what did not."""
        parts, ended = self.parts, dict[int, TrialEnded]()
        evaluations = parts.folder.evaluations()
        for event in parts.folder.events:
            if isinstance(event, RungReached | TrialEnded):
                parts.budget.note(event)
            if isinstance(event, TrialEnded):
                ended[event.trial] = event
                self._note(event, evaluations.get(event.digest))
            elif isinstance(event, ScaleFixed):
                parts.growth.restore(event)
            self._pausing.note(event)
        for trial in orphans(parts.study):
            event_or_none = ended.get(trial.number)
            if event_or_none is not None:
                self._tell(trial, event_or_none)
            else:
                candidate = parts.space.sample(trial)
                evaluation = evaluations.get(candidate.digest)
                if evaluation is None or evaluation.trial != trial.number:
                    self._consider(trial, candidate)
                elif evaluation.outcome is Outcome.STOPPED and parts.values(evaluation) is not None:
                    self._restore_paused(trial, candidate, evaluation)
                else:
                    self._end_evaluated(trial, evaluation, evaluation)
        self._streak = Streak()  # what ended an earlier session may have been mended since

    def run(self) -> RunEnded:
        """Search until the trials asked for are evaluated, or nothing more can be had; return why it ended.

        Raises:
            KeyboardInterrupt: after `abandon`.
        """
        while True:
            reason = self._reason_to_stop()
            while reason is None and self._begin_one():
                reason = self._reason_to_stop()
                self.parts.on_tick()
            if not self._running:
                if reason is not None:
                    break
                for number in sorted(
                    self._pausing.waiting
                ):  # all that were asked for were begun, and nobody is to go on
                    self._stop_paused(number, "others were better at its rung")
                continue
            finished = self.parts.workers.next_finished(POLL_S)
            if self.is_abandoning:
                raise KeyboardInterrupt
            if finished is not None:
                self._settle(finished)
            self.parts.on_tick()
        self._fix_scale(at_least=1)
        assert reason is not None
        ended = RunEnded(reason=reason, detail=self._detail(reason))
        self._log(ended)
        return ended

    def _begin_one(self) -> bool:
        """Give a free worker something to do: a paused candidate that is to go on, or a new one."""
        if len(self._running) >= self.parts.workers.capacity:
            return False
        found = self._pausing.promotable()
        if found is not None:
            costs, share = self._pausing.waiting[found[0]].screening.costs, self._pausing.next_share(found[0])
            self._full = self.why_full(costs, share)
            if not self._full:
                self._start(self._pausing.promote(*found))
            return True
        held = next((number for number, one in self._held.items() if not self._is_trained_now(one.task)), None)
        if held is not None:
            released = self._held.pop(held)
            self._send(released.trial, released.candidate, released.screening)
            return True
        if self.num_counted + len(self._running) + len(self._pausing.waiting) + len(self._held) >= self.parts.trials:
            return False
        self._propose()
        return True

    def _reason_to_stop(self) -> StopReason | None:
        if self.num_counted >= self.parts.trials:
            return "trials"
        if self.is_stopping:
            return "interrupted"
        self._full = self._full or self.why_full()
        if self._full:
            return self._streak.why_hopeless() or "budget"
        return self._streak.why_hopeless() or ("plateau" if self._flat else None)

    def _detail(self, reason: StopReason) -> str:
        if reason in ("budget", "plateau"):
            return self._full or self._flat
        return explain(reason, self._streak, self.parts.tally, self.parts.folder.path)

    def _propose(self) -> None:
        trial = self.parts.study.ask()
        self._consider(trial, self.parts.space.sample(trial))

    def _consider(self, trial: Trial, candidate: Any) -> None:
        """Send a proposed candidate on its way, or end its trial here."""
        parts, digest = self.parts, candidate.digest
        self._log(TrialProposed(trial=trial.number, digest=digest, parameters=trial.params))
        seen = parts.memory.get(digest)
        if seen is not None:
            self._end(trial, _ended(trial, digest, Outcome.DUPLICATE, duplicate_of=seen.trial))
            return
        if not parts.space.is_valid(candidate):
            reason = "breaks a rule of the search space"
            self._end(trial, _ended(trial, digest, Outcome.REFUSED, reason, {"valid": 1.0}))
            return
        screening = parts.screen(candidate)
        parts.tally.add(screening)
        if not screening.passes:
            self._end(trial, _ended(trial, digest, Outcome.REFUSED, screening.reason, screening.violations))
            return
        self._send(trial, candidate, screening)

    def _send(self, trial: Trial, candidate: Any, screening: Screening) -> None:
        """Begin a candidate that passed the gate, unless another one is in the very training that it needs."""
        parts, digest = self.parts, candidate.digest
        task = parts.make_task(trial.number, candidate, screening)
        if self._is_trained_now(task):
            parts.memory.note(digest, Seen(trial.number))
            self._held[trial.number] = UnderWay(trial, candidate, screening, task, task)
            return
        self._full = self.why_full(screening.costs, parts.share_of(task))
        if self._full or self.is_stopping:  # left as it is: a later session takes it up
            return
        parts.memory.note(digest, Seen(trial.number))
        self._start(UnderWay(trial, candidate, screening, task, task))

    def _is_trained_now(self, task: Any) -> bool:
        """Whether a candidate that is under way, or waits at a rung, has the training of this task."""
        key = self.parts.training_of(task)
        others = (*self._running.values(), *self._pausing.waiting.values())
        return key is not None and any(self.parts.training_of(other.first) == key for other in others)

    def _start(self, candidate: UnderWay) -> None:
        number = candidate.trial.number
        self.parts.budget.promise(number, candidate.screening.costs, self.parts.share_of(candidate.task))
        self._running[number] = candidate
        self._submit(number)

    def _submit(self, number: int) -> None:
        running = self._running[number]
        self._log(TrialStarted(trial=number, digest=running.candidate.digest, attempt=running.attempt))
        self.parts.workers.submit(running.task)

    def _settle(self, finished: Finished[Any, Any]) -> None:
        """Take in what a worker returned."""
        running = self._running[finished.task.trial]
        number = running.trial.number
        if finished.is_lost:
            self._log(WorkerLost(trial=number, reason=_first_line(finished.error)))
            if running.attempt < MAX_ATTEMPTS:
                running.attempt += 1
                self._submit(number)
                return
        following = self.parts.next_task(finished.task, finished.result) if finished.result is not None else None
        if following is not None:
            self._log(CandidateProfiled(digest=running.candidate.digest, phases=self.parts.phases(finished.result)))
            running.task = following
            self.parts.workers.submit(following)
            return
        del self._running[number]
        if finished.result is not None:
            self._take_in(running, finished.result)
            return
        log = self.parts.folder.log(number)
        log.write_text(finished.error + "\n", encoding="utf-8")
        reason = f"{_last_line(finished.error)} (see {log.relative_to(self.parts.folder.path)})"
        self._end(running.trial, _ended(running.trial, running.candidate.digest, Outcome.FAILED, reason))

    def _take_in(self, running: UnderWay, part: Result) -> None:
        """Keep what a worker returned, and pause its candidate or end its trial."""
        result = part if running.result is None else self.parts.join(running.result, part)
        self.parts.folder.write_evaluation(result)
        if result.outcome is not Outcome.STOPPED or self.parts.values(result) is None:  # nothing to rank it by
            self._end_evaluated(running.trial, result, part)
            return
        self._pausing.pause(running, result, part)
        while (number := self._pausing.one_too_many()) is not None:
            self._stop_paused(number, "its checkpoint had to make room")

    def _restore_paused(self, trial: Trial, candidate: Any, result: Result) -> None:
        """Take up a candidate that an earlier driver left at a rung, or on its way from it."""
        parts, screening = self.parts, self.parts.screen(candidate)
        parts.memory.note(candidate.digest, Seen(trial.number))
        task = parts.make_task(trial.number, candidate, screening)
        if self._pausing.restore(UnderWay(trial, candidate, screening, task, task, result)):
            self._start(self._pausing.take(trial.number))

    def _stop_paused(self, number: int, reason: str) -> None:
        """End a paused candidate for good."""
        running = self._pausing.waiting.pop(number)
        violations = running.result.violations
        event = _ended(running.trial, running.candidate.digest, Outcome.STOPPED, reason, violations)
        self._end(running.trial, event, running.result)

    def _end_evaluated(self, trial: Trial, evaluation: Result, part: Result) -> None:
        """End a trial whose evaluation is on disk; `part` is what was done last."""
        event = TrialEnded(
            trial=trial.number,
            digest=evaluation.digest,
            outcome=evaluation.outcome,
            reason=evaluation.reason,
            violations=evaluation.violations,
            duration_s=(part.ended - part.started).total_seconds(),
            phases=self._pausing.phases(part),
        )
        self._end(trial, event, evaluation)
        self._fix_scale(at_least=NUM_FIRST)

    def _end(self, trial: Trial, event: TrialEnded, evaluation: Result | None = None) -> None:
        """Write that a trial ended, remember it, and tell the study."""
        self._log(event)
        self._pausing.note(event)
        self._note(event, evaluation)
        self._tell(trial, event)

    def _note(self, event: TrialEnded, evaluation: Result | None) -> None:
        """Count an ended trial, and remember its candidate if it is the first of its digest."""
        self.outcomes[event.outcome] += 1
        self._streak.note(event.outcome, event.reason)
        if event.outcome in (Outcome.DUPLICATE, Outcome.FAILED):
            if event.outcome is Outcome.FAILED:
                self.parts.memory.note(event.digest, Seen(event.trial, event.outcome))
            return
        is_evaluated = evaluation is not None and event.outcome is Outcome.EVALUATED
        values = self.parts.values(evaluation) if evaluation is not None and is_evaluated else None
        if values is not None:
            broken = any(violation > 0 for violation in event.violations.values())
            self.parts.growth.note(values, is_feasible=not broken)
            self._flat = self.parts.growth.why_flat()
        errors = self.parts.errors(evaluation) if evaluation is not None and values is not None else None
        self.parts.memory.note(event.digest, Seen(event.trial, event.outcome, values, errors, event.violations))

    def _tell(self, trial: Trial, event: TrialEnded) -> None:
        seen = self.parts.memory.get(event.digest) or Seen(event.trial)
        is_failed = event.outcome is Outcome.FAILED
        tell(
            self.parts.study,
            trial,
            event.outcome,
            event.digest,
            values=None if is_failed else seen.values,
            errors=None if is_failed else seen.errors,
            violations=seen.violations,
            is_trainable=seen.outcome is not Outcome.INFEASIBLE,
            duplicate_of=event.duplicate_of,
        )

    def _fix_scale(self, at_least: int) -> None:
        """Fix the scale of the hypervolume, once, from the first evaluated candidates."""
        fixed = self.parts.growth.fix(at_least)
        if fixed is not None:
            self._log(fixed)

    def _log(self, event: Event) -> None:
        self.parts.folder.events.append(event)
        self.parts.budget.note(event)
        self.parts.on_event(event)


def _ended(
    trial: Trial,
    digest: str,
    outcome: Outcome,
    reason: str = "",
    violations: dict[str, float] | None = None,
    *,
    duplicate_of: int | None = None,
) -> TrialEnded:
    """Return the end of a trial that no training belongs to."""
    number, broken = trial.number, violations or {}
    return TrialEnded(
        trial=number, digest=digest, outcome=outcome, reason=reason, violations=broken, duplicate_of=duplicate_of
    )


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:300]


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2][:300]
