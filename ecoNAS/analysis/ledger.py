"""Where the seconds and joules of a search went, added up from its events.

What a joule is and which of them may be added is decided by `ecoNAS.joules`; what was measured by who wrote the events.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ecoNAS.errors import JoulesMixError
from ecoNAS.events import Event, RunStarted, TrialEnded
from ecoNAS.joules import Joules, Kind
from ecoNAS.records import Outcome


@dataclass(frozen=True, slots=True)
class Spending:
    """What the trials of one outcome took together.

    Attributes:
        training_s: Seconds inside training, summed over workers.
        other_s: The rest of the trials' seconds: building, profiling, writing.
        energy_j: Joules of their training; None where none are known.
    """

    outcome: Outcome
    num_trials: int
    training_s: float
    other_s: float
    energy_j: float | None


@dataclass(frozen=True, slots=True)
class Ledger:
    """The bill of a search.

    Attributes:
        search_energy_j: Joules of all training that was priced; None if none was, or if kinds differ and do not add up.
        interval_j: Bounds of the 95 % interval of `search_energy_j`.
        kind: How those joules are known.
        wall_s: Seconds that drivers ran, over all sessions of a resumed run, without the pauses between them.
        training_s: Seconds inside training, summed over workers: may exceed `wall_s`.
        num_unpriced: How many trainings took time and have no joules.
        spending: The same by outcome, for outcomes that occurred.
    """

    search_energy_j: float | None
    interval_j: tuple[float, float] | None
    kind: Kind | None
    wall_s: float
    training_s: float
    num_unpriced: int
    spending: tuple[Spending, ...]

    @property
    def meaning(self) -> str:
        """What `search_energy_j` covers, in words that every figure of it must carry."""
        if self.kind is None:
            return "joules not known"
        scope = "training compute only" if self.kind == "estimated" else "training only"
        missing = f", {self.num_unpriced} trainings not priced" if self.num_unpriced else ""
        return f"{scope} ({self.kind}{missing})"


def read_ledger(events: Sequence[Event]) -> Ledger:
    """Return the bill of the run that these events, in their order, tell of."""
    ended = {event.trial: event for event in events if isinstance(event, TrialEnded)}  # of a trial the last one counts
    energy = _sum(event.training_energy for event in ended.values())
    return Ledger(
        search_energy_j=energy.value_j if energy else None,
        interval_j=(energy.low_j, energy.high_j) if energy else None,
        kind=energy.kind if energy else None,
        wall_s=_wall_s(events),
        training_s=sum(event.training_s for event in ended.values()),
        num_unpriced=sum(event.training_s > 0 and event.training_energy is None for event in ended.values()),
        spending=tuple(_spendings(ended.values())),
    )


def _wall_s(events: Sequence[Event]) -> float:
    """Return the seconds from each start to the last event before the next start."""
    total, started = 0.0, None
    latest = None
    for event in events:
        if isinstance(event, RunStarted):
            if started is not None and latest is not None:
                total += (latest - started).total_seconds()
            started = event.time
        latest = event.time
    if started is not None and latest is not None:
        total += (latest - started).total_seconds()
    return max(total, 0.0)


def _spendings(ended: Iterable[TrialEnded]) -> Iterable[Spending]:
    trials = list(ended)
    for outcome in Outcome:
        mine = [event for event in trials if event.outcome is outcome]
        if mine:
            energy = _sum(event.training_energy for event in mine)
            training_s = sum(event.training_s for event in mine)
            other_s = max(sum(event.duration_s for event in mine) - training_s, 0.0)
            yield Spending(outcome, len(mine), training_s, other_s, energy.value_j if energy else None)


def _sum(amounts: Iterable[Joules | None]) -> Joules | None:
    total: Joules | None = None
    for amount in amounts:
        if amount is None:
            continue
        try:
            total = amount if total is None else total + amount
        except JoulesMixError:  # a run that went on elsewhere: no sum is better than a wrong one
            return None
    return total
