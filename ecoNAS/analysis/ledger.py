"""Where the seconds and joules of a search went, added up from its events.

Where a meter counted the whole run, its joules are the total. What was measured alone (a profile, a training that had
the device to itself) is taken from it as it is; the rest is shared among what else went on, which is an estimate and
says so. The parts always add up to the total. Where joules are estimated, trainings are priced and nothing else is.
What a joule is and which of them may be added is decided by `ecoNAS.joules`; what was measured by who wrote the events.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Final, Literal

from ecoNAS.analysis.stretches import Stretch, read_sessions, read_stretches, union_s
from ecoNAS.errors import JoulesMixError
from ecoNAS.events import EnergyMetered, Event, MeterFailed, RunStarted, TrialStarted
from ecoNAS.joules import Joules, Kind

PhaseName = Literal["profiling", "training", "idle", "overhead"]
WHOSE: Final = ("front members", "others", "stopped", "infeasible", "failed")
ROWS: Final = [("profiling", ""), *(("training", whose) for whose in WHOSE), ("overhead", "")]


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What one phase of the search took.

    Attributes:
        whose: Of which candidates: `front members`, `others`, `stopped`, `infeasible`, `failed`; empty for all.
        device: By its identity.
        num: How many stretches of time they were.
        active_s: Seconds of them without pauses, summed over workers.
        energy_j: Joules; None where none are known.
        is_share: Whether they are a share of joules that were counted together: an estimate, whatever the total is.
        started: UTC, of the first stretch.
        ended: UTC, of the last one.
    """

    phase: PhaseName
    whose: str
    device: str
    num: int
    active_s: float
    energy_j: float | None
    is_share: bool
    started: datetime
    ended: datetime

    @property
    def name(self) -> str:
        """For people: `training of front members`."""
        return f"{self.phase} of {self.whose}" if self.whose else self.phase


@dataclass(frozen=True, slots=True)
class Ledger:
    """The bill of a search.

    Attributes:
        search_energy_j: Joules of the search: of all that the device took where it was metered, else of all training
            that was priced; None if nothing was, or if kinds differ and do not add up.
        interval_j: Bounds of the 95 % interval of `search_energy_j`, where one is known.
        kind: How those joules are known.
        is_metered: Whether they are of the whole run, counted by a meter.
        holes: Why `search_energy_j` is only a lower bound, one reason each; empty where it is not.
        wall_s: Seconds that drivers ran, over all sessions of a resumed run, without the pauses between them.
        training_s: Seconds inside training, summed over workers: may exceed `wall_s`.
        num_unpriced: How many trainings took time and have no joules.
        rows: The parts, whose joules add up to `search_energy_j`.
    """

    search_energy_j: float | None
    interval_j: tuple[float, float] | None
    kind: Kind | None
    is_metered: bool
    holes: tuple[str, ...]
    wall_s: float
    training_s: float
    num_unpriced: int
    rows: tuple[LedgerRow, ...]

    @property
    def meaning(self) -> str:
        """What `search_energy_j` covers, in words that every figure of it must carry."""
        if self.kind is None:
            return "joules not known"
        if self.is_metered:
            return f"the whole search ({self.kind}{', a lower bound' if self.holes else ''})"
        scope = "training compute only" if self.kind == "estimated" else "training only"
        count = self.num_unpriced
        missing = f", {count} training{'s' if count > 1 else ''} not priced" if count else ""
        return f"{scope} ({self.kind}{missing})"


def read_ledger(events: Sequence[Event], front: AbstractSet[int] = frozenset()) -> Ledger:
    """Return the bill of the run that these events, in their order, tell of.

    Args:
        events: Of the run.
        front: Numbers of the trials on its front, whose training is a row of its own.
    """
    stretches = list(read_stretches(events, front))
    trainings = [stretch for stretch in stretches if stretch.phase == "training"]
    metered = [event for event in events if isinstance(event, EnergyMetered)]
    ledger = Ledger(
        search_energy_j=None,
        interval_j=None,
        kind=None,
        is_metered=False,
        holes=(),
        wall_s=sum(session.duration_s for session in read_sessions(events)),
        training_s=math.fsum(stretch.duration_s for stretch in trainings),
        num_unpriced=sum(stretch.duration_s > 0 and stretch.energy is None for stretch in trainings),
        rows=tuple(_rows([_Part(stretch, _own_j(stretch)) for stretch in stretches])),
    )
    return _metered(ledger, events, stretches, metered) if metered else _priced(ledger, stretches)


def _priced(ledger: Ledger, stretches: Sequence[Stretch]) -> Ledger:
    """Add up what was priced one by one."""
    energy = _sum(stretch.energy for stretch in stretches if stretch.phase == "training")
    if energy is None:
        return ledger
    return replace(ledger, search_energy_j=energy.value_j, interval_j=(energy.low_j, energy.high_j), kind=energy.kind)


