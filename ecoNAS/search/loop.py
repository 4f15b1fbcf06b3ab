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

from optuna.trial import Trial, TrialState

from ecoNAS.costs.screen import Screening
from ecoNAS.errors import MeasurementError
from ecoNAS.evaluation.workers import Finished
from ecoNAS.events import (
    Event,
    Phase,
    RunEnded,
    RungReached,
    ScaleFixed,
    TrialEnded,
    TrialPromoted,
    TrialProposed,
    TrialStarted,
    WorkerLost,
)
from ecoNAS.records import Costs, Outcome
from ecoNAS.search.growth import NUM_FIRST
from ecoNAS.search.memory import Seen
from ecoNAS.search.parts import Parts, Result
from ecoNAS.search.storage import is_whole, orphans, tell
from ecoNAS.search.streaks import Hopeless, Streak, explain

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 2
POLL_S = 0.5

StopReason = Literal["trials", "budget", "plateau", "interrupted"] | Hopeless


@dataclass(slots=True)
class _Running:
    """A candidate under way, or paused at a rung.

    Attributes:
        first: Its first task.
        task: What a worker does with it now.
        result: What it showed at its last rung; None before the first.
    """

    trial: Trial
    candidate: Any
    screening: Screening
    first: Any
    task: Any
    result: Any = None
    attempt: int = 1


