"""What a search space allows: its size, how deep and how dear its networks are, and how many of them pass given bounds.

Shares and ranges come from random draws and say from how many; the ends of a range are searched for by moving decisions
to their extreme choices, one at a time. Such an end was found, not proven: a dearer network may be there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

import numpy as np

from ecoNAS.analysis.intervals import Interval, share
from ecoNAS.architecture import Candidate, Deployment, Problem, derive_seed
from ecoNAS.costs.constraints import Constraint, parse_constraint
from ecoNAS.costs.counts import CostTable
from ecoNAS.costs.screen import GateTally, screen
from ecoNAS.errors import ConstraintError, EcoNASError
from ecoNAS.evaluation.objectives import OBJECTIVES
from ecoNAS.records import Costs
from ecoNAS.space.protocol import Parameters, Value
from ecoNAS.space.search_space import SearchSpace

COSTS: Final[dict[str, Callable[[Costs], int]]] = {
    "params": lambda costs: costs.params,
    "macs": lambda costs: costs.macs,
    "activation_memory": lambda costs: costs.activation_memory_bytes,
}
MAX_ROUNDS: Final = 4  # over all decisions; the second seldom changes anything
DEFAULT_RESOLUTION: Final = 32


@dataclass(frozen=True, slots=True)
class Range:
    """What one cost comes to.

    Attributes:
        quartiles: Of valid random draws: 25, 50 and 75 % of them are at most this.
        drawn: The least and the most among these draws.
        cheapest: The least that was found by extreme choices, and by the draws.
        dearest: The most.
    """

    quartiles: tuple[float, float, float]
    drawn: tuple[int, int]
    cheapest: int
    dearest: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What a space allows.

    Attributes:
        num_networks: Without regard to rules, and to stages left out in different ways; deployments are not in it.
        num_deployments: In how many ways each of them may be deployed.
        num_recipes: With how many recipes it may be trained.
        num_decisions: That have more than one choice.
        blocks: The least and the largest number of blocks in a row; 0 of ready models, as is the next.
        stages: The least and the largest number of stages.
        num_draws: Random candidates behind ranges and shares.
        num_valid: Of these that keep the space's rules.
        ranges: By the name of the cost.
        passing: The share of random candidates that keeps rules and bounds.
        samples: Random candidates that do, each once, in the order of the draws.
    """

    name: str
    problem: Problem
    num_networks: int
    num_deployments: int
    num_recipes: int
    num_decisions: int
    blocks: tuple[int, int]
    stages: tuple[int, int]
    num_draws: int
    num_valid: int
    ranges: dict[str, Range]
    passing: Interval
    samples: tuple[tuple[Candidate, Costs], ...]


def problem_for(space: SearchSpace, resolution: int | None, channels: int, classes: int) -> Problem:
    """Return a problem for the space; where no resolution is given, 32 pixels or the nearest that it is meant for.

    Raises:
        EcoNASError: if the space is not meant for images of this size, or there is no such problem.
    """
    allowed = space.file.resolution
    if resolution is None:
        resolution = min(max(DEFAULT_RESOLUTION, allowed.min), allowed.max)
    if not allowed.min <= resolution <= allowed.max:
        raise EcoNASError(
            f"--resolution {resolution}: space '{space.file.name}' is meant for images of {allowed.min} to "
            f"{allowed.max} pixels"
        )
    if channels < 1:
        raise EcoNASError(f"--channels {channels}: an image has 1 channel or more")
    if classes < 2:
        raise EcoNASError(f"--classes {classes}: a classifier tells 2 classes or more apart")
    return Problem(input_channels=channels, resolution=resolution, num_classes=classes)


def read_bounds(texts: Sequence[str]) -> tuple[Constraint, ...]:
    """Return bounds on costs as `constraints` of an experiment writes them.

    Raises:
        ConstraintError: if one cannot be read, or is on what only a device or a training tells.
    """
    exact = {name: objective.unit for name, objective in OBJECTIVES.items() if objective.known == "exact"}
    known = {name: objective.unit for name, objective in OBJECTIVES.items()}
    found = []
    for text in texts:
        constraint = parse_constraint(text, known)
        if constraint.name not in exact:
            raise ConstraintError(
                f"constraint '{text}': {constraint.name} is not known of a space alone; bound {', '.join(exact)}"
            )
        found.append(constraint)
    return tuple(found)


