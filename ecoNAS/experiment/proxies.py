"""Proxies of candidates, as the sampler asks for them: computed in the driver, on one core, once a candidate."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from torch import Tensor

from ecoNAS.architecture import Candidate, derive_seed
from ecoNAS.energy.lane import Lane
from ecoNAS.evaluation.devices import compute_device
from ecoNAS.experiment.setup import Setup
from ecoNAS.models.network import build_network
from ecoNAS.search.gauges import Measuring
from ecoNAS.search.surrogate import one_thread
from ecoNAS.training.proxies import mini_batch, score
from ecoNAS.training.seeding import seeded


@dataclass(slots=True)
class ProxyScores:
    """Proxies of one experiment; what is returned depends on the experiment and the architecture alone."""

    setup: Setup
    _batch: tuple[Tensor, Tensor] | None = None
    _known: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def measuring(self) -> Measuring | None:
        """What the sampler takes; None where the experiment names no proxies."""
        names = self.setup.config.search.proxies
        return Measuring(names, self.of) if names else None

    def of(self, candidates: Sequence[Candidate]) -> list[Mapping[str, float]]:
        """Return the proxies of candidates by name."""
        return [self._of(candidate) for candidate in candidates]

    def _of(self, candidate: Candidate) -> dict[str, float]:
        digest = candidate.architecture.digest
        if digest not in self._known:
            # A batch through a network is work on this machine: it gives way to measurements like a training.
            root = self.setup.config.energy.root
            turn = Lane(compute_device("cpu", root)).training() if self.setup.reference else nullcontext()
            with turn, one_thread(), seeded(derive_seed(self.setup.config.search.seed, "proxies", digest)):
                self._batch = self._batch or mini_batch(self.setup.data, self.setup.config.search.seed)
                network = build_network(candidate.architecture, self.setup.problem)
                self._known[digest] = score(network, self._batch, self.setup.config.search.proxies)
        return self._known[digest]