@dataclass(slots=True)
class SearchLoop:
    """One search, from its first or its next trial to its end."""

    parts: Parts
    is_stopping: bool = False
    is_abandoning: bool = False
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    _running: dict[int, _Running] = field(default_factory=dict)
    _paused: dict[int, _Running] = field(default_factory=dict)
    _streak: Streak = field(default_factory=Streak)
    _full: str = ""
    _flat: str = ""

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

    def why_full(self, costs: Costs | None = None) -> str:
        """Return why the budget leaves no room for one more candidate; empty where it does."""
        try:
            return self.parts.budget.why_full(costs)
        except MeasurementError as error:
            return f"the joules cannot be counted any more, so that their budget cannot be kept: {error}"

    def restore(self) -> None:
        """Take up a study that an earlier driver left: remember what ended, and go on with what did not."""
        parts, ended = self.parts, dict[int, TrialEnded]()
        evaluations = parts.folder.evaluations()
        for event in parts.folder.events:
            if isinstance(event, TrialEnded):
                ended[event.trial] = event
                parts.budget.note(event)
                self._note(event, evaluations.get(event.digest))
            elif isinstance(event, ScaleFixed):
                parts.growth.restore(event)
            self._note_rung(event)
        for trial in orphans(parts.study):
            event_or_none = ended.get(trial.number)
            if not is_whole(trial, list(parts.space.choices)):
                parts.study.tell(trial, state=TrialState.FAIL)  # nothing was ever made of it
            elif event_or_none is not None:
                self._tell(trial, event_or_none)
            else:
                candidate = parts.space.sample(trial)
                evaluation = evaluations.get(candidate.digest)
                if evaluation is None or evaluation.trial != trial.number:
                    self._consider(trial, candidate)
                elif evaluation.outcome is Outcome.STOPPED:
                    self._restore_paused(trial, candidate, evaluation)
                else:
                    self._end_evaluated(trial, evaluation)
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
                self._stop_paused()  # all that were asked for were begun, and nobody is to go on
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
        found = self.parts.rungs.promotable() if self.parts.rungs is not None else None
        if found is not None:
            self._promote(*found)
            return True
        if self.num_counted + len(self._running) + len(self._paused) >= self.parts.trials:
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
        return explain(reason, self.parts.tally, self.parts.folder.path)

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
        self._full = self.why_full(screening.costs)
        if self._full or self.is_stopping:  # left as it is: a later session takes it up
            return
        parts.memory.note(digest, Seen(trial.number))
        parts.budget.promise(trial.number, screening.costs)
        task = parts.make_task(trial.number, candidate, screening)
        self._running[trial.number] = _Running(trial, candidate, screening, task, task)
        self._submit(trial.number)

    def _promote(self, number: int, rung: int) -> None:
        """Let a paused candidate go on from a rung."""
        running = self._paused[number]
        self._full = self.why_full(running.screening.costs)
        if self._full:
            return
        event = TrialPromoted(trial=number, digest=running.candidate.digest, rung=rung)
        self._log(event)
        self._note_rung(event)
        self._resume_paused(number)

    def _resume_paused(self, number: int) -> None:
        running = self._running[number] = self._paused.pop(number)
        running.task, running.attempt = self.parts.go_on(running.first, running.result), 1
        self.parts.budget.promise(number, running.screening.costs)
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
            running.task = following
            self.parts.workers.submit(following)
            return
        del self._running[number]
        if finished.result is not None:
            phases, result = self.parts.phases(finished.result), finished.result
            if running.result is not None:
                result = self.parts.join(running.result, result)
            self.parts.folder.write_evaluation(result)
            if result.outcome is Outcome.STOPPED:
                self._pause(running, result, phases)
            else:
                self._end_evaluated(running.trial, result, phases)
            return
        log = self.parts.folder.log(number)
        log.write_text(finished.error + "\n", encoding="utf-8")
        reason = f"{_last_line(finished.error)} (see {log.relative_to(self.parts.folder.path)})"
        self._end(running.trial, _ended(running.trial, running.candidate.digest, Outcome.FAILED, reason))

    def _pause(self, running: _Running, result: Result, phases: tuple[Phase, ...]) -> None:
        """Keep a candidate, whose result is on disk, at the rung that it reached."""
        number, values = running.trial.number, self.parts.values(result)
        assert values is not None
        event = RungReached(
            trial=number,
            digest=result.digest,
            rung=self.parts.rung_of(result),
            values=values,
            duration_s=(result.ended - result.started).total_seconds(),
            phases=phases,
        )
        running.result, self._paused[number] = result, running
        self._log(event)
        self._note_rung(event)

    def _note_rung(self, event: Event) -> None:
        """Take in what an event says of rungs."""
        rungs = self.parts.rungs
        if rungs is None:
            return
        if isinstance(event, RungReached):
            rungs.note(event.trial, event.rung, event.values)
        elif isinstance(event, TrialPromoted):
            rungs.go_on(event.trial, event.rung)
        elif isinstance(event, TrialEnded):
            rungs.leave(event.trial)

    def _restore_paused(self, trial: Trial, candidate: Any, evaluation: Any) -> None:
        """Take up a candidate that an earlier driver left at a rung, or on its way from it."""
        parts, number, rungs = self.parts, trial.number, self.parts.rungs
        assert rungs is not None  # a resumed run keeps its rungs
        screening = parts.screen(candidate)
        task = parts.make_task(number, candidate, screening)
        parts.memory.note(candidate.digest, Seen(number))
        running = _Running(trial, candidate, screening, task, task, evaluation)
        self._paused[number] = running
        if rungs.place_of(number) != parts.rung_of(evaluation):  # the driver died before it said so
            self._pause(running, evaluation, parts.phases(evaluation))
        elif number not in rungs.paused:
            self._resume_paused(number)

    def _stop_paused(self) -> None:
        """End the candidates that nobody will let go on."""
        for running in self._paused.values():
            digest, result = running.candidate.digest, running.result
            event = _ended(running.trial, digest, Outcome.STOPPED, "others were better at its rung", result.violations)
            self._end(running.trial, event, result)
        self._paused.clear()

    def _end_evaluated(self, trial: Trial, evaluation: Result, phases: tuple[Phase, ...] | None = None) -> None:
        """End a trial whose evaluation is on disk; `phases` None for all that it tells of."""
        event = TrialEnded(
            trial=trial.number,
            digest=evaluation.digest,
            outcome=evaluation.outcome,
            reason=evaluation.reason,
            violations=evaluation.violations,
            duration_s=(evaluation.ended - evaluation.started).total_seconds(),
            phases=self.parts.phases(evaluation) if phases is None else phases,
        )
        self._end(trial, event, evaluation)
        self._fix_scale(at_least=NUM_FIRST)

    def _end(self, trial: Trial, event: TrialEnded, evaluation: Result | None = None) -> None:
        """Write that a trial ended, remember it, and tell the study."""
        self._log(event)
        self._note_rung(event)
        self._note(event, evaluation)
        self._tell(trial, event)

    def _note(self, event: TrialEnded, evaluation: Result | None) -> None:
        """Count an ended trial, and remember its candidate if it is the first of its digest."""
        self.outcomes[event.outcome] += 1
        self._streak.note(event.outcome)
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
