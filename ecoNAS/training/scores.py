"""Scores beyond accuracy, from what a network says of each image: accuracy hides classes of few images.

A user's own stands beside them by its dotted path. Each of ours is a function of three counts a class: images read
right, images there, images named. Standard errors are those of the bootstrap over images (Efron, "Bootstrap methods:
another look at the jackknife", 1979).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ecoNAS.data.images import Ints
from ecoNAS.dotted_path import import_named
from ecoNAS.errors import ConfigError
from ecoNAS.records import Score

NUM_RESAMPLES: Final = 200

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Counts:
    """Images by class, (classes,) each."""

    right: Floats
    there: Floats
    named: Floats

    @classmethod
    def of(cls, predictions: Ints, labels: Ints, num_classes: int) -> "Counts":
        """Count."""
        right, there, named = (
            np.bincount(which, minlength=num_classes).astype(np.float64)
            for which in (labels[predictions == labels], labels, predictions)
        )
        return cls(right, there, named)

    @property
    def recalls(self) -> Floats:
        """The share of each class's images that is read right, of the classes that have any."""
        has_any = self.there > 0
        return np.asarray(self.right[has_any] / self.there[has_any])


def macro_f1(counts: Counts) -> float:
    """Return the mean over classes of the harmonic mean of precision and recall; classes that nothing is of are out."""
    both = counts.there + counts.named
    return float((2 * counts.right[both > 0] / both[both > 0]).mean())


def balanced_accuracy(counts: Counts) -> float:
    """Return the mean recall of the classes."""
    return float(counts.recalls.mean())


def worst_recall(counts: Counts) -> float:
    """Return the lowest recall of any class."""
    return float(counts.recalls.min())


@dataclass(frozen=True, slots=True)
class UserScore:
    """A user's own score: what a dotted path among the objectives may name.

    In `my_package/scores.py`, for `objectives: ["my_package.scores:expected_cost", macs]`:

        def cost(labels, predictions, probabilities):
            return float(COSTS[labels, predictions].mean())

        expected_cost = UserScore(cost, "minimize", "mean cost of a decision in euros")

    Attributes:
        function: Takes labels (N,), predicted classes (N,) and probabilities (N, classes) of one split; returns a
            number. It is called some two hundred times on images drawn anew, for the standard error.
        direction: "minimize" or "maximize".
        meaning: In a few words, for people.
    """

    function: Callable[[Ints, Ints, Floats], float]
    direction: Literal["minimize", "maximize"]
    meaning: str


def user_score(path: str) -> UserScore:
    """Import a user's own score.

    Raises:
        ConfigError: if nothing is there to import, or it is no `UserScore`.
    """
    found = import_named(path, "score", ConfigError)
    if not isinstance(found, UserScore):
        raise ConfigError(
            f"score '{path}' is a {type(found).__name__}; it must be an ecoNAS.training.scores.UserScore(function, "
            "direction, meaning)"
        )
    return found


SCORES: Final[dict[str, Callable[[Counts], float]]] = {
    "macro_f1": macro_f1,
    "balanced_accuracy": balanced_accuracy,
    "worst_recall": worst_recall,
}


def score_all(
    probabilities_nk: Floats,
    labels: Ints,
    split: Literal["train", "validation", "test"],
    users: Sequence[str] = (),
) -> dict[str, Score]:
    """Return every score of `SCORES` and the user's own by name, with standard errors.

    Args:
        probabilities_nk: Of each class, (N, K), N of one or more.
        labels: True classes (N,).
        split: Where the images come from.
        users: Dotted paths of the user's own.

    Raises:
        ConfigError: if a user's own cannot be had, or gives no finite number.
    """
    rng, (num_images, num_classes) = np.random.default_rng(0), probabilities_nk.shape
    predictions: Ints = probabilities_nk.argmax(axis=1)
    whole = Counts.of(predictions, labels, num_classes)
    drawn: list[Ints] = [np.asarray(rng.integers(num_images, size=(num_images,))) for _ in range(NUM_RESAMPLES)]
    resampled = [Counts.of(predictions[places], labels[places], num_classes) for places in drawn]

    def own(path: str, places: Ints) -> float:
        return _called(path, labels[places], predictions[places], probabilities_nk[places])

    values = {name: (function(whole), [function(counts) for counts in resampled]) for name, function in SCORES.items()}
    everything = np.arange(num_images)
    values |= {path: (own(path, everything), [own(path, places) for places in drawn]) for path in users}
    return {
        name: Score(
            value=value,
            standard_error=float(np.std(again, ddof=1)),
            num_samples=num_images,
            split=split,
            kind="measured",
        )
        for name, (value, again) in values.items()
    }


def _called(path: str, labels: Ints, predictions: Ints, probabilities_nk: Floats) -> float:
    try:
        value = float(user_score(path).function(labels, predictions, probabilities_nk))
    except Exception as error:  # whatever a user's code raises is told with its name, and stops here
        reason = (str(error).splitlines() or [""])[0]
        raise ConfigError(f"score '{path}' raised {type(error).__name__}: {reason}; mend it") from error
    if not math.isfinite(value):
        raise ConfigError(f"score '{path}' gave {value}; it must be a finite number, whatever images it is given")
    return value
