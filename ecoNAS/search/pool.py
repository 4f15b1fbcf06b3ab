"""Candidates that a surrogate is asked about: the whole space where it is small, else draws and relatives of the front.

Encodings and exact numbers are remembered by digest, since the same candidates come back at every proposal.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecoNAS.architecture import derive_seed
from ecoNAS.costs.screen import Screening
from ecoNAS.space.protocol import Space

Floats = NDArray[np.float64]

MAX_LISTED = 20_000  # a space up to this size is looked at whole
NUM_DRAWN = 100  # anew for each trial
LASTS = 20  # trials that a draw stays in the pool
NUM_CHILDREN = 200
MAX_NEIGHBOURS = 1000
NUM_REFERENCE = 256  # draws that numbers are standardised by


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a candidate without spending anything.

    Attributes:
        features: (features,), the encoded decisions.
        exact: By name: parameters, MACs and other numbers that are free.
        passes: Whether it is valid and keeps every bound on them.
    """

    candidate: Any  # whatever the space holds
    features: Floats
    exact: dict[str, float]
    passes: bool


@dataclass(slots=True)
class Pool:
    """Candidates of one space; what it returns depends on seed, trial number and front alone."""

    space: Space[Any]
    screen: Callable[[Any], Screening]
    seed: int
    _known: dict[str, Known] = field(default_factory=dict)
    _listed: list[str] | None = None
    _drawn: dict[int, list[str]] = field(default_factory=dict)
    _beside: dict[str, list[str]] = field(default_factory=dict)

    def known(self, candidate: Any) -> Known:
        """Return what is known of a candidate, counted once."""
        digest = candidate.digest
        if digest not in self._known:
            is_valid = self.space.is_valid(candidate)
            screening = self.screen(candidate) if is_valid else None
            self._known[digest] = Known(
                candidate,
                self.space.encode(candidate),
                dict(screening.values) if screening else {},
                passes=screening is not None and screening.passes,
            )
        return self._known[digest]

    def reference(self) -> list[Known]:
        """Return some candidates at random, always the same ones, that pass the gate."""
        rng = np.random.default_rng(derive_seed(self.seed, "reference"))
        drawn = (self.known(self.space.random(rng)) for _ in range(NUM_REFERENCE))
        return [known for known in drawn if known.passes]

    def candidates(self, trial: int, members: Sequence[Any], is_seen: Callable[[str], bool]) -> list[Known]:
        """Return unseen candidates that pass the gate, each once.

        Args:
            trial: The trial that they are for.
            members: Candidates of the front, whose neighbours and children are looked at too.
            is_seen: Whether a digest was proposed before.
        """
        digests = self._all()
        if digests is None:
            rng = np.random.default_rng(derive_seed(self.seed, "pool", trial))
            drawn = [digest for number in range(max(0, trial - LASTS + 1), trial + 1) for digest in self._draws(number)]
            digests = [*drawn, *self._relatives(members, rng)]
        fresh = (self._known[digest] for digest in dict.fromkeys(digests) if not is_seen(digest))
        return [known for known in fresh if known.passes]

    def _all(self) -> list[str] | None:
        if self._listed is None:
            listing = self.space.listing(MAX_LISTED)
            if listing is None:
                return None
            for candidate in listing:
                self.known(candidate)
            self._listed = [candidate.digest for candidate in listing]
        return self._listed

    def _draws(self, number: int) -> list[str]:
        """Return what is drawn at random for one trial."""
        if number not in self._drawn:
            rng = np.random.default_rng(derive_seed(self.seed, "draws", number))
            drawn = [self.space.random(rng) for _ in range(NUM_DRAWN)]
            for candidate in drawn:
                self.known(candidate)
            self._drawn[number] = [candidate.digest for candidate in drawn]
        return self._drawn[number]

    def _relatives(self, members: Sequence[Any], rng: np.random.Generator) -> Iterator[str]:
        if not members:
            return
        share = max(1, MAX_NEIGHBOURS // len(members))
        for member in members:
            beside = self._neighbours(member)
            yield from (beside[place] for place in rng.permutation(len(beside))[:share])
        for _ in range(NUM_CHILDREN):
            mother, father = (members[int(rng.integers(len(members)))] for _ in range(2))
            child = self.space.crossover(mother, father, rng)
            self.known(child)
            yield child.digest

    def _neighbours(self, member: Any) -> list[str]:
        """Return the digests of all neighbours, found once a member."""
        if member.digest not in self._beside:
            found = self.space.neighbours(
                member, np.random.default_rng(derive_seed(self.seed, "beside", member.digest))
            )
            for neighbour in found:
                self.known(neighbour)
            self._beside[member.digest] = [neighbour.digest for neighbour in found]
        return self._beside[member.digest]
