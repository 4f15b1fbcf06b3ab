"""What a surrogate is told: trials that ended, those under way, and what rungs showed of both."""

from collections.abc import Container, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ecoNAS.search.halving import Rungs
from ecoNAS.search.storage import STANDARD_ERRORS, TRAINABLE

Floats = NDArray[np.float64]

NUM_FULL: Final = 4  # full trainings, below which what rungs show stands in for them


@dataclass(frozen=True, slots=True)
class History:
    """What happened so far.

    Attributes:
        trials: By number.
        told: Those with values.
        failed: Those that broke what no gate could know, and have none.
        under_way: Those that are trained now.
        shown: What trials showed at rungs: number, name of the rung, values, in the order of arrival.
        stands_in: Whether values at rungs stand in for those of full trainings, of which there are too few.
    """

    trials: Mapping[int, FrozenTrial]
    told: Sequence[FrozenTrial]
    failed: Sequence[FrozenTrial]
    under_way: Sequence[FrozenTrial]
    shown: Sequence[tuple[int, str, Sequence[float]]] = ()
    stands_in: bool = False

    @classmethod
    def of(cls, study: Study, decided: Container[str], rungs: Rungs | None, but: int | None = None) -> "History":
        """Return what happened so far.

        Args:
            study: Any.
            decided: Texts of the bounds that the gate decides.
            rungs: Where trainings are paused; None where none is.
            but: Number of a trial that is left out.
        """
        trials = {trial.number: trial for trial in study.get_trials(deepcopy=False) if trial.number != but}
        told = [trial for trial in trials.values() if trial.state is TrialState.COMPLETE]
        pruned = [trial for trial in trials.values() if trial.state is TrialState.PRUNED]
        failed = [trial for trial in pruned if late_breaches(trial, decided)]
        running = [trial for trial in trials.values() if trial.state is TrialState.RUNNING and trial.params]
        if rungs is None:
            return cls(trials, told, failed, running)
        paused, (shown, recent) = rungs.paused, rungs.shown()
        running = [trial for trial in running if trial.number not in paused or trial.number in recent]
        if len(told) >= NUM_FULL:
            return cls(trials, told, failed, running, shown)
        highest = {number: values for number, _, values in shown if not np.isnan(values).any()}
        stand_ins = [
            _with_values(trials[number], values)
            for number, values in highest.items()
            if trials[number].state is not TrialState.COMPLETE
        ]
        return cls(trials, [*told, *stand_ins], failed, running, shown, stands_in=True)

    @property
    def ended(self) -> list[FrozenTrial]:
        """Those of which something was told, by number."""
        return sorted([*self.told, *self.failed], key=lambda trial: trial.number)

    @property
    def extent(self) -> tuple[int, int, int]:
        """How much there is: equal extents of one study are the same history."""
        return len(self.told), len(self.failed), len(self.shown)


def late_breaches(trial: FrozenTrial, decided: Container[str]) -> list[str]:
    """Return the bounds that a candidate broke and that no gate could know."""
    return [text for text, value in trial.constraints.items() if value > 0 and text not in decided]


def late_violations(trials: Sequence[FrozenTrial], decided: Container[str]) -> dict[str, Floats]:
    """Return the violations of bounds that are known late, by text, (trials,); NaN where one is not known."""
    late = sorted({text for trial in trials for text in trial.constraints if text not in decided})
    found = {text: np.array([trial.constraints.get(text, np.nan) for trial in trials]) for text in late}
    if TRAINABLE in found:
        found[TRAINABLE] -= 0.5  # 0 or 1: half way is where it turns
    return found


def errors(trials: Sequence[FrozenTrial], num_targets: int) -> Floats:
    """Return the standard errors of the values, (trials, objectives); 0 where none are known."""
    return np.array([trial.user_attrs.get(STANDARD_ERRORS, [0.0] * num_targets) for trial in trials])


def _with_values(trial: FrozenTrial, values: Sequence[float]) -> FrozenTrial:
    """Return a trial as if it had ended with values."""
    found = copy(trial)
    found.values = list(values)
    return found
