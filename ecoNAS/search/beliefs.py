"""What the cost-aware sampler believes of untrained candidates: their costs, and what a training would show.

Exact objectives are read, measured ones too; measurable ones that were not measured are predicted, on a logarithmic
scale, from exact numbers and decisions. What needs a training is predicted from those and from the measurable ones.
Everything is minimised here. Which candidate follows from it is decided by `cost_aware`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from ecoNAS.evaluation.objectives import Known as HowKnown
from ecoNAS.pareto import Direction
from ecoNAS.search.model import Model, Warp, latest
from ecoNAS.search.pool import Candidates, Known
from ecoNAS.search.surrogate import Inputs

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

ALIKE: Final = 0.9999  # numbers that correlate more say the same
CERTAIN: Final = 1e-9  # standard deviation of what is known, as a share of the values


@dataclass(frozen=True, slots=True)
class Target:
    """One objective as the sampler sees it.

    Attributes:
        bound: The worst value that is allowed, in the objective's unit; None for any.
    """

    name: str
    direction: Direction
    known: HowKnown
    bound: float | None = None

    @property
    def sign(self) -> float:
        """1 where less is better, -1 where more is."""
        return 1.0 if self.direction == "minimize" else -1.0


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
class Observed:
    """Candidates that were trained.

    Attributes:
        values: (candidates, objectives), minimised; NaN where a candidate was refused before it was known.
        members: Places of the front's members.
    """

    candidates: Candidates
    values: Floats
    members: Places


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is believed of candidates.

    Attributes:
        values: (candidates, objectives), minimised: known or expected; the uncertain objective's are warped.
        doubts: (candidates, objectives), standard deviations.
        feasible: (candidates,), the probability that no bound breaks which only training or measuring shows.
        inputs: What the surrogates of trained objectives take.
    """

    values: Floats
    doubts: Floats
    feasible: Floats
    inputs: Inputs

    def __len__(self) -> int:
        return len(self.values)

    def take(self, places: Places) -> "Outlook":
        """Return what is believed of some of them."""
        return Outlook(self.values[places], self.doubts[places], self.feasible[places], self.inputs.take(places))


