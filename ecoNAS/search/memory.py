"""What a study remembers of every candidate that it has seen, by digest."""

from dataclasses import dataclass, field

from ecoNAS.records import Outcome


@dataclass(slots=True)
class Seen:
    """A candidate that was proposed before.

    Attributes:
        trial: The number of the trial that proposed it first.
        outcome: How that ended; None while it is under way.
        values: What was told of it, one an objective; None where it has no values.
        errors: Standard errors of the values; None where nobody knows them.
        violations: By constraint.
    """

    trial: int
    outcome: Outcome | None = None
    values: tuple[float, ...] | None = None
    errors: tuple[float, ...] | None = None
    violations: dict[str, float] = field(default_factory=dict)


class Memory:
    """Candidates by digest; asked by the sampler before it proposes and by the loop before it spends."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}

    def __contains__(self, digest: str) -> bool:
        return digest in self._seen

    def get(self, digest: str) -> Seen | None:
        """Return what is remembered, or None."""
        return self._seen.get(digest)

    def note(self, digest: str, seen: Seen) -> None:
        """Remember a candidate, or how it ended."""
        self._seen[digest] = seen
