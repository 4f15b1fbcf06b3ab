"""What the cost-aware sampler believes of untrained candidates: their costs, and what a training would show.

Exact objectives are read, measured ones too; measurable ones that were not measured are predicted, on a logarithmic
scale, from exact numbers and decisions. What needs a training is predicted from those and from the measurable ones.
Everything is minimised here. Which candidate follows from it is decided by `cost_aware`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from ecoNAS.evaluation.objectives import Known as HowKnown
from ecoNAS.pareto import Direction
from ecoNAS.search.gauges import Expected, Gauges, Kind, Numbers
from ecoNAS.search.model import WARP_SLOPE, Logarithm, Model, Scale, ScaledModel, Warp, latest
from ecoNAS.search.pool import Candidates
from ecoNAS.search.surrogate import Inputs

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


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
        gauges: The numbers that can be had before a full training.
    """

    targets: tuple[Target, ...]
    gauges: Gauges
    _late: defaultdict[int, ScaledModel] = field(init=False)
    _bounds: dict[str, Model] = field(default_factory=dict)
    _broken: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Prepare a model of each objective that needs a training."""
        self._late = defaultdict(lambda: ScaledModel(self.gauges.groups))

    @classmethod
    def of(
        cls, targets: tuple[Target, ...], groups: Sequence[str], numbers: Numbers, others: Mapping[str, Kind]
    ) -> "Beliefs":
        """Return beliefs that know nothing yet.

        Args:
            targets: The objectives.
            groups: The decision that each feature stands for.
            numbers: How exact numbers are read.
            others: Numbers beside measurable objectives, by name.
        """
        costs = {target.name: Kind("cost", target.sign) for target in targets if target.known == "measurable"}
        return cls(targets, Gauges(groups, numbers, {**costs, **others}))

    @property
    def uncertain(self) -> int:
        """The place of the objective whose whole distribution counts: the first that is known only late."""
        ways: tuple[HowKnown, ...] = ("after_training", "measurable", "exact")
        return min(range(len(self.targets)), key=lambda place: (ways.index(self.targets[place].known), place))

    def learn(self, observed: Observed, violations: Mapping[str, Floats]) -> Floats:
        """Fit all models to everything that is known.

        Args:
            observed: Trained candidates.
            violations: Of bounds that are known late, by text, (observed,): above 0 is broken, NaN is not known.

        Returns:
            (observed, objectives), minimised, the uncertain one warped: what the values are expected to be without
            their errors, so that luck does not count.
        """
        self.gauges.learn()
        expected = self.gauges.expected(observed.candidates)
        costs, _ = self._costs(observed.candidates, expected, 0.0)
        inputs, settled = self._inputs(observed.candidates, expected, costs), observed.values.copy()
        for place, target in enumerate(self.targets):
            if target.known == "after_training":
                told = np.flatnonzero(~np.isnan(observed.values[:, place]))
                kept = latest(len(told), np.searchsorted(told, observed.members))
                values, errors = observed.values[told, place], observed.errors[told, place]
                scales = partial(self._scales_for, place)
                settled[told, place] = self._late[place].fit(inputs.take(told), values, kept, errors, scales)
                settled[:, place], _ = self._unscaled(place, settled[:, place], settled[:, place])
        self._broken = tuple(text for text, column in violations.items() if np.nanmax(column) > 0)
        for text in self._broken:
            told = np.flatnonzero(~np.isnan(violations[text]))
            model = self._bounds.setdefault(text, Model(self.gauges.groups))
            model.fit(inputs.take(told), violations[text][told], latest(len(told)), np.zeros(len(told)))
        return settled

    def warp(self, values: Floats) -> Floats:
        """Return values of the uncertain objective on the scale of its model."""
        return self._late[self.uncertain].scale(values) if self.uncertain in self._late else values

    @property
    def bend(self) -> tuple[float, float]:
        """Where the scale of the uncertain objective is bent, and its slope beyond; infinite and 1 for nowhere."""
        scale = self._late[self.uncertain].scale if self.uncertain in self._late else None
        return (scale.end, WARP_SLOPE) if isinstance(scale, Warp) else (np.inf, 1.0)

    def look(self, candidates: Candidates, optimism: float) -> Outlook:
        """Return what is believed of candidates.

        Args:
            candidates: Any.
            optimism: Standard deviations below the prediction at which unmeasured costs are taken.
        """
        expected = self.gauges.expected(candidates)
        costs, doubts = self._costs(candidates, expected, optimism)
        inputs, rungs = self._inputs(candidates, expected, costs), self.gauges.of_rungs
        for place, target in enumerate(self.targets):
            if target.known == "after_training":
                mean, deviation = self._late[place].predict(inputs)
                doubt = self.gauges.doubt_from(rungs, expected, inputs, self._late[place].change_from(mean))
                deviation = np.hypot(deviation, doubt) if rungs else deviation
                costs[:, place], doubts[:, place] = self._unscaled(place, mean, deviation)
        feasible = np.ones(len(candidates))
        for text in self._broken:
            mean, deviation = self._bounds[text].predict(inputs)
            feasible *= norm.cdf(-mean / deviation)
        return Outlook(costs, doubts, feasible, inputs)

    def doubt_beside(self, outlook: Outlook, believed: Outlook) -> Outlook:
        """Return the outlook that is left once the believed come out as predicted."""
        doubts = outlook.doubts.copy()
        for place, target in enumerate(self.targets):
            if target.known == "after_training":
                doubts[:, place] *= self._late[place].doubt_left(outlook.inputs, believed.inputs)
        return Outlook(outlook.values, doubts, outlook.feasible, outlook.inputs)

    def _costs(self, candidates: Candidates, expected: Expected, optimism: float) -> tuple[Floats, Floats]:
        """Return values and doubts, (candidates, objectives) each, minimised; zeros where a training is needed."""
        values = np.zeros((len(candidates), len(self.targets)))
        doubts = np.zeros_like(values)
        for place, target in enumerate(self.targets):
            if target.known == "exact":
                values[:, place] = target.sign * candidates.exact[target.name]
            elif target.known == "measurable":
                mean, deviation = expected[target.name]
                hoped = np.exp(mean - target.sign * optimism * deviation)
                values[:, place] = target.sign * hoped
                doubts[:, place] = 0.0 if optimism else hoped * deviation  # to first order
        return values, doubts

    def _inputs(self, candidates: Candidates, expected: Expected, costs: Floats) -> Inputs:
        """Return inputs with what can be had before a training among the numbers: costs, proxies, then rungs."""
        scaled = {name: mean for name, (mean, _) in expected.items()}
        for place, target in enumerate(self.targets):
            if target.known == "measurable":
                scaled[target.name] = np.log(target.sign * costs[:, place])
        columns = [self.gauges.numbers.read(candidates)]
        columns += [self.gauges.standardised(name, column) for name, column in scaled.items()]
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
