"""One search over a table: the loop of a real search, its parts replaced by looking up, counting and remembering.

Costs are counted in full trainings: a training is 1, and what is measurable costs what the specification says, once a
candidate. How samplers compare is decided by `compare`.
"""

import heapq
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from ecoNAS.architecture import derive_seed
from ecoNAS.costs.screen import GateTally, Screening
from ecoNAS.evaluation.tabular import Row, Table, TableSpace
from ecoNAS.evaluation.workers import Finished
from ecoNAS.events import Event
from ecoNAS.records import Costs, Outcome, now
from ecoNAS.search.beliefs import Target
from ecoNAS.search.gauges import Measuring
from ecoNAS.search.growth import Growth
from ecoNAS.search.halving import SPREADS, Rungs
from ecoNAS.search.loop import SearchLoop
from ecoNAS.search.memory import Memory
from ecoNAS.search.parts import Parts
from ecoNAS.search.samplers import CandidateSampler, Proposer, SamplerContext

ROUNDING = 1e-9
FACTOR = 8.0  # one in so many goes on from a fidelity
SPREAD = 0.4  # standard deviation of the logarithm of a training's time


@dataclass(frozen=True, slots=True)
class LookUp:
    """A task and, since nothing is to be computed, its result.

    Attributes:
        level: How many rungs lie below what it shows.
    """

    trial: int
    row: Row
    level: int = 0
    outcome: Outcome = Outcome.EVALUATED
    reason: str = ""
    violations: dict[str, float] = field(default_factory=dict)
    started: datetime = field(default_factory=now)
    ended: datetime = field(default_factory=now)

    @property
    def digest(self) -> str:
        """Of the row."""
        return self.row.digest


@dataclass(slots=True)
class Charge:
    """What was spent, in full trainings; the `Limits` of a search over a table."""

    table: Table
    budget: float
    spent: float = 0.0
    measured: set[int] = field(default_factory=set)
    under_way: int = 0

    def measure(self, rows: Sequence[Row]) -> list[Mapping[str, float]]:
        """Return the measurable objectives of rows; those not asked for before are paid."""
        for row in rows:
            if row.index not in self.measured:
                self.measured.add(row.index)
                self.spent += self.table.measuring_cost
        return [self.table.measurable(row.index) for row in rows]

    def train(self, row: Row, cost: float) -> None:
        """Pay for a training, or a part of one, and for the measurement that belongs to it."""
        self.measure([row])
        self.spent += cost
        self.under_way -= 1

    def note(self, event: Event) -> None:
        """Events cost nothing."""

    def promise(self, trial: int, costs: Costs | None, share: float = 1.0) -> None:
        """Take in that one more training was begun; what it takes is the same for all."""
        self.under_way += 1

    def why_full(self, costs: Costs | None = None, share: float = 1.0) -> str:
        """Return why no more training fits; empty where one does."""
        needed = 1.0 + self.table.measuring_cost
        if self.spent + needed * (self.under_way + 1) <= self.budget + ROUNDING:
            return ""
        return f"{self.spent:.4g} of {self.budget:.4g} full trainings are spent"


class SimulatedWorkers:
    """Some workers on a virtual clock, whose trainings take unequal times; results come in the order of their ends.

    A training takes 1 on average and differs by about `SPREAD`; how long one takes depends on its candidate alone.
    """

    def __init__(
        self,
        run: Callable[[LookUp], LookUp],
        capacity: int,
        seed: int,
        cost: Callable[[LookUp], float] = lambda task: 1.0,
    ) -> None:
        """Prepare.

        Args:
            run: Looks a candidate up.
            capacity: How many train at once.
            seed: Of the times.
            cost: Tells what a task costs, in full trainings.
        """
        self.capacity = capacity
        self.now = 0.0
        self._run, self._seed, self._cost = run, seed, cost
        self._ends: list[tuple[float, int, LookUp]] = []

    def submit(self, task: LookUp) -> None:
        """Begin a training."""
        rng = np.random.default_rng(derive_seed(self._seed, "duration", task.digest))
        duration = self._cost(task) * float(np.exp(SPREAD * rng.standard_normal() - SPREAD**2 / 2))
        heapq.heappush(self._ends, (self.now + duration, task.trial, task))

    def next_finished(self, timeout_s: float) -> Finished[LookUp, LookUp] | None:
        """Return the training that ends next, and let the time pass until then; None if none is under way."""
        if not self._ends:
            return None
        self.now, _, task = heapq.heappop(self._ends)
        return Finished(task, self._run(task))

    def close(self) -> None:
        """Forget what is under way."""
        self._ends.clear()


@dataclass(slots=True)
class InMemory:
    """The `Archive` and log of a search that leaves nothing behind."""

    path: Path = Path("memory")
    kept: list[Event] = field(default_factory=list)

    @property
    def events(self) -> "InMemory":
        """The log."""
        return self

    def append(self, event: Event) -> None:
        """Keep one more."""
        self.kept.append(event)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.kept)

    def evaluations(self) -> dict[str, Any]:
        """Return nothing: such a search is never taken up again."""
        return {}

    def write_evaluation(self, evaluation: Any) -> None:
        """Keep nothing: results are in the table."""

    def log(self, trial: int) -> Path:
        """Return where a look-up that failed would say why."""
        raise AssertionError(f"trial {trial} failed, and looking up cannot")


