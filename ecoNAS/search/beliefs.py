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

from ecoNAS.evaluation.objectives import Known as HowKnown
from ecoNAS.pareto import Direction
from ecoNAS.search.pool import Known
from ecoNAS.search.surrogate import GaussianProcess, Inputs

Floats = NDArray[np.float64]

EVERY_UNTIL: Final = 20  # hyperparameters are found anew after each observation up to this many
GROWTH: Final = 1.1  # then whenever the data have grown by this factor
MAX_FIT: Final = 300  # observations that hyperparameters are found from
WARP_REACH: Final = 2.0
WARP_SLOPE: Final = 0.1
ALIKE: Final = 0.9999  # numbers that correlate more say the same


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

    def read(self, candidates: Sequence[Known]) -> Floats:
        """Return (candidates, numbers)."""
        rows = [[known.exact[name] for name in self.names] for known in candidates]
        logs = _logs(rows).reshape(len(candidates), len(self.names))
        return np.asarray((logs - self.means) / self.deviations)


@dataclass(slots=True)
class _Model:
    """A surrogate of one objective; its hyperparameters are found from the first observations alone, in stages."""

    groups: Sequence[str]
    _logs: tuple[int, Floats] = (0, np.empty(0))
    _process: GaussianProcess | None = None
    _centre: float = 0.0
    _spread: float = 1.0

    def fit(self, inputs: Inputs, targets: Floats, num_believed: int = 0) -> None:
        """Take in observations; the last `num_believed` of them are predictions."""
        told = len(targets) - num_believed
        self._centre, self._spread = float(targets[:told].mean()), float(targets[:told].std()) or 1.0
        scaled = (targets - self._centre) / self._spread
        process, size = GaussianProcess(self.groups, inputs.numbers.shape[1]), stage(told)
        if self._logs[0] != size:
            chosen = np.unique(np.linspace(0, size - 1, min(size, MAX_FIT)).round().astype(np.int64))
            first = scaled[:size]
            centred = (first - first.mean()) / (first.std() or 1.0)
            self._logs = size, process.optimise(inputs.take(chosen), centred[chosen])
        self._process = process.fit(inputs, scaled, self._logs[1])

    def predict(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """Return mean and standard deviation, (candidates,) each."""
        assert self._process is not None
        mean, deviation = self._process.predict(inputs)
        return mean * self._spread + self._centre, deviation * self._spread


@dataclass(frozen=True, slots=True)
class Warp:
    """Squeezes values that are far worse than the median, so that failures do not drown what tells good ones apart."""

    end: float

    @classmethod
    def of(cls, values: Floats) -> "Warp":
        """Return the warp that fits values, less being better."""
        middle = float(np.median(values))
        return cls(middle + WARP_REACH * (middle - float(values.min())))

    def __call__(self, values: Floats) -> Floats:
        """Return warped values; the order stays."""
        return np.asarray(np.where(values > self.end, self.end + WARP_SLOPE * (values - self.end), values))


@dataclass(slots=True)
class Beliefs:
    """Predictions of one study.

    Attributes:
        targets: The objectives.
        groups: The decision that each feature stands for.
        numbers: How exact numbers are read.
    """

    targets: tuple[Target, ...]
    groups: Sequence[str]
    numbers: Numbers
    measured: dict[str, tuple[Known, Mapping[str, float]]] = field(default_factory=dict)
    _models: dict[str, _Model] = field(default_factory=dict)
    _warp: Warp = field(default=Warp(0.0))

    @property
    def uncertain(self) -> int:
        """The place of the objective whose whole distribution counts: the first that is known only late."""
        ways: tuple[HowKnown, ...] = ("after_training", "measurable", "exact")
        return min(range(len(self.targets)), key=lambda place: (ways.index(self.targets[place].known), place))

    def note(self, known: Known, found: Mapping[str, float]) -> None:
        """Take in what was measured of a candidate; what was measured first stays."""
        names = [target.name for target in self.targets if target.known == "measurable"]
        self.measured.setdefault(known.candidate.digest, (known, {name: found[name] for name in names}))

    def learn_costs(self) -> None:
        """Fit the models of what is measurable to everything measured so far."""
        if len(self.measured) < 2:
            return
        seen = [known for known, _ in self.measured.values()]
        for target in self.targets:
            if target.known == "measurable":
                values = _logs([found[target.name] for _, found in self.measured.values()])
                self._model(target.name).fit(self._inputs(seen), values)

    def learn(self, observed: Sequence[Known], values: Floats, believed: Sequence[Known]) -> Floats:
        """Fit the models of what needs training; return the believed values of candidates that are under way.

        Args:
            observed: Trained candidates.
            values: (observed, targets), minimised.
            believed: Under way.

        Returns:
            (believed, targets), minimised.
        """
        late = [place for place, target in enumerate(self.targets) if target.known == "after_training"]
        found = np.zeros((len(believed), len(self.targets)))
        for place in late:
            model, told = self._model(self.targets[place].name), values[:, place]
            if place == self.uncertain:
                self._warp = Warp.of(told)
                told = self._warp(told)
            model.fit(self._full_inputs(observed, 0.0), told)
            if believed:
                means, _ = model.predict(self._full_inputs(believed, 0.0))
                found[:, place] = means
                both = self._full_inputs([*observed, *believed], 0.0)
                model.fit(both, np.concatenate([told, means]), num_believed=len(believed))
        if believed:
            for place, column in enumerate(self._costs(believed, 0.0).T):
                if self.targets[place].known != "after_training":
                    found[:, place] = column
        return found

    def warp(self, values: Floats) -> Floats:
        """Return values of the uncertain objective on the scale of its model."""
        is_late = self.targets[self.uncertain].known == "after_training"
        return self._warp(values) if is_late else values

    def known_values(self, candidates: Sequence[Known], optimism: float) -> Floats:
        """Return (candidates, targets), minimised: exact, measured or expected values.

        Args:
            candidates: Any.
            optimism: Standard deviations below the prediction at which unmeasured costs are taken.
        """
        values = self._costs(candidates, optimism)
        for place, target in enumerate(self.targets):
            if target.known == "after_training" and place != self.uncertain:
                values[:, place], _ = self._model(target.name).predict(self._full_inputs(candidates, optimism))
        return values

    def late(self, candidates: Sequence[Known], optimism: float) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the uncertain objective, warped."""
        target = self.targets[self.uncertain]
        if target.known == "after_training":
            return self._model(target.name).predict(self._full_inputs(candidates, optimism))
        values = self._costs(candidates, optimism)[:, self.uncertain]
        return values, np.full(len(values), 1e-9 * (np.abs(values).max() + 1.0))

    def _costs(self, candidates: Sequence[Known], optimism: float) -> Floats:
        """Return (candidates, targets), minimised; zeros where a training is needed."""
        values = np.zeros((len(candidates), len(self.targets)))
        for place, target in enumerate(self.targets):
            if target.known == "exact":
                values[:, place] = [target.sign * known.exact[target.name] for known in candidates]
            elif target.known == "measurable":
                values[:, place] = target.sign * self._expected(target, candidates, optimism)
        return values

    def _expected(self, target: Target, candidates: Sequence[Known], optimism: float) -> Floats:
        mean, deviation = self._model(target.name).predict(self._inputs(candidates))
        values = np.exp(mean - target.sign * optimism * deviation)
        for place, known in enumerate(candidates):
            found = self.measured.get(known.candidate.digest)
            if found is not None:
                values[place] = found[1][target.name]
        return np.asarray(values)

    def _inputs(self, candidates: Sequence[Known]) -> Inputs:
        return Inputs(np.stack([known.features for known in candidates]), self.numbers.read(candidates))

    def _full_inputs(self, candidates: Sequence[Known], optimism: float) -> Inputs:
        """Return inputs with the measurable objectives among the numbers, scaled by what was measured."""
        inputs = self._inputs(candidates)
        columns = [inputs.numbers]
        for target in self.targets:
            if target.known == "measurable":
                scale = _logs([found[target.name] for _, found in self.measured.values()])
                logs = np.log(self._expected(target, candidates, optimism))
                columns.append(((logs - scale.mean()) / (scale.std() or 1.0))[:, None])
        return Inputs(inputs.decisions, np.concatenate(columns, axis=1))

    def _model(self, name: str) -> _Model:
        return self._models.setdefault(name, _Model(self.groups))


def stage(size: int) -> int:
    """Return how many of `size` observations hyperparameters are found from: steps, so that they are found seldom."""
    if size <= EVERY_UNTIL:
        return size
    step = EVERY_UNTIL
    while int(np.ceil(step * GROWTH)) <= size:
        step = int(np.ceil(step * GROWTH))
    return step


def _logs(values: object) -> Floats:
    """Return logarithms; counts of 0 (a network without parameters) stay finite."""
    return np.asarray(np.log(np.maximum(np.asarray(values, dtype=np.float64), 1e-12)))
