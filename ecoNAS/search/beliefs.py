"""What the cost-aware sampler believes of untrained candidates: their costs, and what a training would show.

Exact objectives are read, measured ones too; measurable ones that were not measured are predicted, on a logarithmic
scale, from exact numbers and decisions. What needs a training is predicted from those and from the measurable ones.
Everything is minimised here. Which candidate follows from it is decided by `cost_aware`.
"""

from collections import defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from ecoNAS.evaluation.objectives import Known as HowKnown
from ecoNAS.pareto import Direction
from ecoNAS.search.model import Logarithm, Model, Scale, ScaledModel, Warp, latest
from ecoNAS.search.pool import Candidates, Known
from ecoNAS.search.surrogate import Inputs

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

NUM_MEASURED: Final = 8  # candidates measured for one that is trained, where measuring is cheap
SHARE_WORTH: Final = 0.1  # of a training, that measuring before it may cost
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
class Measuring:
    """What can be measured of a candidate before it is trained, beyond what the study measures itself.

    Attributes:
        names: Of measurable objectives, or of proxies: numbers that only help to predict.
        run: Returns them by name, for each of some candidates; without those that could not be had.
        cost: Tells what measuring one candidate costs, in full trainings; infinite where nobody knows yet.
        most: How many candidates may be measured for one that is trained.
    """

    names: tuple[str, ...]
    run: Callable[[Sequence[Any]], Sequence[Mapping[str, float]]]  # Any: whatever the space holds
    cost: Callable[[], float] = lambda: 0.0
    most: int = NUM_MEASURED

    @property
    def num_worth(self) -> int:
        """How many candidates are worth measuring for one that is trained: as many as cost little beside it."""
        cost = self.cost()
        return min(self.most, int(SHARE_WORTH / cost)) if cost > 0 else self.most


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
        errors: (candidates, objectives), standard errors of the values.
        members: Places of the front's members.
    """

    candidates: Candidates
    values: Floats
    errors: Floats
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
        proxies: Measured numbers that are no objectives.
        measured: What was measured, by digest.
    """

    targets: tuple[Target, ...]
    groups: Sequence[str]
    numbers: Numbers
    proxies: tuple[str, ...] = ()
    measured: dict[str, tuple[Known, dict[str, float]]] = field(default_factory=dict)
    _models: dict[str, Model] = field(default_factory=dict)
    _late: defaultdict[int, ScaledModel] = field(init=False)
    _scales: dict[str, tuple[float, float]] = field(default_factory=dict)
    _broken: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Prepare a model of each objective that needs a training."""
        self._late = defaultdict(lambda: ScaledModel(self.groups))

    @property
    def uncertain(self) -> int:
        """The place of the objective whose whole distribution counts: the first that is known only late."""
        ways: tuple[HowKnown, ...] = ("after_training", "measurable", "exact")
        return min(range(len(self.targets)), key=lambda place: (ways.index(self.targets[place].known), place))

    def note(self, known: Known, found: Mapping[str, float]) -> None:
        """Take in what was measured of a candidate; what was measured first stays."""
        _, kept = self.measured.setdefault(known.digest, (known, {}))
        for name in self._measurable:
            if name in found:
                kept.setdefault(name, found[name])

    def measure(self, candidates: Sequence[Known], measuring: Measuring) -> None:
        """Measure candidates and take in what was found."""
        found = measuring.run([known.candidate for known in candidates]) if candidates else ()
        for known, values in zip(candidates, found, strict=True):
            self.note(known, values)

    def lacks(self, known: Known, names: Sequence[str]) -> bool:
        """Return whether something of a candidate was not measured yet."""
        _, found = self.measured.get(known.digest, (known, {}))
        return any(name not in found for name in names)

    def forget_proxies(self, but: Container[str]) -> None:
        """Forget the proxies of all candidates but some, so that a resumed search knows as much as one that was not."""
        for digest, (_, found) in self.measured.items():
            if digest not in but:
                for name in self.proxies:
                    found.pop(name, None)

    def learn(self, observed: Observed, violations: Mapping[str, Floats]) -> Floats:
        """Fit all models to everything that is known.

        Args:
            observed: Trained candidates.
            violations: Of bounds that are known late, by text, (observed,): above 0 is broken, NaN is not known.

        Returns:
            (observed, objectives), minimised, the uncertain one warped: what the values are expected to be without
            their errors, so that luck does not count.
        """
        self._learn_costs()
        inputs, settled = self._inputs(observed.candidates, 0.0), observed.values.copy()
        for place, target in enumerate(self.targets):
            if target.known == "after_training":
                told = np.flatnonzero(~np.isnan(observed.values[:, place]))
                kept = latest(len(told), np.searchsorted(told, observed.members))
                values, errors = observed.values[told, place], observed.errors[told, place]
                scales = self._scales_for(place, values)
                settled[told, place] = self._late[place].fit(inputs.take(told), values, kept, errors, scales)
                settled[:, place], _ = self._unscaled(place, settled[:, place], settled[:, place])
        self._broken = tuple(text for text, column in violations.items() if np.nanmax(column) > 0)
        for text in self._broken:
            told = np.flatnonzero(~np.isnan(violations[text]))
            self._model(text).fit(inputs.take(told), violations[text][told], latest(len(told)), np.zeros(len(told)))
        return settled

    @property
    def _measurable(self) -> dict[str, bool]:
        """Names of what can be measured, and whether its logarithm is modelled: proxies are taken as they are."""
        names = [target.name for target in self.targets if target.known == "measurable"]
        return {**dict.fromkeys(names, True), **dict.fromkeys(self.proxies, False)}

    def warp(self, values: Floats) -> Floats:
        """Return values of the uncertain objective on the scale of its model."""
        return self._late[self.uncertain].scale(values) if self.uncertain in self._late else values

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
                costs[:, place], doubts[:, place] = self._unscaled(place, *self._late[place].predict(inputs))
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
                doubts[:, place] *= self._late[place].doubt_left(outlook.inputs, believed.inputs)
        return Outlook(outlook.values, doubts, outlook.feasible, outlook.inputs)

    def _learn_costs(self) -> None:
        for name, is_log in self._measurable.items():
            seen = [(known, found[name]) for known, found in self.measured.values() if name in found]
            values = np.array([value for _, value in seen])
            values = _logs(values) if is_log else values
            self._scales[name] = float(values.mean()), float(values.std()) or 1.0
            inputs = self._exact_inputs(Candidates.of([known for known, _ in seen]))
            self._model(name).fit(inputs, values, latest(len(values)), np.zeros(len(values)))

    def _costs(self, candidates: Candidates, optimism: float) -> tuple[Floats, Floats]:
        """Return values and doubts, (candidates, objectives) each, minimised; zeros where a training is needed."""
        values = np.zeros((len(candidates), len(self.targets)))
        doubts = np.zeros_like(values)
        for place, target in enumerate(self.targets):
            if target.known == "exact":
                values[:, place] = target.sign * candidates.exact[target.name]
            elif target.known == "measurable":
                mean, deviation = self._expected(target.name, candidates)
                expected = np.exp(mean - target.sign * optimism * deviation)
                values[:, place] = target.sign * expected
                doubts[:, place] = 0.0 if optimism else expected * deviation  # to first order
        return values, doubts

    def _expected(self, name: str, candidates: Candidates) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of something measurable, on the scale of its model; 0 where measured."""
        mean, deviation = self._model(name).predict(self._exact_inputs(candidates))
        for place, known in enumerate(candidates.known):
            found = self.measured.get(known.digest)
            if found is not None and name in found[1]:
                mean[place] = _logs(found[1][name]) if self._measurable[name] else found[1][name]
                deviation[place] = 0.0
        return mean, deviation

    def _exact_inputs(self, candidates: Candidates) -> Inputs:
        return Inputs(candidates.features, self.numbers.read(candidates))

    def _inputs(self, candidates: Candidates, optimism: float, costs: Floats | None = None) -> Inputs:
        """Return inputs with what is measurable among the numbers, scaled by what was measured."""
        known = self._costs(candidates, optimism)[0] if costs is None else costs
        logs = {
            target.name: np.log(target.sign * known[:, place])
            for place, target in enumerate(self.targets)
            if target.known == "measurable"
        }
        columns = [self.numbers.read(candidates)]
        for name in self._measurable:
            column = logs[name] if name in logs else self._expected(name, candidates)[0]
            mean, deviation = self._scales[name]
            columns.append(((column - mean) / deviation)[:, None])
        return Inputs(candidates.features, np.concatenate(columns, axis=1))

    def _scales_for(self, place: int, values: Floats) -> tuple[Scale, ...]:
        """Return the scales of an objective that needs a training; those of the uncertain one keep its distances."""
        sign = self.targets[place].sign
        if place == self.uncertain:
            return Warp(), Warp.of(values)
        return (Warp(), Logarithm(sign)) if np.all(sign * values > 0) else (Warp(),)

    def _unscaled(self, place: int, mean: Floats, deviation: Floats) -> tuple[Floats, Floats]:
        """Return predictions in the objective's own unit, but for the uncertain one."""
        scale = self._late[place].scale
        return scale.back(mean, deviation) if isinstance(scale, Logarithm) else (mean, deviation)

    def _model(self, name: str) -> Model:
        return self._models.setdefault(name, Model(self.groups))


def _logs(values: object) -> Floats:
    """Return logarithms; counts of 0 (a network without parameters) stay finite."""
    return np.asarray(np.log(np.maximum(np.asarray(values, dtype=np.float64), 1e-12)))