@dataclass(frozen=True, slots=True)
class Trace:
    """What one search did.

    Attributes:
        rows: In the order of training.
        costs: (rows,), in full trainings, spent when each was known.
        measured: How many candidates were measured.
        proposal_s: Mean seconds of a proposal.
        duration: Of the whole search on the virtual clock, in mean trainings.
        ended: Why it ended.
    """

    rows: tuple[int, ...]
    costs: tuple[float, ...]
    measured: int
    proposal_s: float
    duration: float
    ended: str


Make = Callable[[SamplerContext], Proposer]


@dataclass(frozen=True, slots=True)
class Way:
    """How tables are searched.

    Attributes:
        budget: In full trainings.
        workers: How many train at once.
        halving: Whether trainings are paused at the table's fidelities.
        factor: One in so many goes on from a rung.
        spread: A name of `halving.SPREADS`.
    """

    budget: float
    workers: int = 1
    halving: bool = False
    factor: float = FACTOR
    spread: str = "crowding"


def run_once(table: Table, make: Make, seed: int, way: Way) -> Trace:
    """Search a table once.

    Args:
        table: The benchmark.
        make: Of the sampler.
        seed: Of everything random.
        way: How it is searched.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, charge, memory, archive = TableSpace(table), Charge(table, way.budget), Memory(), InMemory()
    targets = tuple(Target(item.name, item.direction, item.known) for item in table.spec.objectives)
    measurable = tuple(target.name for target in targets if target.known == "measurable")
    levels = table.rungs if way.halving else ()
    rungs = None
    if levels:
        rungs = Rungs(tuple(rung.name for rung in levels), way.factor, table.directions, SPREADS[way.spread])

    def screen(row: Row) -> Screening:
        return Screening(None, {}, table.exact(row.index))

    context = SamplerContext(
        space,
        seed,
        int(way.budget),
        0,
        screen,
        targets,
        memory.__contains__,
        Measuring(measurable, charge.measure, lambda: table.measuring_cost) if measurable else None,
        rungs=rungs,
        reference=reference_of(table),
    )
    inner = CandidateSampler(space, make(context), memory.__contains__, seed)
    sampler = _Timed(inner)
    study = optuna.create_study(directions=list(table.directions), sampler=sampler)
    if rungs is not None:
        rungs.choose = partial(inner.choose, study)
    rows: list[int] = []
    costs: list[float] = []

    def cost(task: LookUp) -> float:
        return table.training_cost(task.level) if levels else 1.0

    def train(task: LookUp) -> LookUp:
        charge.train(task.row, cost(task))
        if task.level < len(levels):
            return replace(task, outcome=Outcome.STOPPED)
        rows.append(task.row.index)
        costs.append(charge.spent)
        return task

    def values(result: LookUp) -> tuple[float, ...]:
        if result.level < len(levels):
            return table.shown_at(result.row.index, result.level)
        return tuple(table.objectives[result.row.index].tolist())

    simulated = SimulatedWorkers(train, way.workers, seed, cost)
    loop = SearchLoop(
        Parts(
            space=space,
            study=study,
            workers=simulated,
            folder=archive,
            memory=memory,
            tally=GateTally(()),
            screen=screen,
            make_task=lambda number, row, found: LookUp(number, row),
            values=values,
            growth=Growth(table.names, table.directions, {}),
            trials=len(table),
            budget=charge,
            rungs=rungs,
            rung_of=lambda result: result.level,
            go_on=lambda task, result: replace(task, level=result.level + 1),
            phases=lambda result: (),
        )
    )
    ended = loop.run()
    return Trace(tuple(rows), tuple(costs), len(charge.measured), sampler.mean_s, simulated.now, ended.reason)


def reference_of(table: Table) -> tuple[float, ...]:
    """Return the reference point of a table in the objectives' own units."""
    scale = table.scale
    parts = zip(scale.ideal, scale.nadir, scale.reference, strict=True)
    return tuple(ideal + reference * (nadir - ideal) for ideal, nadir, reference in parts)


class _Timed(BaseSampler):
    """A sampler with a watch."""

    def __init__(self, sampler: CandidateSampler) -> None:
        self._sampler = sampler
        self._seconds = 0.0
        self._asked = 0

    @property
    def mean_s(self) -> float:
        return self._seconds / max(self._asked, 1)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> Any:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: Any) -> Any:
        began = time.perf_counter()
        found = self._sampler.sample_relative(study, trial, search_space)
        self._seconds += time.perf_counter() - began
        self._asked += 1
        return found

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: Any) -> Any:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: Any, values: Any) -> None:
        self._sampler.after_trial(study, trial, state, values)
