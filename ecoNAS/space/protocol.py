"""The space protocol: the whole of what a search knows about what it searches.

A space of networks and a table of measured ones implement it alike, so the same loop and the same samplers drive real
training and benchmarks.
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Value = bool | int | float | str
Parameters = dict[str, Value]
Choices = Mapping[str, tuple[Value, ...]]


class HasDigest(Protocol):
    """Anything that has an identity."""

    @property
    def digest(self) -> str:
        """Equal digests mean the same candidate."""
        ...


class Suggests(Protocol):
    """The one method of an Optuna trial that a space needs."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:  # Any: Optuna overloads it by type of choice
        """Return one of `choices`."""
        ...


CandidateT = TypeVar("CandidateT", bound=HasDigest)


class Space(Protocol[CandidateT]):
    """What may be decided, as flat parameters whose names and choices never change within a study."""

    @property
    def choices(self) -> Choices:
        """Every decision that has more than one choice, by its readable name."""
        ...

    @property
    def feature_decisions(self) -> tuple[str, ...]:
        """The decision that each feature of `encode` stands for, (num_features,)."""
        ...

    def listing(self, limit: int) -> list[CandidateT] | None:
        """Return every valid candidate, each once, or None where there may be more than `limit`."""
        ...

    def sample(self, trial: Suggests) -> CandidateT:
        """Ask `trial` for every parameter, inactive ones too, and return the candidate they mean."""
        ...

    def random(self, rng: np.random.Generator) -> CandidateT:
        """Return a candidate drawn uniformly over the parameters."""
        ...

    def neighbours(self, candidate: CandidateT, rng: np.random.Generator) -> list[CandidateT]:
        """Return every other candidate that one active decision away, each once, in random order."""
        ...

    def crossover(self, a: CandidateT, b: CandidateT, rng: np.random.Generator) -> CandidateT:
        """Return a child that takes each parameter from either parent."""
        ...

    def encode(self, candidate: CandidateT) -> NDArray[np.float64]:
        """Return features of shape (num_features,), each in 0..1, zero where a decision is inactive."""
        ...

    def parameters(self, candidate: CandidateT) -> Parameters:
        """Return the flat parameters of a candidate; inactive ones hold their first choice."""
        ...

    def from_parameters(self, parameters: Mapping[str, Value]) -> CandidateT:
        """Return the candidate that flat parameters mean; inverse of `parameters`."""
        ...

    def is_valid(self, candidate: CandidateT) -> bool:
        """Return whether the candidate keeps every rule of the space."""
        ...