def _metered(
    ledger: Ledger, events: Sequence[Event], stretches: Sequence[Stretch], metered: Sequence[EnergyMetered]
) -> Ledger:
    """Divide what the device took among what it did."""
    counted, holes = _sum(event.energy for event in metered), list(_holes(events))
    if counted is None:  # a run that went on with another meter: no sum is better than a wrong one
        return ledger
    here = [stretch for stretch in stretches if stretch.is_on(counted.device)]
    begun, last = min(event.started for event in metered), max(event.ended for event in metered)
    before_j = _known_j(stretch for stretch in here if stretch.ended <= begun)  # such as the baseline's profile
    total_j, known_j = counted.value_j + before_j, _known_j(here)
    if known_j > total_j:
        holes.append("the meter of the run did not count while some of its parts were measured")
        total_j = known_j
    metered_s = math.fsum((event.ended - event.started).total_seconds() for event in metered)
    idle_s = max(metered_s - union_s(stretch for stretch in here if stretch.ended > begun), 0.0)
    idle_j = min(idle_s * _idle_w(here), total_j - known_j)
    rows = list(_rows(_shared(stretches, counted.device, total_j - known_j - idle_j)))
    if idle_j > 0:
        rows.append(LedgerRow("idle", "", counted.device, 1, idle_s, idle_j, True, begun, last))
    return replace(
        ledger,
        search_energy_j=total_j,
        kind=counted.kind,
        is_metered=True,
        holes=tuple(dict.fromkeys(holes)),
        num_unpriced=0,
        rows=tuple(_with_overhead(rows, total_j, counted.device, begun, last)),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch with the joules that are put down to it."""

    stretch: Stretch
    energy_j: float | None
    is_share: bool = False


def _shared(stretches: Iterable[Stretch], device: str, energy_j: float) -> list[_Part]:
    """Divide joules among what nobody metered alone on a device, by seconds of work; the others keep their own."""
    stretches = list(stretches)
    sharing = {id(item) for item in stretches if item.energy is None and item.is_on(device)}
    total_s = math.fsum(item.active_s for item in stretches if id(item) in sharing)
    return [
        _Part(item, energy_j * item.active_s / total_s, is_share=True)
        if id(item) in sharing and total_s > 0
        else _Part(item, _own_j(item))
        for item in stretches
    ]


def _with_overhead(
    rows: Iterable[LedgerRow], total_j: float, device: str, begun: datetime, last: datetime
) -> Iterator[LedgerRow]:
    """Yield the rows, the overhead of the metered device being what no other of them took: nothing is lost."""
    rows = list(rows)
    mine = [row for row in rows if row.phase == "overhead" and row.energy_j is not None]
    others = [row for row in rows if row not in mine]
    rest_j = max(total_j - math.fsum(row.energy_j for row in others if row.energy_j is not None), 0.0)
    yield from others
    active_s = math.fsum(row.active_s for row in mine)
    yield LedgerRow("overhead", "", device, max(len(mine), 1), active_s, rest_j, True, begun, last)


def _rows(parts: Sequence[_Part]) -> Iterator[LedgerRow]:
    """Put stretches of the same kind together, in the order of ROWS."""

    def key(part: _Part) -> tuple[int, str]:
        return ROWS.index((part.stretch.phase, part.stretch.whose)), part.stretch.device

    for _, group in groupby(sorted(parts, key=key), key=key):
        mine = list(group)
        first = mine[0].stretch
        known = [part.energy_j for part in mine if part.energy_j is not None]
        yield LedgerRow(
            phase=first.phase,
            whose=first.whose,
            device=first.device,
            num=len(mine),
            active_s=math.fsum(part.stretch.active_s for part in mine),
            energy_j=math.fsum(known) if known else None,
            is_share=any(part.is_share for part in mine),
            started=min(part.stretch.started for part in mine),
            ended=max(part.stretch.ended for part in mine),
        )


def _holes(events: Sequence[Event]) -> Iterator[str]:
    """Say why the meter of the run did not count all of it."""
    for event in events:
        if isinstance(event, MeterFailed):
            yield f"the meter failed on the way: {event.reason}"
    starts = [place for place, event in enumerate(events) if isinstance(event, RunStarted)]
    for session, begun, following in zip(read_sessions(events), starts, [*starts[1:], len(events)], strict=True):
        inside = events[begun + 1 : following]
        if not any(isinstance(event, TrialStarted | EnergyMetered) for event in inside):
            continue  # nothing was done yet
        is_read = isinstance(inside[-1], EnergyMetered) or any(isinstance(event, MeterFailed) for event in inside)
        if not (session.has_ended and is_read):  # a search that has ended may die while it measures its front again
            yield f"the session that began {session.started:%Y-%m-%d %H:%M} UTC ended without its last reading"


def _own_j(stretch: Stretch) -> float | None:
    return stretch.energy.value_j if stretch.energy is not None else None


def _known_j(stretches: Iterable[Stretch]) -> float:
    return math.fsum(stretch.energy.value_j for stretch in stretches if stretch.energy is not None)


def _idle_w(stretches: Iterable[Stretch]) -> float:
    """Return the mean resident idle power that profiles measured; 0 where none did, so that idle is overhead."""
    found = [stretch.idle_w for stretch in stretches if stretch.idle_w is not None]
    return math.fsum(found) / len(found) if found else 0.0


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
