"""pymoo's NSGA-II as a rival: asked for a population at a time, as that library has it for categorical variables.

pymoo is an optional dependency: `pip install 'econas[pymoo]'`.
"""

from collections import deque
from typing import Any

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ecoNAS.architecture import derive_seed
from ecoNAS.errors import EcoNASError
from ecoNAS.search.samplers import SamplerContext
from ecoNAS.space.protocol import Parameters

POPULATION = 20


class Pymoo:
    """NSGA-II of pymoo, with a population of 20; a member that was seen before keeps what was found then."""

    def __init__(self, context: SamplerContext) -> None:
        """Prepare.

        Raises:
            EcoNASError: if pymoo is not installed.
        """
        try:
            from pymoo.algorithms.moo.nsga2 import NSGA2
            from pymoo.core.mixed import (
                MixedVariableDuplicateElimination,
                MixedVariableMating,
                MixedVariableSampling,
            )
            from pymoo.core.problem import Problem
            from pymoo.core.variable import Choice
        except ImportError:
            raise EcoNASError("the rival 'pymoo' needs pymoo: pip install 'econas[pymoo]'") from None
        self._context = context
        space = context.space
        variables = {name: Choice(options=list(range(len(known)))) for name, known in space.choices.items()}
        self._problem = Problem(vars=variables, n_obj=len(context.targets))
        self._algorithm = NSGA2(
            pop_size=POPULATION,
            sampling=MixedVariableSampling(),
            mating=MixedVariableMating(eliminate_duplicates=MixedVariableDuplicateElimination()),
            eliminate_duplicates=MixedVariableDuplicateElimination(),
        )
        seed = derive_seed(context.seed, "pymoo") % 2**32
        self._algorithm.setup(self._problem, termination=("n_gen", 10**9), seed=seed, verbose=False)
        self._population: Any = ()
        self._waiting: deque[Parameters] = deque()

    def propose(self, study: Study, trial: FrozenTrial, attempt: int) -> Parameters:
        """Return the next member of the population; the next population where all were proposed."""
        while not self._waiting:
            self._next_population(study)
        return self._waiting.popleft()

    def _next_population(self, study: Study) -> None:
        from pymoo.core.evaluator import Evaluator
        from pymoo.problems.static import StaticProblem

        if len(self._population):
            costs = np.array(self._costs(study))
            Evaluator().eval(StaticProblem(self._problem, F=costs), self._population)
            self._algorithm.tell(infills=self._population)
        self._population = self._algorithm.ask()
        self._waiting.extend(self._parameters(member.X) for member in self._population)

    def _costs(self, study: Study) -> list[list[float]]:
        """Return (members, objectives), minimised; a member that is no candidate of the space is as bad as can be."""
        space, signs = self._context.space, [target.sign for target in self._context.targets]
        told = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        found = {space.from_parameters(trial.params).digest: trial.values for trial in told}
        worst = [max(sign * values[place] for values in found.values()) for place, sign in enumerate(signs)]
        rows = []
        for member in self._population:
            values = found.get(space.from_parameters(self._parameters(member.X)).digest)
            rows.append(worst if values is None else [sign * value for sign, value in zip(signs, values, strict=True)])
        return rows

    def _parameters(self, codes: dict[str, Any]) -> Parameters:
        return {name: known[int(codes[name])] for name, known in self._context.space.choices.items()}
