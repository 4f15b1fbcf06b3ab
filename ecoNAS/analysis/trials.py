"""The trials of a run as rows, joined from its events and evaluations; which of them may be compared.

An event says what became of a trial, an evaluation what its candidate is worth; neither is repeated in the other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecoNAS import pareto
from ecoNAS.errors import JoulesMixError
from ecoNAS.evaluation.objectives import OBJECTIVES, Objective, Objectives
from ecoNAS.events import Event, ParameterValue, TrialEnded, TrialProposed
from ecoNAS.records import Evaluation, Outcome, Score


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate's way through the search.

    Attributes:
        outcome: None while it is on its way (or was, when the run died).
        evaluation: The record of its candidate; a duplicate has that of the trial it repeats.
        scores: All objectives and costs in the record, by name; those of stopped trials are of a shorter training.
        violations: By constraint, (value - bound) / |bound|; above 0 is broken.
        on_front: Whether it is on the front of the study's objectives; a duplicate never is.
    """

    number: int
    outcome: Outcome | None
    reason: str
    digest: str
    parameters: Mapping[str, ParameterValue]
    evaluation: Evaluation | None
    scores: Mapping[str, Score]
    violations: Mapping[str, float]
    on_front: bool = False
    duplicate_of: int | None = None

    @property
    def state(self) -> str:
        """The outcome, or `running`."""
        return str(self.outcome) if self.outcome else "running"

    @property
    def may_be_on_front(self) -> bool:
        """Whether it was evaluated at full fidelity, breaks no constraint, and is the first with its digest."""
        evaluation = self.evaluation
        return (
            self.outcome is Outcome.EVALUATED
            and evaluation is not None
            and evaluation.is_feasible
            and evaluation.trial == self.number
        )


def read_trials(
    events: Sequence[Event], evaluations: Mapping[str, Evaluation], objectives: Objectives
) -> tuple[Trial, ...]:
    """Return all proposed trials by number, those on the front marked.

    Raises:
        JoulesMixError: if the evaluations hold joules of different kinds, which share no front.
    """
    proposed = {event.trial: event for event in events if isinstance(event, TrialProposed)}
    ended = {event.trial: event for event in events if isinstance(event, TrialEnded)}
    trials = [
        _join(number, proposed.get(number), ended.get(number), evaluations, objectives)
        for number in sorted({*proposed, *ended})
    ]
    _refuse_mixed_joules(trials)
    best = {trial.number for trial in front_of(trials, objectives.items)}
    return tuple(replace(trial, on_front=trial.number in best) for trial in trials)


def comparable(trials: Iterable[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """Return the trials that may be on a front and have a value for each objective."""
    return [
        trial
        for trial in trials
        if trial.may_be_on_front and all(objective.name in trial.scores for objective in objectives)
    ]


def values_of(trials: Sequence[Trial], objectives: Sequence[Objective]) -> pareto.Floats:
    """Return the values as (trials, objectives), each in its unit."""
    rows = [[trial.scores[objective.name].value for objective in objectives] for trial in trials]
    return np.array(rows, dtype=np.float64).reshape(len(trials), len(objectives))


def front_of(trials: Iterable[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """Return the comparable trials that no other dominates."""
    candidates = comparable(trials, objectives)
    keep = pareto.front(values_of(candidates, objectives), [objective.direction for objective in objectives])
    return [trial for trial, kept in zip(candidates, keep, strict=True) if kept]


def _join(
    number: int,
    proposed: TrialProposed | None,
    ended: TrialEnded | None,
    evaluations: Mapping[str, Evaluation],
    objectives: Objectives,
) -> Trial:
    digest = ended.digest if ended else proposed.digest if proposed else ""
    outcome = ended.outcome if ended else None
    evaluation = evaluations.get(digest)
    if evaluation is not None and evaluation.trial != number and outcome is not Outcome.DUPLICATE:
        evaluation = None  # of another trial with the same candidate, such as the one that repeated a failed trial
    return Trial(
        number=number,
        outcome=outcome,
        reason=ended.reason if ended else "",
        digest=digest,
        parameters=proposed.parameters if proposed else {},
        evaluation=evaluation,
        scores=_scores(evaluation, objectives),
        violations=ended.violations if ended and ended.violations else evaluation.violations if evaluation else {},
        duplicate_of=ended.duplicate_of if ended else None,
    )


def _scores(evaluation: Evaluation | None, objectives: Objectives) -> dict[str, Score]:
    if evaluation is None:
        return {}
    names = dict.fromkeys([*objectives.names, *OBJECTIVES])
    read = {name: OBJECTIVES[name].read(evaluation, objectives.lifetime_images) for name in names}
    return {name: score for name, score in read.items() if score is not None}


def _refuse_mixed_joules(trials: Iterable[Trial]) -> None:
    known: dict[str, tuple[int, str]] = {}
    for trial in trials:
        for name, score in trial.scores.items():
            if not OBJECTIVES[name].is_energy:
                continue
            first, kind = known.setdefault(name, (trial.number, score.kind))
            if kind != score.kind:
                raise JoulesMixError(
                    f"{name} of trial {first} is {kind} and that of trial {trial.number} is {score.kind}: "
                    "they share no front; search again with one meter"
                )
