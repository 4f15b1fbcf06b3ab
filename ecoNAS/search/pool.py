"""Candidates that a surrogate is asked about: the whole space where it is small, else draws and relatives of the front.

The same candidates come back at many proposals, so their encodings and exact numbers are kept as long as they may: a
whole space for good, draws and neighbours until they leave the pool.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecoNAS.architecture import derive_seed
from ecoNAS.costs.screen import Screening
from ecoNAS.space.protocol import Space

Floats = NDArray[np.float64]

MAX_LISTED = 20_000  # a space up to this size is looked at whole
NUM_DRAWN = 50  # anew for each round
LASTS = 40  # rounds that a draw stays in the pool
NUM_CHILDREN = 200
MAX_NEIGHBOURS = 1000
NUM_REFERENCE = 256  # draws that numbers are standardised by


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a candidate without spending anything.

    Attributes:
        digest: Of the candidate.
        features: (features,), the encoded decisions.
        exact: By name: parameters, MACs and other numbers that are free.
        passes: Whether it is valid and keeps every bound on them.
    """

    candidate: Any  # whatever the space holds
    digest: str
    features: Floats
    exact: Mapping[str, float]
    passes: bool


@dataclass(frozen=True, slots=True)
class Candidates:
    """Many of them, column by column.

    Attributes:
        features: (candidates, features).
        exact: By name, (candidates,).
    """

    known: Sequence[Known]
    features: Floats
    exact: Mapping[str, Floats]

    @classmethod
    def of(cls, known: Sequence[Known]) -> "Candidates":
        """Return candidates that pass the gate as columns; at least one."""
        exact = {name: np.array([one.exact[name] for one in known], dtype=np.float64) for name in known[0].exact}
        return cls(known, np.stack([one.features for one in known]), exact)

    def __len__(self) -> int:
        return len(self.known)

    def take(self, places: NDArray[np.int64]) -> "Candidates":
        """Return some of them."""
        chosen = [self.known[place] for place in places]
        return Candidates(chosen, self.features[places], {name: column[places] for name, column in self.exact.items()})


@dataclass(slots=True)
class Pool:
    """Candidates of one space; what it returns depends on seed, round and front alone.

    Attributes:
        screen: The gate.
        max_listed: Size of a space up to which the pool is all of it.
        has_relatives: Whether relatives of the front belong to the pool of a larger space.
    """

    space: Space[Any]
    screen: Callable[[Any], Screening]
    seed: int
    max_listed: int = MAX_LISTED
    has_relatives: bool = True
    _listed: Candidates | None = None
    _is_listed: bool | None = None
    _reference: list[Known] = field(default_factory=list)
    _decided: frozenset[str] | None = None
    _drawn: dict[int, list[Known]] = field(default_factory=dict)
    _beside: dict[str, list[Known]] = field(default_factory=dict)

    def known(self, candidate: Any) -> Known:
        """Return what is known of a candidate."""
        screening = self.screen(candidate) if self.space.is_valid(candidate) else None
        return Known(
            candidate,
            candidate.digest,
            self.space.encode(candidate),
            dict(screening.values) if screening else {},
            passes=screening is not None and screening.passes,
        )

    def reference(self) -> list[Known]:
        """Return some candidates at random, always the same ones, that pass the gate."""
        if not self._reference:
            rng = np.random.default_rng(derive_seed(self.seed, "reference"))
            self._reference = self._passing(self.space.random(rng) for _ in range(NUM_REFERENCE))
        return self._reference

    @property
    def decided(self) -> frozenset[str]:
        """The bounds that the gate decides, by text."""
        if self._decided is None:
            reference = self.reference()
            self._decided = frozenset(self.screen(reference[0].candidate).violations) if reference else frozenset()
        return self._decided

    def candidates(self, number: int, members: Sequence[Any], is_seen: Callable[[str], bool]) -> Candidates | None:
        """Return unseen candidates that pass the gate, each once; None where there are none.

        Args:
            number: Of the round; draws are others in each.
            members: Candidates of the front, whose neighbours and children are looked at too.
            is_seen: Whether a digest was proposed before.
        """
        if self._is_listed is None:
            listing = self.space.listing(self.max_listed)
            passing = self._passing(listing or ())
            self._is_listed, self._listed = listing is not None, Candidates.of(passing) if passing else None
        if self._is_listed:
            return self._unseen(self._listed, is_seen)
        rng = np.random.default_rng(derive_seed(self.seed, "pool", number))
        relatives = self._relatives(members, rng) if self.has_relatives else ()
        found = {known.digest: known for known in (*self._draws(number), *relatives)}
        return self._unseen(Candidates.of(list(found.values())) if found else None, is_seen)

    def _unseen(self, candidates: Candidates | None, is_seen: Callable[[str], bool]) -> Candidates | None:
        if candidates is None:
            return None
        fresh = np.array([not is_seen(known.digest) for known in candidates.known])
        return candidates.take(np.flatnonzero(fresh)) if fresh.any() else None

    def _draws(self, number: int) -> Iterator[Known]:
        """Yield what was drawn at random in this round and some before it."""
        rounds = range(max(0, number - LASTS + 1), number + 1)
        self._drawn = {past: known for past, known in self._drawn.items() if past in rounds}
        for past in rounds:
            if past not in self._drawn:
                rng = np.random.default_rng(derive_seed(self.seed, "draws", past))
                self._drawn[past] = self._passing(self.space.random(rng) for _ in range(NUM_DRAWN))
            yield from self._drawn[past]

    def _relatives(self, members: Sequence[Any], rng: np.random.Generator) -> Iterator[Known]:
        """Yield neighbours of the members, some each, and their children."""
        digests = {member.digest for member in members}
        self._beside = {digest: known for digest, known in self._beside.items() if digest in digests}
        for member in members:
            if member.digest not in self._beside:
                around = np.random.default_rng(derive_seed(self.seed, "beside", member.digest))
                self._beside[member.digest] = self._passing(self.space.neighbours(member, around))
            beside = self._beside[member.digest]
            share = max(1, MAX_NEIGHBOURS // len(members))
            yield from (beside[place] for place in rng.permutation(len(beside))[:share])
        for _ in range(NUM_CHILDREN if members else 0):
            mother, father = (members[int(rng.integers(len(members)))] for _ in range(2))
            yield from self._passing([self.space.crossover(mother, father, rng)])

    def _passing(self, candidates: Iterable[Any]) -> list[Known]:
        return [known for known in map(self.known, candidates) if known.passes]
