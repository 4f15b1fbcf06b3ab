"""Numbers of candidates that can be had before a full training: measured costs, proxies, and what rungs show.

Each has a surrogate of its own, so that a candidate of which it was not measured has a prediction with a doubt. What a
rung shows is predicted from the rungs below it too. How the numbers tell what a training would show is decided by
`beliefs`.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ecoNAS.search.model import Change, Logarithm, Scale, ScaledModel, Warp, latest
from ecoNAS.search.pool import Candidates, Known
from ecoNAS.search.surrogate import Inputs

Floats = NDArray[np.float64]

NUM_MEASURED: Final = 8  # candidates measured for one that is trained, where measuring is cheap
SHARE_WORTH: Final = 0.1  # of a training, that measuring before it may cost
ALIKE: Final = 0.9999  # numbers that correlate more say the same
LEAST: Final = 1e-12  # in place of 0, where a logarithm is taken
NUM_STANDARD: Final = 20  # numbers, the first ones, that all are standardised by
NUM_KNOWN: Final = 2  # numbers from which the others can be predicted


@dataclass(frozen=True, slots=True)
class Measuring:
    """What can be measured of a candidate before it is trained, beyond what the study measures itself.

    Attributes:
        names: Of measurable objectives, or of proxies: numbers that only help to predict.
        run: Returns them by name, for each of some candidates; without those that could not be had.
        cost: Tells what measuring one candidate costs, in full trainings; infinite where nobody knows yet.
        most: How many candidates may be measured for one that is trained.
        before: Candidates that an earlier session measured, with what it found.
    """

    names: tuple[str, ...]
    run: Callable[[Sequence[Any]], Sequence[Mapping[str, float]]]  # Any: whatever the space holds
    cost: Callable[[], float] = lambda: 0.0
    most: int = NUM_MEASURED
    before: Sequence[tuple[Any, Mapping[str, float]]] = ()

    @property
    def num_worth(self) -> int:
        """How many candidates are worth measuring for one that is trained: as many as cost little beside it."""
        cost = self.cost()
        return min(self.most, int(SHARE_WORTH / cost)) if cost > 0 else self.most


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What trainings under other circumstances showed: another recipe, another seed.

    Attributes:
        objectives: The objective that each of the numbers is of, by the number's name.
        found: Candidates with their numbers by name.
    """

    objectives: Mapping[str, str]
    found: Sequence[tuple[Any, Mapping[str, float]]]  # Any: whatever the space holds


@dataclass(frozen=True, slots=True)
class Numbers:
    """The exact numbers of candidates as a surrogate takes them: logarithms, standardised, each kind once."""

    names: tuple[str, ...]
    means: Floats
    deviations: Floats

    @classmethod
    def of(cls, reference: Sequence[Known]) -> "Numbers":
        """Return the numbers that tell candidates of the reference apart."""
        kept: list[str] = []
        columns: list[Floats] = []
        for name in reference[0].exact if reference else ():
            column = _logs([known.exact[name] for known in reference])
            is_new = all(abs(np.corrcoef(column, other)[0, 1]) < ALIKE for other in columns)
            if column.std() > 0 and is_new:
                kept.append(name)
                columns.append(column)
        stacked = np.array(columns).reshape(len(kept), len(reference))
        return cls(tuple(kept), stacked.mean(axis=1), stacked.std(axis=1))

    def read(self, candidates: Candidates) -> Floats:
        """Return (candidates, numbers)."""
        if not self.names:
            return np.empty((len(candidates), 0))
        logs = _logs(np.stack([candidates.exact[name] for name in self.names], axis=1))
        return np.asarray((logs - self.means) / self.deviations)


@dataclass(frozen=True, slots=True)
class Kind:
    """What sort of number a gauge reads.

    Attributes:
        sort: `cost` grows by factors; `proxy` is taken as it is; `rung` may have to be squeezed at its bad end.
        sign: 1 where less is better, -1 where more is.
    """

    sort: Literal["cost", "proxy", "rung"]
    sign: float = 1.0

    def prepared(self, values: Floats) -> Floats:
        """Return values, minimised, that every scale of this sort takes."""
        return np.maximum(values, LEAST) if self.sort == "cost" else self.sign * values

    def scales(self, values: Floats) -> tuple[Scale, ...]:
        """Return the scales to choose from for prepared values."""
        if self.sort == "cost":
            return (Logarithm(1.0),)
        return (Warp(),) if self.sort == "proxy" else (Warp(), Warp.of(values))


@dataclass(slots=True)
class _Gauge:
    """One number: what was found of it, by digest, the surrogate that predicts it, and how it is standardised."""

    kind: Kind
    model: ScaledModel
    found: dict[str, tuple[Known, float]] = field(default_factory=dict)
    is_ready: bool = False
    mean: float = 0.0
    spread: float = 1.0


