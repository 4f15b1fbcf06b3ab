"""How samplers compare on a table: shares of the true hypervolume at checkpoints of cost, over seeds, and paired."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student

from ecoNAS.benchmark.lookup import Trace, Way, run_once
from ecoNAS.benchmark.rivals import rival
from ecoNAS.evaluation.tabular import Table
from ecoNAS.pareto import front, hypervolume, scale

Floats = NDArray[np.float64]

CHECKPOINTS = (25, 50, 100, 200, 500)
ROUNDING = 1e-9
LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What one search had found when it had spent `cost`.

    Attributes:
        cost: In full trainings.
        hv_frac: Of the true hypervolume.
        useful_frac: The same within the useful bound; None where the specification has none.
        front_points: Members of the true front among what was trained.
    """

    sampler: str
    seed: int
    cost: float
    hv_frac: float
    useful_frac: float | None
    front_points: int


@dataclass(frozen=True, slots=True)
class Search:
    """One search with its readings."""

    sampler: str
    seed: int
    trace: Trace
    readings: tuple[Reading, ...]


class Judge:
    """Knows the truth of a table."""

    def __init__(self, table: Table) -> None:
        """Find the true front and its hypervolume."""
        spec = table.scale
        self._scaled = scale(table.objectives, spec.ideal, spec.nadir)
        self._reference = np.array(spec.reference)
        self._is_best = front(table.objectives, table.directions)
        self.hypervolume = self._volume(np.flatnonzero(self._is_best), self._reference)
        self._useful: Floats | None = None
        if spec.useful:
            self._useful = self._reference.copy()
            for place, name in enumerate(table.names):
                if name in spec.useful:
                    span = spec.nadir[place] - spec.ideal[place]
                    self._useful[place] = (spec.useful[name] - spec.ideal[place]) / span
            self._useful_hypervolume = self._volume(np.flatnonzero(self._is_best), self._useful)

    @property
    def num_front(self) -> int:
        """Members of the true front."""
        return int(self._is_best.sum())

    def read(self, sampler: str, seed: int, trace: Trace, cost: float) -> Reading:
        """Return what a search had found when it had spent `cost`."""
        known = [row for row, spent in zip(trace.rows, trace.costs, strict=True) if spent <= cost + ROUNDING]
        rows = np.array(known, dtype=np.int64)
        useful = None
        if self._useful is not None:
            useful = self._volume(rows, self._useful) / self._useful_hypervolume
        share = self._volume(rows, self._reference) / self.hypervolume
        return Reading(sampler, seed, cost, share, useful, int(self._is_best[rows].sum()))

    def _volume(self, rows: NDArray[np.int64], reference: Floats) -> float:
        return hypervolume(self._scaled[rows], reference, ["minimize"] * len(reference))


def checkpoints(budget: float) -> tuple[float, ...]:
    """Return the costs at which searches are read: the usual ones within the budget, and the budget itself."""
    return (*(float(cost) for cost in CHECKPOINTS if cost < budget), float(budget))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Searches of one table by several samplers.

    Attributes:
        samplers: Names, in the order asked for.
    """

    table: Table
    judge: Judge
    samplers: tuple[str, ...]
    searches: tuple[Search, ...]


def compare(
    table: Table,
    samplers: Sequence[str],
    seeds: int,
    way: Way,
    *,
    processes: int = 1,
    on_search: Callable[[Search], None] = lambda search: None,
) -> Comparison:
    """Run every sampler with every seed.

    Args:
        table: The benchmark.
        samplers: Names of `rivals.RIVALS`.
        seeds: How many, from 0.
        way: How it is searched.
        processes: How many searches run at a time, each with one thread.
        on_search: Called after each search, in their order.

    Raises:
        EcoNASError: if a sampler is not known.
    """
    judge, found = Judge(table), list[Search]()
    tasks = [(name, seed) for seed in range(seeds) for name in samplers]
    makes = {name: rival(name) for name in samplers}
    if processes == 1:
        traces: Iterable[Trace] = (run_once(table, makes[name], seed, way) for name, seed in tasks)
        found += _read(judge, tasks, traces, way.budget, on_search)
    else:
        context = multiprocessing.get_context("spawn")  # a forked child of a process with threads may hang
        with ProcessPoolExecutor(processes, context, _begin, (table, way)) as executor:
            try:
                found += _read(judge, tasks, executor.map(_run, tasks), way.budget, on_search)
            except BaseException:  # Ctrl-C, too: what still waits must not be begun
                executor.shutdown(cancel_futures=True)
                raise
    return Comparison(table, judge, tuple(samplers), tuple(found))


def _read(
    judge: Judge,
    tasks: Sequence[tuple[str, int]],
    traces: Iterable[Trace],
    budget: float,
    on_search: Callable[[Search], None],
) -> Iterator[Search]:
    for (name, seed), trace in zip(tasks, traces, strict=True):
        search = Search(name, seed, trace, tuple(judge.read(name, seed, trace, cost) for cost in checkpoints(budget)))
        on_search(search)
        yield search


_here: dict[str, Any] = {}  # of a process that searches: what all its searches have in common, sent once


def _begin(table: Table, way: Way) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends them
    torch.set_num_threads(1)
    _here.update(table=table, way=way)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process soon after its parent, which may be killed without a word."""
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    os._exit(1)


def _run(task: tuple[str, int]) -> Trace:
    name, seed = task
    return run_once(_here["table"], rival(name), seed, _here["way"])


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference, with the 95 % interval of its mean (Student's t over seeds)."""

    mean: float
    low: float
    high: float


def paired(ones: Sequence[float], others: Sequence[float]) -> Difference:
    """Return the mean of `ones` minus `others`, pair by pair; the interval is empty of meaning below two pairs."""
    gaps = np.array(ones) - np.array(others)
    mean = float(gaps.mean())
    if len(gaps) < 2:
        return Difference(mean, float("-inf"), float("inf"))
    half = float(student.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps)))
    return Difference(mean, mean - half, mean + half)


def as_json(spec: str, comparison: Comparison) -> dict[str, Any]:  # Any: JSON
    """Return everything that was read, as plain JSON."""
    return {
        "spec": spec,
        "true_hypervolume": comparison.judge.hypervolume,
        "results": [asdict(reading) for search in comparison.searches for reading in search.readings],
        "searches": [
            {
                "sampler": search.sampler,
                "seed": search.seed,
                "trained": len(search.trace.rows),
                "measured": search.trace.measured,
                "seconds_per_proposal": search.trace.proposal_s,
                "virtual_duration": search.trace.duration,
                "ended": search.trace.ended,
            }
            for search in comparison.searches
        ],
    }
