"""What an experiment file comes to on this machine: names looked up, data loaded, bounds read, costs ready to count.

Every mistake that a file can hold is found here, before a run folder is made or a joule is spent.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ecoNAS.architecture import Candidate, Problem, derive_seed
from ecoNAS.config import ExperimentConfig, available_cpus
from ecoNAS.costs.constraints import Constraint, parse_constraint
from ecoNAS.costs.counts import CostTable, baseline_costs
from ecoNAS.costs.screen import GateTally, Screening, screen
from ecoNAS.data.datasets import DataSet, load_data
from ecoNAS.data.transforms import choose_augmentation
from ecoNAS.energy.estimate import EnergyEstimator, Work, estimate_energy_per_image
from ecoNAS.energy.select import select_energy_source
from ecoNAS.errors import ConfigError, ConstraintError, DataError, MeterError, unknown_name
from ecoNAS.evaluation.evaluate import EvaluationTask
from ecoNAS.evaluation.objectives import OBJECTIVES, Objectives, objectives_of
from ecoNAS.records import Costs
from ecoNAS.search.samplers import SAMPLERS
from ecoNAS.space.search_space import SearchSpace

NUM_PROBES = 1000


@dataclass(frozen=True, slots=True)
class Setup:
    """An experiment, resolved.

    Attributes:
        space: Bound to the problem and the base deployment.
        constraints: Of all objectives and costs, in SI units.
        device: "cpu" or "cuda", where candidates are trained.
        num_workers: How many are trained at a time.
    """

    config: ExperimentConfig
    space: SearchSpace
    data: DataSet
    problem: Problem
    objectives: Objectives
    constraints: tuple[Constraint, ...]
    estimator: EnergyEstimator
    device: str
    num_gpus: int
    num_workers: int

    def screen(self, candidate: Candidate) -> Screening:
        """Hold exact costs and the estimated energy of a candidate against the bounds."""
        costs = self.space.costs(candidate)
        energy = estimate_energy_per_image(self.estimator, costs, candidate.deployment)
        return screen(costs, self.constraints, {"energy_per_image": energy.value_j})

    def task(self, number: int, candidate: Candidate, costs: Costs, folder: Path | None) -> EvaluationTask:
        """Return what a worker is told about one candidate."""
        config = self.config
        named = {*config.objectives, *(constraint.name for constraint in self.constraints)}
        return EvaluationTask(
            trial=number,
            candidate=candidate,
            problem=self.problem,
            costs=costs,
            data=config.data,
            data_digest=self.data.fingerprint,
            recipe=config.training,
            energy=config.energy,
            constraints=self.constraints,
            measures_latency="latency" in named,
            lifetime_images=config.energy.lifetime_images,
            seed=config.search.seed,
            device=self.device,
            threads=config.workers.cpus_per_trial,
            run_folder=folder,
            weights=f"weights/{candidate.digest}.safetensors" if folder is not None else None,
        )


def prepare(config: ExperimentConfig) -> Setup:
    """Resolve an experiment.

    Raises:
        ConfigError: for an unknown name or a search space that does not fit the data, with file and line.
        ConstraintError: for a bound that cannot be read or that nothing meets.
        DataError: if the data is missing or broken.
        MeterError: if joules cannot be had the way that was asked for.
    """
    objectives = objectives_of(config)
    if config.search.sampler not in SAMPLERS:
        raise config.error(("search", "sampler"), unknown_name("sampler", config.search.sampler, SAMPLERS))
    if not config.search_space.exists():
        raise config.error(("search_space",), f"no such file: {config.search_space}")
    space = SearchSpace.from_yaml(config.search_space)
    device = _device(config)
    try:
        estimator = select_energy_source(config.energy)
    except MeterError as error:
        raise config.error(("energy",), str(error)) from None
    _check_dtypes(config, space, estimator)
    try:
        data = load_data(config.data)
    except DataError as error:
        raise config.error(("data",), str(error)) from None
    try:
        choose_augmentation(config.training.augment, data)
    except DataError as error:
        raise config.error(("training", "augment"), str(error)) from None
    problem = data.problem()
    allowed = space.file.resolution
    if not allowed.min <= problem.resolution <= allowed.max:
        raise config.error(
            ("search_space",),
            f"space '{space.file.name}' is meant for images of {allowed.min} to {allowed.max} pixels and "
            f"{data.name} has {problem.resolution}; set data.resolution or choose another space",
        )
    table = CostTable(problem)
    setup = Setup(
        config=config,
        space=space.bind(config.deployment, table.costs),
        data=data,
        problem=problem,
        objectives=objectives,
        constraints=_constraints(config, problem, estimator),
        estimator=estimator,
        device=device,
        num_gpus=torch.cuda.device_count() if device == "cuda" else 0,
        num_workers=_num_workers(config),
    )
    _require_a_way_through(setup)
    return setup


def _check_dtypes(config: ExperimentConfig, space: SearchSpace, estimator: EnergyEstimator) -> None:
    """Raise ConfigError if candidates may have a data type that the estimator cannot price."""
    for dtype in space.decisions.get("deployment.dtype", (config.deployment.dtype,)):
        try:
            estimator.price(Work(macs=0, moved_bytes=0, images=0), str(dtype))
        except MeterError as error:
            raise config.error(("energy",), str(error)) from None


def _device(config: ExperimentConfig) -> str:
    asked = config.workers.device
    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    if asked == "cuda" and not torch.cuda.is_available():
        raise config.error(("workers", "device"), "no CUDA device is usable here; use 'cpu' or 'auto'")
    priced = [name for name in config.objectives if name in ("training_energy", "lifetime_energy")]
    if asked == "cuda" and priced:
        message = f"{priced[0]} on a GPU must be measured and no meter can yet; train on 'cpu' or drop {priced[0]}"
        raise config.error(("objectives",), message)
    return asked


def _num_workers(config: ExperimentConfig) -> int:
    if config.workers.kind == "in_process":
        return 1
    return config.workers.count or max(1, available_cpus() // config.workers.cpus_per_trial)


def _constraints(config: ExperimentConfig, problem: Problem, estimator: EnergyEstimator) -> tuple[Constraint, ...]:
    units = {name: objective.unit for name, objective in OBJECTIVES.items()}
    baseline = None
    if config.baseline is not None:
        try:
            costs = baseline_costs(config.baseline.timm, problem)
        except ConfigError as error:
            raise config.error(("baseline", "timm"), str(error)) from None
        energy = estimate_energy_per_image(estimator, costs, config.deployment)
        baseline = {**screen(costs, ()).values, "energy_per_image": energy.value_j}
    found = []
    for index, text in enumerate(config.constraints):
        try:
            found.append(parse_constraint(text, units, baseline))
        except ConstraintError as error:
            raise config.error(("constraints", index), str(error)) from None
    return tuple(found)


def _require_a_way_through(setup: Setup) -> None:
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