def survey(
    space: SearchSpace,
    problem: Problem,
    bounds: Sequence[Constraint] = (),
    *,
    num_draws: int = 200,
    num_samples: int = 3,
    seed: int = 0,
) -> Survey:
    """Look at what a space allows.

    Args:
        space: Bound to nothing; costs are counted for `problem`.
        problem: Its images and classes.
        bounds: Of `read_bounds`.
        num_draws: Random candidates.
        num_samples: How many of those that pass are returned, at most.
        seed: Of the draws.

    Raises:
        EcoNASError: if no candidate keeps the rules, or none that was drawn or found at an end keeps the bounds.
    """
    space = space.bind(Deployment(), CostTable(problem).costs)
    rng = np.random.default_rng(derive_seed(seed, "survey"))
    drawn = [space.random(rng) for _ in range(num_draws)]
    valid = [(candidate, space.costs(candidate)) for candidate in drawn if space.is_valid(candidate)]
    if not valid:
        raise EcoNASError(f"none of {num_draws} random candidates keeps the rules of space '{space.file.name}'")
    tally = GateTally(bounds)
    passing = []
    for candidate, costs in valid:
        screening = screen(costs, bounds)
        tally.add(screening)
        if screening.passes:
            passing.append((candidate, costs))
    ends = {name: (_end(space, read, largest=False), _end(space, read, largest=True)) for name, read in COSTS.items()}
    at_ends = [screen(costs, bounds) for pair in ends.values() for costs in pair]
    if not passing and not any(screening.passes for screening in at_ends):
        for screening in at_ends:
            tally.add(screening)
        raise EcoNASError(tally.explain())
    num_deployments, num_recipes = _ways(space.file.deployment), _ways(space.file.recipe)
    return Survey(
        name=space.file.name,
        problem=problem,
        num_networks=space.size // (num_deployments * num_recipes),
        num_deployments=num_deployments,
        num_recipes=num_recipes,
        num_decisions=len(space.choices),
        blocks=_span([stage.depth for stage in space.stages]),
        stages=_span([tuple(min(1, int(depth)) for depth in stage.depth) for stage in space.stages]),
        num_draws=num_draws,
        num_valid=len(valid),
        ranges={name: _range([read(c) for _, c in valid], *map(read, ends[name])) for name, read in COSTS.items()},
        passing=share(len(passing), num_draws),
        samples=tuple({candidate.digest: (candidate, costs) for candidate, costs in passing}.values())[:num_samples],
    )


def _range(values: Sequence[int], cheapest: int, dearest: int) -> Range:
    first, middle, third = (float(value) for value in np.quantile(values, (0.25, 0.5, 0.75)))
    drawn = (min(values), max(values))
    return Range((first, middle, third), drawn, min(cheapest, drawn[0]), max(dearest, drawn[1]))


def _span(choices: Sequence[Sequence[Value]]) -> tuple[int, int]:
    """Return the sum of the least choices and that of the largest ones."""
    return sum(min(map(int, one)) for one in choices), sum(max(map(int, one)) for one in choices)


def _ways(choices: Mapping[str, Sequence[Value]]) -> int:
    return prod(len(values) for values in choices.values())


def _end(space: SearchSpace, read: Callable[[Costs], int], *, largest: bool) -> Costs:
    """Return the costs of the cheapest or dearest candidate that moving one decision at a time leads to."""
    sign = -1 if largest else 1
    here = _extreme(space, largest=largest)
    best = _costs_of(space, here)
    for _ in range(MAX_ROUNDS):
        before = best
        for name, choices in space.choices.items():
            for value in choices:
                there = _moved(space, here, name, value, largest=largest)
                costs = _costs_of(space, there)
                if costs is not None and (best is None or sign * read(costs) < sign * read(best)):
                    here, best = there, costs
        if best == before:
            break
    if best is None:
        raise EcoNASError(f"no network of extreme choices keeps the rules of space '{space.file.name}'")
    return best


def _extreme(space: SearchSpace, *, largest: bool) -> Parameters:
    """Return the least or largest choice of every decision; strides and patches go the other way, since they shrink."""
    return {name: _extreme_of(name, choices, largest=largest) for name, choices in space.choices.items()}


def _extreme_of(name: str, choices: Sequence[Value], *, largest: bool) -> Value:
    if any(isinstance(value, str) for value in choices):
        return choices[0]
    return max(choices) if largest != name.endswith("stride") else min(choices)


def _moved(space: SearchSpace, here: Parameters, name: str, value: Value, *, largest: bool) -> Parameters:
    """Return parameters with one decision moved; a kind of block comes with the extreme choices that it had not yet."""
    there = {**here, name: value}
    if name.endswith(".block"):
        prefix = f"{name.removesuffix('block')}{value}."
        own = {key: choices for key, choices in space.choices.items() if key.startswith(prefix)}
        there |= {key: _extreme_of(key, choices, largest=largest) for key, choices in own.items()}
    return there


def _costs_of(space: SearchSpace, parameters: Parameters) -> Costs | None:
    """Return costs, or None where no rule can mend the candidate."""
    candidate = space.from_parameters(parameters)
    return space.costs(candidate) if space.is_valid(candidate) else None
