"""A surrogate of one quantity: scaled targets, hyperparameters that are found seldom, a bounded number of data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecoNAS.search.surrogate import GaussianProcess, Inputs

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

EVERY_UNTIL: Final = 20  # hyperparameters are found anew after each observation up to this many
GROWTH: Final = 1.1  # then whenever the data have grown by this factor
MAX_FIT: Final = 300  # observations that hyperparameters are found from
MAX_DATA: Final = 700  # observations that predictions are made from
WARP_REACH: Final = 2.0
WARP_SLOPE: Final = 0.1


@dataclass(slots=True)
class Model:
    """A surrogate of one quantity; its hyperparameters are found from the first observations alone, in stages.

    Attributes:
        groups: The decision that each feature stands for.
        evidence: Logarithm of the probability density of what predictions are made from, but for a constant.
    """

    groups: Sequence[str]
    evidence: float = 0.0
    _logs: tuple[int, Floats] = (0, np.empty(0))
    _process: GaussianProcess | None = None
    _centre: float = 0.0
    _spread: float = 1.0

    def fit(self, inputs: Inputs, targets: Floats, kept: Places, errors: Floats) -> Floats:
        """Take in observations; return what they are expected to be without their errors, (observations,).

        Args:
            inputs: In the order in which they were made.
            targets: (observations,).
            kept: Those that predictions are made from; see `latest`.
            errors: (observations,), standard errors of the targets.
        """
        self._centre, self._spread = float(targets.mean()), float(targets.std()) or 1.0
        scaled = (targets - self._centre) / self._spread
        noise = (errors / self._spread) ** 2
        process, size = GaussianProcess(self.groups, inputs.numbers.shape[1]), stage(len(targets))
        if self._logs[0] != size:
            chosen = np.unique(np.linspace(0, size - 1, min(size, MAX_FIT)).round().astype(np.int64))
            first = scaled[:size]
            spread = first.std() or 1.0
            centred = (first - first.mean()) / spread
            self._logs = size, process.optimise(inputs.take(chosen), centred[chosen], noise[chosen] / spread**2)
        self._process = process.fit(inputs.take(kept), scaled[kept], self._logs[1], noise[kept])
        self.evidence = process.evidence - len(kept) * np.log(self._spread)
        settled = targets.copy()
        settled[kept] = process.settled * self._spread + self._centre
        return settled

    def predict(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """Return mean and standard deviation, (candidates,) each."""
        assert self._process is not None
        mean, deviation = self._process.predict(inputs)
        return mean * self._spread + self._centre, deviation * self._spread

    def doubt_beside(self, inputs: Inputs, believed: Inputs) -> Floats:
        """Return the standard deviations, (candidates,), that are left once `believed` come out as predicted."""
        assert self._process is not None
        return self._process.doubt_beside(inputs, believed) * self._spread


@dataclass(frozen=True, slots=True)
class Warp:
    """Squeezes values that are far worse than the median, so that failures do not drown what tells good ones apart."""

    end: float = np.inf

    @classmethod
    def of(cls, values: Floats) -> "Warp":
        """Return the warp that fits values, less being better."""
        middle = float(np.median(values))
        return cls(middle + WARP_REACH * (middle - float(values.min())))

    def __call__(self, values: Floats) -> Floats:
        """Return warped values; the order stays."""
        return values if np.isinf(self.end) else np.minimum(values, self.end) + WARP_SLOPE * self._beyond(values)

    def slopes(self, values: Floats) -> Floats:
        """Return by how much each value is squeezed: 1 for not at all."""
        return np.where(self._beyond(values) > 0, WARP_SLOPE, 1.0)

    def _beyond(self, values: Floats) -> Floats:
        return np.maximum(values - self.end, 0.0)


@dataclass(slots=True)
class WarpedModel:
    """Two surrogates of one quantity, warped and as it is: that one counts under which the data are more probable.

    Where most of what can be chosen is useless (networks that do not learn), the warp tells good candidates apart;
    where bad ones are as regular as good ones, it would hide that.
    """

    groups: Sequence[str]
    warp: Warp = field(default=Warp())
    _models: tuple[Model, ...] = ()
    _chosen: int = 0

    def fit(self, inputs: Inputs, targets: Floats, kept: Places, errors: Floats) -> Floats:
        """Take in observations; return what they are expected to be without their errors, warped; see `Model`."""
        self._models = self._models or (Model(self.groups), Model(self.groups))
        settled, evidence, warps = [], [], (Warp(), Warp.of(targets))
        for model, warp in zip(self._models, warps, strict=True):
            slopes = warp.slopes(targets)
            settled.append(model.fit(inputs, warp(targets), kept, errors * slopes))
            evidence.append(model.evidence + float(np.log(slopes[kept]).sum()))  # densities, in the same unit
        self._chosen = int(np.argmax(evidence))
        self.warp = warps[self._chosen]
        return settled[self._chosen]

    def predict(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """Return mean and standard deviation, (candidates,) each, warped."""
        return self._models[self._chosen].predict(inputs)

    def doubt_beside(self, inputs: Inputs, believed: Inputs) -> Floats:
        """Return the standard deviations, (candidates,), that are left once `believed` come out as predicted."""
        return self._models[self._chosen].doubt_beside(inputs, believed)


def stage(size: int) -> int:
    """Return how many of `size` observations hyperparameters are found from: steps, so that they are found seldom."""
    if size <= EVERY_UNTIL:
        return size
    step = EVERY_UNTIL
    while int(np.ceil(step * GROWTH)) <= size:
        step = int(np.ceil(step * GROWTH))
    return step


def latest(size: int, important: Sequence[int] | Places = ()) -> Places:
    """Return the places of the last of `size` observations that a prediction is made from, and the important ones.

    What was observed last lies where the search is now, and the front's members are what is to be beaten.
    """
    first = max(0, size - MAX_DATA)
    kept: Places = np.union1d(np.asarray(important, dtype=np.int64), np.arange(first, size, dtype=np.int64))
    return kept[-2 * MAX_DATA :]