@dataclass(slots=True)
class Gauges:
    """All such numbers of one study.

    Attributes:
        groups: The decision that each feature stands for.
        numbers: How exact numbers are read.
        kinds: Of the numbers, by name; those of rungs from the first rung to the last.
    """

    groups: Sequence[str]
    numbers: Numbers
    kinds: Mapping[str, Kind]
    _gauges: dict[str, _Gauge] = field(init=False)

    def __post_init__(self) -> None:
        """Prepare a surrogate of each number."""
        self._gauges = {name: _Gauge(kind, ScaledModel(self.groups)) for name, kind in self.kinds.items()}

    def note(self, known: Known, found: Mapping[str, float]) -> None:
        """Take in what was measured of a candidate; what was measured first stays."""
        for name, gauge in self._gauges.items():
            if name in found and not np.isnan(found[name]):
                gauge.found.setdefault(known.digest, (known, found[name]))

    def measure(self, candidates: Sequence[Known], measuring: Measuring) -> None:
        """Measure candidates and take in what was found."""
        found = measuring.run([known.candidate for known in candidates]) if candidates else ()
        for known, values in zip(candidates, found, strict=True):
            self.note(known, values)

    def lacks(self, known: Known, names: Sequence[str]) -> bool:
        """Return whether something of a candidate was not measured yet."""
        return any(known.digest not in self._gauges[name].found for name in names)

    def forget_proxies(self, but: Container[str]) -> None:
        """Forget the proxies of all candidates but some, so that a resumed search knows as much as one that was not."""
        for gauge in self._gauges.values():
            if gauge.kind.sort == "proxy":
                gauge.found = {digest: value for digest, value in gauge.found.items() if digest in but}

    def learn(self) -> None:
        """Fit all surrogates to everything that is known."""
        for name, gauge in self._gauges.items():
            gauge.is_ready = len(gauge.found) >= NUM_KNOWN
            if not gauge.is_ready:
                continue
            values = gauge.kind.prepared(np.array([value for _, value in gauge.found.values()]))
            candidates = Candidates.of([known for known, _ in gauge.found.values()])
            inputs = self._inputs(name, candidates, self.expected(candidates, self._below(name)))
            gauge.model.fit(inputs, values, latest(len(values)), np.zeros(len(values)), gauge.kind.scales)
            scaled = gauge.model.scale(values[:NUM_STANDARD])
            gauge.mean, gauge.spread = float(scaled.mean()), float(scaled.std()) or 1.0

    def expected(self, candidates: Candidates, names: Sequence[str] | None = None) -> "Expected":
        """Return mean and standard deviation of numbers on the scales of their surrogates, by name.

        The deviation is 0 where a number was measured, and both are 0 where too little was measured to predict it.

        Args:
            candidates: Any.
            names: Of the numbers; None for all.
        """
        found: Expected = {}
        for name in self.kinds if names is None else names:
            found[name] = self._expected(name, candidates, found)
        return found

    def standardised(self, name: str, scaled: Floats) -> Floats:
        """Return a column for a surrogate from values on the scale of the number's own, (candidates, 1)."""
        gauge = self._gauges[name]
        return np.asarray(((scaled - gauge.mean) / gauge.spread)[:, None])

    def doubt_from(self, names: Sequence[str], expected: "Expected", inputs: Inputs, change: Change) -> Floats:
        """Return the standard deviation of a prediction that stems from doubts about its last inputs, to first order.

        Args:
            names: Of the numbers that are the last inputs, in their order.
            expected: Of these candidates.
            inputs: Of the prediction.
            change: Returns by how much the prediction's mean differs for other inputs.
        """
        total = np.zeros(len(inputs))
        for place, name in enumerate(names, start=-len(names)):
            doubt = expected[name][1] / self._gauges[name].spread
            if doubt.any():
                numbers = inputs.numbers.copy()
                numbers[:, place] += doubt
                total = np.hypot(total, change(Inputs(inputs.decisions, numbers)))
        return total

    @property
    def of_rungs(self) -> tuple[str, ...]:
        """The names of what rungs show."""
        return tuple(name for name, kind in self.kinds.items() if kind.sort == "rung")

    def _below(self, name: str) -> tuple[str, ...]:
        """Return the numbers of rungs that a number of a rung is predicted from."""
        rungs = self.of_rungs
        return rungs[: rungs.index(name)] if name in rungs else ()

    def _expected(self, name: str, candidates: Candidates, below: "Expected") -> tuple[Floats, Floats]:
        gauge = self._gauges[name]
        if not gauge.is_ready:
            return np.zeros(len(candidates)), np.zeros(len(candidates))
        inputs = self._inputs(name, candidates, below)
        mean, deviation = gauge.model.predict(inputs)
        if self._below(name):
            change = gauge.model.change_from(mean)
            deviation = np.hypot(deviation, self.doubt_from(self._below(name), below, inputs, change))
        for place, known in enumerate(candidates.known):
            if known.digest in gauge.found:
                mean[place] = gauge.model.scale(gauge.kind.prepared(np.array(gauge.found[known.digest][1])))
                deviation[place] = 0.0
        return mean, deviation

    def _inputs(self, name: str, candidates: Candidates, below: "Expected") -> Inputs:
        columns = [self.numbers.read(candidates)]
        columns += [self.standardised(lower, below[lower][0]) for lower in self._below(name)]
        return Inputs(candidates.features, np.concatenate(columns, axis=1))


Expected = dict[str, tuple[Floats, Floats]]


def _logs(values: object) -> Floats:
    """Return logarithms; counts of 0 (a network without parameters) stay finite."""
    return np.asarray(np.log(np.maximum(np.asarray(values, dtype=np.float64), LEAST)))