@dataclass(slots=True)
class Beliefs:
    """Predictions of one study.

    Attributes:
        targets: The objectives.
        groups: The decision that each feature stands for.
        numbers: How exact numbers are read.
        measured: What was measured, by digest.
    """

    targets: tuple[Target, ...]
    groups: Sequence[str]
    numbers: Numbers
    measured: dict[str, tuple[Known, Mapping[str, float]]] = field(default_factory=dict)
    _models: dict[str, Model] = field(default_factory=dict)
    _scales: dict[str, tuple[float, float]] = field(default_factory=dict)
    _broken: tuple[str, ...] = ()
    _warp: Warp = field(default=Warp(np.inf))

    @property
    def uncertain(self) -> int:
        """The place of the objective whose whole distribution counts: the first that is known only late."""
        ways: tuple[HowKnown, ...] = ("after_training", "measurable", "exact")
        return min(range(len(self.targets)), key=lambda place: (ways.index(self.targets[place].known), place))

    def note(self, known: Known, found: Mapping[str, float]) -> None:
        """Take in what was measured of a candidate; what was measured first stays."""
        names = [target.name for target in self.targets if target.known == "measurable"]
        self.measured.setdefault(known.digest, (known, {name: found[name] for name in names}))

    def learn(self, observed: Observed, violations: Mapping[str, Floats]) -> None:
        """Fit all models to everything that is known.

        Args:
            observed: Trained candidates.
            violations: Of bounds that are known late, by text, (observed,): above 0 is broken, NaN is not known.
        """
        self._learn_costs()
        inputs = self._inputs(observed.candidates, 0.0)
        for place, target in enumerate(self.targets):
            if target.known != "after_training":
                continue
            told = np.flatnonzero(~np.isnan(observed.values[:, place]))
            values = observed.values[told, place]
            if place == self.uncertain:
                self._warp = Warp.of(values)
                values = self._warp(values)
            important = np.searchsorted(told, observed.members)
            self._model(target.name).fit(inputs.take(told), values, latest(len(told), important))
        self._broken = tuple(text for text, column in violations.items() if np.nanmax(column) > 0)
        for text in self._broken:
            told = np.flatnonzero(~np.isnan(violations[text]))
            self._model(text).fit(inputs.take(told), violations[text][told], latest(len(told)))

    def warp(self, values: Floats) -> Floats:
        """Return values of the uncertain objective on the scale of its model."""
        return self._warp(values)

    def look(self, candidates: Candidates, optimism: float) -> Outlook:
        """Return what is believed of candidates.

        Args:
            candidates: Any.
            optimism: Standard deviations below the prediction at which unmeasured costs are taken.
        """
        costs, doubts = self._costs(candidates, optimism)
        inputs = self._inputs(candidates, optimism, costs)
        for place, target in enumerate(self.targets):
            if target.known == "after_training":
                costs[:, place], doubts[:, place] = self._model(target.name).predict(inputs)
        feasible = np.ones(len(candidates))
        for text in self._broken:
            mean, deviation = self._model(text).predict(inputs)
            feasible *= norm.cdf(-mean / deviation)
        return Outlook(costs, doubts, feasible, inputs)

    def doubt_beside(self, outlook: Outlook, believed: Outlook) -> Outlook:
        """Return the outlook that is left once the believed come out as predicted."""
        doubts = outlook.doubts.copy()
        for place, target in enumerate(self.targets):
            if target.known == "after_training":
                doubts[:, place] = self._model(target.name).doubt_beside(outlook.inputs, believed.inputs)
        return Outlook(outlook.values, doubts, outlook.feasible, outlook.inputs)

    def _learn_costs(self) -> None:
        seen = [known for known, _ in self.measured.values()]
        for target in self.targets:
            if target.known == "measurable":
                logs = _logs([found[target.name] for _, found in self.measured.values()])
                self._scales[target.name] = float(logs.mean()), float(logs.std()) or 1.0
                inputs = self._exact_inputs(Candidates.of(seen))
                self._model(target.name).fit(inputs, logs, latest(len(logs)))

    def _costs(self, candidates: Candidates, optimism: float) -> tuple[Floats, Floats]:
        """Return values and doubts, (candidates, objectives) each, minimised; zeros where a training is needed."""
        values = np.zeros((len(candidates), len(self.targets)))
        doubts = np.zeros_like(values)
        for place, target in enumerate(self.targets):
            if target.known == "exact":
                values[:, place] = target.sign * candidates.exact[target.name]
            elif target.known == "measurable":
                values[:, place], doubts[:, place] = self._expected(target, candidates, optimism)
        return values, doubts

    def _expected(self, target: Target, candidates: Candidates, optimism: float) -> tuple[Floats, Floats]:
        mean, deviation = self._model(target.name).predict(self._exact_inputs(candidates))
        values = np.exp(mean - target.sign * optimism * deviation)
        doubts = np.zeros(len(values)) if optimism else values * deviation  # to first order
        for place, known in enumerate(candidates.known):
            found = self.measured.get(known.digest)
            if found is not None:
                values[place], doubts[place] = found[1][target.name], 0.0
        return target.sign * values, doubts

    def _exact_inputs(self, candidates: Candidates) -> Inputs:
        return Inputs(candidates.features, self.numbers.read(candidates))

    def _inputs(self, candidates: Candidates, optimism: float, costs: Floats | None = None) -> Inputs:
        """Return inputs with the measurable objectives among the numbers, scaled by what was measured."""
        known = self._costs(candidates, optimism)[0] if costs is None else costs
        columns = [self.numbers.read(candidates)]
        for place, target in enumerate(self.targets):
            if target.known == "measurable":
                mean, deviation = self._scales[target.name]
                columns.append((np.log(target.sign * known[:, [place]]) - mean) / deviation)
        return Inputs(candidates.features, np.concatenate(columns, axis=1))

    def _model(self, name: str) -> Model:
        return self._models.setdefault(name, Model(self.groups))


def _logs(values: object) -> Floats:
    """Return logarithms; counts of 0 (a network without parameters) stay finite."""
    return np.asarray(np.log(np.maximum(np.asarray(values, dtype=np.float64), 1e-12)))
