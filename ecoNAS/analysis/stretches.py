"""The stretches of time of a run, read from its events: what was done when, on which device, for which candidates.

What they took in joules, and how what was counted together is shared, is decided by `ledger`.
"""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from ecoNAS.events import (
    BaselineProfiled,
    CandidateProfiled,
    Event,
    Phase,
    ProfileRefined,
    RunEnded,
    RungReached,
    RunStarted,
    SplitRead,
    TrainingReplicated,
    TrialEnded,
    TrialStarted,
    WorkerLost,
)
from ecoNAS.joules import Joules
from ecoNAS.records import Outcome


@dataclass(frozen=True, slots=True)
class Stretch:
    """Something that was done without a break.

    Attributes:
        phase: What; `overhead` is the rest of a trial: building the network, loading data, writing.
        whose: `front members`, `others`, `stopped`, `infeasible` or `failed` for a training; else empty.
        device: By its identity; empty where it is not known.
        paused_s: Seconds in which it waited for someone else's measurement.
        energy: Joules of it alone; None where they are not known.
        idle_w: Watts of resident idle, where this is a profile that measured them.
    """

    phase: Literal["profiling", "training", "overhead"]
    whose: str
    device: str
    started: datetime
    ended: datetime
    paused_s: float = 0.0
    energy: Joules | None = None
    idle_w: float | None = None

    @property
    def duration_s(self) -> float:
        """Seconds from start to end, pauses included."""
        return max((self.ended - self.started).total_seconds(), 0.0)

    @property
    def active_s(self) -> float:
        """Seconds without pauses."""
        return max(self.duration_s - self.paused_s, 0.0)

    def is_on(self, device: str) -> bool:
        """Whether it ran on a metered device, or on a part of it; one without an identity did.

        A meter of its own kind, such as a wall meter, counts a whole machine: only a part of the same kind that is
        another one, such as another GPU, is known to be elsewhere.
        """
        parts = device.split("+")
        families = {_family(part) for part in parts}
        return self.device in ("", *parts) or _family(self.device) not in families


@dataclass(frozen=True, slots=True)
class Session:
    """What one driver did: from its start to its last sign of life.

    Attributes:
        has_ended: Whether it ended in its own words; False if it died, or still runs.
    """

    started: datetime
    ended: datetime
    has_ended: bool

    @property
    def duration_s(self) -> float:
        """Seconds that the driver ran."""
        return max((self.ended - self.started).total_seconds(), 0.0)


def read_sessions(events: Iterable[Event]) -> list[Session]:
    """Return the sessions of a run, oldest first; a refit is none of the search's."""
    found = list[Session]()
    for event in events:
        if isinstance(event, RunStarted):
            found.append(Session(event.time, event.time, False))
        elif found and not isinstance(event, SplitRead):
            found[-1] = Session(found[-1].started, event.time, isinstance(event, RunEnded) or found[-1].has_ended)
    return found


def read_stretches(events: Sequence[Event], front: AbstractSet[int] = frozenset()) -> Iterator[Stretch]:
    """Yield the stretches of a run; of a trial that ended more than once only the last end counts.

    Args:
        events: Of the run, in their order.
        front: Numbers of the trials on its front.
    """
    last = {event.trial: event for event in events if isinstance(event, TrialEnded)}
    whose = {number: _whose(event, front) for number, event in last.items()}
    started = dict[int, datetime]()
    for event in events:
        if isinstance(event, BaselineProfiled | ProfileRefined):
            yield _from_phase(event.phase, "")
        elif isinstance(event, CandidateProfiled):
            yield from (_from_phase(phase, "") for phase in event.phases)
        elif isinstance(event, TrainingReplicated):
            yield _from_phase(event.phase, "front members" if event.trial in front else "others")
        elif isinstance(event, RungReached):
            yield from _of_part(event, whose.get(event.trial, "others"))
        elif isinstance(event, TrialStarted):
            started[event.trial] = event.time
        elif isinstance(event, WorkerLost) and event.trial in started:
            yield Stretch("training", "failed", "", started[event.trial], event.time)
        elif isinstance(event, TrialEnded) and event is last[event.trial]:
            if event.outcome is Outcome.FAILED and event.trial in started:
                yield Stretch("training", "failed", "", started[event.trial], event.time)
            yield from _of_part(event, whose[event.trial])


def union_s(stretches: Iterable[Stretch]) -> float:
    """Return the seconds in which at least one of `stretches` went on."""
    total_s, until = 0.0, None
    for stretch in sorted(stretches, key=lambda stretch: stretch.started):
        start = stretch.started if until is None else max(stretch.started, until)
        total_s += max((stretch.ended - start).total_seconds(), 0.0)
        until = stretch.ended if until is None else max(until, stretch.ended)
    return total_s


def _whose(event: TrialEnded, front: AbstractSet[int]) -> str:
    if event.outcome is Outcome.EVALUATED:
        return "front members" if event.trial in front else "others"
    return str(event.outcome)


def _of_part(event: RungReached | TrialEnded, whose: str) -> Iterator[Stretch]:
    """Yield the stretches of a trial, or of its part up to a rung."""
    for phase in event.phases:
        yield _from_phase(phase, whose if phase.name == "training" else "")
    inside_s = sum((phase.ended - phase.started).total_seconds() for phase in event.phases)
    if event.phases and event.duration_s > inside_s:  # building, loading and writing, which stand at no known moment
        yield Stretch(
            "overhead",
            "",
            event.phases[-1].device,
            event.time - timedelta(seconds=event.duration_s - inside_s),
            event.time,
        )


def _from_phase(phase: Phase, whose: str) -> Stretch:
    return Stretch(
        phase.name, whose, phase.device, phase.started, phase.ended, phase.paused_s, phase.energy, phase.idle_w
    )


def _family(device: str) -> str:
    """Return the kind of a device's identity: `cpu`, `GPU`, `csv`."""
    return device.replace(":", "-").partition("-")[0]
