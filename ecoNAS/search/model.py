"""A surrogate of one quantity: scaled targets, hyperparameters that are found seldom, a bounded number of data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ecoNAS.search.surrogate import GaussianProcess, Inputs

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Change = Callable[[Inputs], Floats]

EVERY_UNTIL: Final = 20  # hyperparameters are found anew after each observation up to this many
GROWTH: Final = 1.1  # then whenever the data have grown by this factor
MAX_FIT: Final = 150  # observations that hyperparameters are found from
MAX_DATA: Final = 700  # observations that predictions are made from
WARP_REACH: Final = 2.0
WARP_SLOPE: Final = 0.1


@dataclass(slots=True)
class Model:
    """A surrogate of one quantity; its hyperparameters are found from the first observations alone, in stages.

    They follow from those observations as they are now, so that a resumed search finds the same ones.

    Attributes:
        groups: The decision that each feature stands for.
        evidence: Logarithm of the probability density of what predictions are made from, but for a constant.
    """

    groups: Sequence[str]
    evidence: float = 0.0
    _logs: tuple[bytes, Floats] = (b"", np.empty(0))
    _process: GaussianProcess | None = None
    _centre: float = 0.0
    _spread: float = 1.0

    def fit(
        self,
        inputs: Inputs,
        targets: Floats,
        kept: Places,
        errors: Floats,
        first: tuple[Floats, Floats] | None = None,
    ) -> Floats:
        """Take in observations; return what they are expected to be without their errors, (observations,).

        Args:
            inputs: In the order in which they were made.
            targets: (observations,).
            kept: Those that predictions are made from; see `latest`.
            errors: (observations,), standard errors of the targets.
            first: Targets and errors of the first `stage(observations)` of them, where their scale follows from those
                alone; None for the same.
        """
        self._centre, self._spread = float(targets.mean()), float(targets.std()) or 1.0
        scaled = (targets - self._centre) / self._spread
        noise = (errors / self._spread) ** 2
        process, size = GaussianProcess(self.groups, inputs.numbers.shape[1]), stage(len(targets))
        early, early_errors = first if first is not None else (targets[:size], errors[:size])
        chosen = np.unique(np.linspace(0, size - 1, min(size, MAX_FIT)).round().astype(np.int64))
        spread = float(early.std()) or 1.0
        few, centred = inputs.take(chosen), ((early - early.mean()) / spread)[chosen]
        variances = (early_errors[chosen] / spread) ** 2
        rows = b"".join(part.tobytes() for part in (few.decisions, few.numbers, centred, variances))
        if self._logs[0] != rows:
            self._logs = rows, process.optimise(few, centred, variances)
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

    def doubt_left(self, inputs: Inputs, believed: Inputs) -> Floats:
        """Return the share of the deviations, (candidates,), that is left once `believed` come out as predicted."""
        assert self._process is not None
        return self._process.doubt_left(inputs, believed)


class Scale(Protocol):
    """A monotone change of a quantity before it is modelled."""

    def __call__(self, values: Floats) -> Floats:
        """Return values on the scale."""
        ...

    def slopes(self, values: Floats) -> Floats:
        """Return by how much the scale stretches each value."""
        ...


@dataclass(frozen=True, slots=True)
class Warp:
    """Squeezes values that are far worse than the median, so that failures do not drown what tells good ones apart.

    Without an end it leaves everything as it is.
    """

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


@dataclass(frozen=True, slots=True)
class Logarithm:
    """The logarithm of what is positive, with the sign that makes less better."""

    sign: float

    def __call__(self, values: Floats) -> Floats:
        """Return signed logarithms; the order stays."""
        return np.asarray(self.sign * np.log(self.sign * values))

    def slopes(self, values: Floats) -> Floats:
        """Return one over each value."""
        return np.asarray(1.0 / np.abs(values))

    def back(self, mean: Floats, deviation: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation in the values' own unit, to first order."""
        values = self.sign * np.exp(self.sign * mean)
        return values, np.abs(values) * deviation


Scales = Callable[[Floats], Sequence[Scale]]


@dataclass(slots=True)
class ScaledModel:
    """A surrogate of one quantity on that of some scales under which the data are most probable.

    Where most of what can be chosen is useless (networks that do not learn), a warp tells good candidates apart; where
    bad ones are as regular as good ones, it would hide that. What grows by factors is regular on a logarithmic scale.
    """

    groups: Sequence[str]
    scale: Scale = field(default=Warp())
    _models: dict[int, Model] = field(default_factory=dict)
    _chosen: Model | None = None

    def fit(self, inputs: Inputs, targets: Floats, kept: Places, errors: Floats, scales: Scales) -> Floats:
        """Take in observations; return what they are expected to be without their errors, scaled; see `Model`.

        Args:
            inputs: In the order in which they were made.
            targets: (observations,).
            kept: Those that predictions are made from.
            errors: (observations,), standard errors of the targets.
            scales: Returns those to choose from for some targets, in the same order each time.
        """
        best, result = -np.inf, targets
        early, early_errors = targets[: stage(len(targets))], errors[: stage(len(targets))]
        for place, (scale, early_scale) in enumerate(zip(scales(targets), scales(early), strict=False)):
            model, slopes = self._models.setdefault(place, Model(self.groups)), scale.slopes(targets)
            first = early_scale(early), early_errors * early_scale.slopes(early)
            settled = model.fit(inputs, scale(targets), kept, errors * slopes, first)
            evidence = model.evidence + float(np.log(slopes[kept]).sum())  # densities in the same unit
            if evidence > best:
                best, result, self._chosen, self.scale = evidence, settled, model, scale
        return result

    def predict(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """Return mean and standard deviation, (candidates,) each, scaled."""
        assert self._chosen is not None
        return self._chosen.predict(inputs)

    def change_from(self, mean: Floats) -> Change:
        """Return a function from other inputs of some candidates to how far their means are from `mean` then."""
        return lambda others: self.predict(others)[0] - mean

    def doubt_left(self, inputs: Inputs, believed: Inputs) -> Floats:
        """Return the share of the deviations, (candidates,), that is left once `believed` come out as predicted."""
        assert self._chosen is not None
        return self._chosen.doubt_left(inputs, believed)


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
