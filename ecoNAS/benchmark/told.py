"""Rivals that are told the cheap costs: each draws several candidates, asks what they cost, and trains one of them.

It trains the one that comes first in the order of `Peeling`: nothing else drawn takes less and has more of the exact
numbers that are no objective. So a comparison shows how much comes from knowing costs, and how much from what the
sampler makes of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial

from ecoNAS.pareto import front
from ecoNAS.search.samplers import Proposer, SamplerContext
from ecoNAS.space.protocol import Parameters

Floats = NDArray[np.float64]

NUM_TOLD: Final = 5


class Told:
    """A sampler that is asked several times for one candidate."""

    def __init__(self, context: SamplerContext, proposer: Proposer) -> None:
        self._context = context
        self._proposer = proposer

    def propose(self, study: Study, trial: FrozenTrial, attempt: int) -> Parameters:
        """Return the best in cost of several proposals; the first where none of them is new."""
        space, drawn = self._context.space, dict[str, Parameters]()
        first = attempt * NUM_TOLD
        proposals = [self._proposer.propose(study, trial, first + place) for place in range(NUM_TOLD)]
        for proposal in proposals:
            candidate = space.from_parameters(proposal)
            if space.is_valid(candidate) and not self._context.is_seen(candidate.digest):
                drawn.setdefault(candidate.digest, proposal)
        if len(drawn) < 2:
            return next(iter(drawn.values()), proposals[0])
        candidates = [space.from_parameters(proposal) for proposal in drawn.values()]
        points = cost_points(self._context, candidates)
        best = np.flatnonzero(front(points, ["minimize"] * points.shape[1])) if points.shape[1] else np.arange(1)
        # Any member of the drawn front would do: the trial's number picks one, so that all costs get their turn.
        return list(drawn.values())[int(best[trial.number % len(best)])]


def cost_points(context: SamplerContext, candidates: Sequence[Any]) -> Floats:
    """Return (candidates, numbers), minimised: known objectives, and other exact numbers with their sign turned.

    What is measurable is measured and paid.
    """
    costs = [target for target in context.targets if target.known != "after_training"]
    exact = [context.screen(candidate).values for candidate in candidates]
    measured: Sequence[Mapping[str, float]] = [{} for _ in candidates]
    if context.measuring is not None:
        measured = context.measuring.run(candidates)
    extra = [name for name in exact[0] if name not in {target.name for target in costs}]
    rows = []
    for values in ({**free, **paid} for free, paid in zip(exact, measured, strict=True)):
        rows.append([target.sign * values[target.name] for target in costs] + [-values[name] for name in extra])
    return np.array(rows).reshape(len(candidates), len(costs) + len(extra))
