"""The bounds of an experiment: read, held against its baseline, and tried on random candidates before a search."""

import re
from dataclasses import replace
from typing import Final

import numpy as np

from ecoNAS.architecture import derive_seed
from ecoNAS.costs.constraints import Constraint, parse_constraint
from ecoNAS.costs.counts import baseline_costs
from ecoNAS.costs.screen import GateTally, screen
from ecoNAS.energy.estimate import estimate_energy_per_image
from ecoNAS.errors import ArchitectureError, ConstraintError
from ecoNAS.evaluation.objectives import OBJECTIVES
from ecoNAS.evaluation.profiling import profile_network
from ecoNAS.experiment.setup import Setup

NUM_PROBES: Final = 1000


def with_baseline(setup: Setup) -> Setup:
    """Measure the baseline where a bound is relative to its measured joules, unless an earlier session did."""
    config = setup.config
    relative = [text for text in config.constraints if "baseline" in text and re.match(r"\s*energy_per_image\b", text)]
    if config.baseline is None or setup.reference is None or setup.baseline is not None or not relative:
        return setup
    task = setup.ready_model_task(config.baseline.timm, None)
    task = task.model_copy(update={"target": config.energy.protocol.reference_target})
    return replace(setup, baseline=profile_network(task))


def read_constraints(setup: Setup) -> tuple[Constraint, ...]:
    """Return the bounds of an experiment; raises ConfigError, with the line, for one that cannot be read."""
    config, baseline = setup.config, _baseline_values(setup)
    units = {name: objective.unit for name, objective in OBJECTIVES.items()}
    found = []
    for index, text in enumerate(config.constraints):
        try:
            found.append(parse_constraint(text, units, baseline))
        except ConstraintError as error:
            raise config.error(("constraints", index), str(error)) from None
    return tuple(found)


def _baseline_values(setup: Setup) -> dict[str, float] | None:
    """Return what is known of the baseline before training, by name; None where the experiment has none."""
    config = setup.config
    if config.baseline is None:
        return None
    try:
        costs = baseline_costs(config.baseline.timm, setup.problem)
        deployed = baseline_costs(config.baseline.timm, setup.problem, config.deployment.form)
    except ArchitectureError as error:
        raise config.error(("baseline", "timm"), str(error)) from None
    values = dict(screen(costs, ()).values)
    if setup.estimator is not None:
        values["energy_per_image"] = estimate_energy_per_image(setup.estimator, deployed, config.deployment).value_j
    elif setup.baseline is not None and setup.baseline.energy is not None:
        values["energy_per_image"] = setup.baseline.energy.value_j
    return values


def require_a_way_through(setup: Setup) -> None:
    """Raise unless a random candidate passes the gate: a bound that nothing meets is better said now than later."""
    tally = GateTally(setup.constraints)
    rng = np.random.default_rng(derive_seed(setup.config.search.seed, "probe"))
    for _ in range(NUM_PROBES):
        candidate = setup.space.random(rng)
        if not setup.space.is_valid(candidate):
            continue
        screening = setup.screen(candidate)
        tally.add(screening)
        if screening.passes:
            return
    if tally.seen == 0:
        raise setup.config.error(("search_space",), f"none of {NUM_PROBES:,} random candidates keeps the space's rules")
    raise setup.config.error(("constraints",), tally.explain())
