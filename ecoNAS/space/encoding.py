"""How flat parameters become numbers for a surrogate, alike for networks and tables."""

from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ecoNAS.space.protocol import Choices, Value


def encode(choices: Choices, values: Mapping[str, Value], active: Collection[str]) -> NDArray[np.float64]:
    """Return (num_features,): numbers as 'is active' and rank in 0..1, names as one-hot; zero where inactive.

    Args:
        choices: Of every decision.
        values: One of them for every decision.
        active: Decisions that have a meaning here.
    """
    features: list[float] = []
    for name, known in choices.items():
        is_active = name in active
        if _is_named(known):
            index = known.index(values[name])
            features += [float(is_active and place == index) for place in range(len(known))]
        else:
            rank = sorted(known).index(values[name]) / (len(known) - 1)
            features += [float(is_active), rank if is_active else 0.0]
    return np.asarray(features)


def feature_names(choices: Choices) -> tuple[str, ...]:
    """Return the decision that each feature of `encode` stands for, (num_features,)."""
    return tuple(_feature_names(choices))


def _feature_names(choices: Choices) -> Iterator[str]:
    for name, known in choices.items():
        yield from [name] * (len(known) if _is_named(known) else 2)


def _is_named(known: tuple[Value, ...]) -> bool:
    return any(isinstance(value, str) for value in known)
