"""From an experiment file to a setup: names looked up, data loaded, bounds read, the meter found.

Every mistake that a file can hold is found here, before a run folder is made or a joule is spent; only a bound relative
to the measured joules of a baseline makes that baseline run, once.
"""

import re
from dataclasses import replace

import numpy as np
import torch

from ecoNAS.architecture import derive_seed
from ecoNAS.config import ExperimentConfig, available_cpus
from ecoNAS.costs.constraints import Constraint, parse_constraint
from ecoNAS.costs.counts import CostTable, baseline_costs
from ecoNAS.costs.screen import GateTally, screen
from ecoNAS.data.datasets import load_data
from ecoNAS.data.transforms import choose_augmentation
from ecoNAS.energy.estimate import TRAINING_DTYPE, EnergyEstimator, Work, estimate_energy_per_image
from ecoNAS.energy.meters.csv_log import CsvMeter, align, keep_busy
from ecoNAS.energy.select import is_estimated, select_estimator, select_meter
from ecoNAS.errors import ConfigError, ConstraintError, DataError, MeterError, unknown_name
from ecoNAS.evaluation.devices import gpu_uuid
from ecoNAS.evaluation.objectives import OBJECTIVES, objectives_of
from ecoNAS.evaluation.profiling import profile_network
from ecoNAS.experiment.setup import Setup
from ecoNAS.experiment.warm_start import check_earlier_runs
from ecoNAS.measurement import MeterInfo
from ecoNAS.records import EnergyProfile
from ecoNAS.search.samplers import SAMPLERS
from ecoNAS.space.search_space import SearchSpace
from ecoNAS.training.epochs import early_resolution
from ecoNAS.training.proxies import PROXIES

NUM_PROBES = 1000


def prepare(config: ExperimentConfig, baseline: EnergyProfile | None = None) -> Setup:
    """Resolve an experiment.

    Args:
        config: The experiment.
        baseline: What an earlier session of the same run measured of its baseline.

    Raises:
        ConfigError: for an unknown name or a search space that does not fit the data, with file and line.
        ConstraintError: for a bound that cannot be read or that nothing meets.
        DataError: if the data is missing or broken.
        MeterError: if joules cannot be had the way that was asked for.
    """
    objectives = objectives_of(config)
    _check_sampler(config)
    if not config.search_space.exists():
        raise config.error(("search_space",), f"no such file: {config.search_space}")
    space = SearchSpace.from_yaml(config.search_space)
    device = _device(config)
    config = _aligned(config)
    estimator, reference = _energy_source(config, space, device)
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
    _check_deployment(config, space, problem.resolution)
    _check_early(config, space, problem.resolution)
    table = CostTable(problem)
    setup = Setup(
        config=config,
        space=space.bind(config.deployment, table.costs),
        data=data,
        problem=problem,
        objectives=objectives,
        constraints=(),
        estimator=estimator,
        reference=reference,
        baseline=baseline,
        device=device,
        num_gpus=torch.cuda.device_count() if device == "cuda" else 0,
        num_workers=_num_workers(config),
    )
    _check_training_energy(setup)
    _check_measure_first(setup)
    check_earlier_runs(setup)
    setup = _with_baseline(setup)
    setup = replace(setup, constraints=_constraints(setup))
    _require_a_way_through(setup)
    return setup


def _check_sampler(config: ExperimentConfig) -> None:
    """Raise ConfigError for a sampler that nobody knows, or that does not take what is set for it."""
    search = config.search
    if search.sampler not in SAMPLERS:
        raise config.error(("search", "sampler"), unknown_name("sampler", search.sampler, SAMPLERS))
    for place, name in enumerate(search.proxies):
        if name not in PROXIES:
            raise config.error(("search", "proxies", place), unknown_name("proxy", name, PROXIES))
    if search.halving is not None and not search.halving.rungs(config.training.epochs):
        raise config.error(
            ("search", "halving", "first"),
            f"{search.halving.first}: the first rung must come before the end, at {config.training.epochs} epochs "
            "(training.epochs)",
        )
    if search.sampler == "auto":
        return
    if search.proxies:
        message = f"sampler '{search.sampler}' takes no proxies; use sampler auto, or leave them out"
        raise config.error(("search", "proxies"), message)
    if search.measure_first not in ("auto", 0):
        message = f"sampler '{search.sampler}' does not ask for measurements; use sampler auto, or leave it out"
        raise config.error(("search", "measure_first"), message)


def _check_measure_first(setup: Setup) -> None:
    """Raise ConfigError if candidates are to be measured first and nothing can be measured of them."""
    if setup.config.search.measure_first in ("auto", 0):
        return
    if setup.is_staged:
        message = "one GPU of several measures, so that the others would stand still meanwhile; leave it out"
        raise setup.config.error(("search", "measure_first"), message)
    if not setup.measurable:
        raise setup.config.error(
            ("search", "measure_first"),
            f"{setup.config.search.measure_first}: no objective is measured here before a training "
            f"({', '.join(setup.objectives.names)}); add latency or measured joules to the objectives, or leave it out",
        )


def _aligned(config: ExperimentConfig) -> ExperimentConfig:
    """Return the experiment with the offset of an external meter's clock as it is now, found once for all workers."""
    energy = config.energy
    if energy.clock_offset_s != "align" or energy.path is None:
        return config
    try:
        offset_s = align(CsvMeter(energy.path), keep_busy)
    except MeterError as error:
        raise config.error(("energy", "clock_offset_s"), str(error)) from None
    return config.model_copy(update={"energy": energy.model_copy(update={"clock_offset_s": offset_s})})


def _energy_source(
    config: ExperimentConfig, space: SearchSpace, device: str
) -> tuple[EnergyEstimator | None, MeterInfo | None]:
    """Return who prices joules, or the meter that counts them."""
    try:
        if not is_estimated(config.energy):
            return None, select_meter(config.energy, gpu_uuid(device)).info
        estimator = select_estimator(config.energy)
    except MeterError as error:
        raise config.error(("energy",), str(error)) from None
    _check_dtypes(config, space, estimator)
    return estimator, None


def _check_early(config: ExperimentConfig, space: SearchSpace, resolution: int) -> None:
    """Raise ConfigError if early epochs would show smaller images than the space is meant for."""
    early, least = config.training.early, space.file.resolution.min
    if early is None or early_resolution(resolution, early.resolution) >= least:
        return
    raise config.error(
        ("training", "early", "resolution"),
        f"{early.resolution}: of {resolution} pixels this leaves {early_resolution(resolution, early.resolution)}, and "
        f"space '{space.file.name}' is meant for {least} and more",
    )


def _check_deployment(config: ExperimentConfig, space: SearchSpace, resolution: int) -> None:
    """Raise ConfigError if candidates would have to run in a way that nothing here runs them."""
    for field, allowed in (("form", ("training",)), ("resolution", (None, resolution))):
        for value in space.decisions.get(f"deployment.{field}", (getattr(config.deployment, field),)):
            if value not in allowed:
                raise config.error(
                    ("deployment", field),
                    f"networks of a search run in the form and at the resolution in which they are trained, not with "
                    f"{field} {value}; leave it out" + ("" if field == "form" else ", or set data.resolution"),
                )


def _check_dtypes(config: ExperimentConfig, space: SearchSpace, estimator: EnergyEstimator) -> None:
    """Raise ConfigError if candidates may have a data type that the estimator cannot price."""
    trained = (TRAINING_DTYPE,) if config.workers.device != "cuda" else ()
    for dtype in dict.fromkeys([*space.decisions.get("deployment.dtype", (config.deployment.dtype,)), *trained]):
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
    return asked


def _num_workers(config: ExperimentConfig) -> int:
    if config.workers.kind == "in_process":
        return 1
    return config.workers.count or max(1, available_cpus() // config.workers.cpus_per_trial)


def _check_training_energy(setup: Setup) -> None:
    """Raise ConfigError if the joules of trainings are asked for and cannot be told."""
    if setup.config.search.budget.energy is not None and setup.reference is None and not setup.is_priced:
        raise setup.config.error(
            ("search", "budget", "energy"),
            "joules of trainings on a GPU are not estimated, so that their budget cannot be kept; set energy.meter to "
            "'auto', or give search.budget.time",
        )
    priced = [name for name in setup.config.objectives if name in ("training_energy", "lifetime_energy")]
    if not priced:
        return
    if setup.estimator is not None and setup.device == "cuda":
        message = f"{priced[0]} on a GPU must be measured; set energy.meter to 'auto', or drop {priced[0]}"
    elif setup.reference is not None and setup.num_workers > 1:
        message = (
            f"{priced[0]} is measured only where one training has the device to itself, and there are "
            f"{setup.num_workers} workers; set workers.count to 1, or drop {priced[0]}"
        )
    else:
        return
    raise setup.config.error(("objectives",), message)


def _with_baseline(setup: Setup) -> Setup:
    """Measure the baseline where a bound is relative to its measured joules, unless an earlier session did."""
    config = setup.config
    relative = [text for text in config.constraints if "baseline" in text and re.match(r"\s*energy_per_image\b", text)]
    if config.baseline is None or setup.reference is None or setup.baseline is not None or not relative:
        return setup
    task = setup.ready_model_task(config.baseline.timm, None)
    task = task.model_copy(update={"target": config.energy.protocol.reference_target})
    return replace(setup, baseline=profile_network(task))


def _baseline_values(setup: Setup) -> dict[str, float] | None:
    """Return what is known of the baseline before training, by name; None where the experiment has none."""
    config = setup.config
    if config.baseline is None:
        return None
    try:
        costs = baseline_costs(config.baseline.timm, setup.problem)
    except ConfigError as error:
        raise config.error(("baseline", "timm"), str(error)) from None
    values = dict(screen(costs, ()).values)
    if setup.estimator is not None:
        values["energy_per_image"] = estimate_energy_per_image(setup.estimator, costs, config.deployment).value_j
    elif setup.baseline is not None and setup.baseline.energy is not None:
        values["energy_per_image"] = setup.baseline.energy.value_j
    return values


def _constraints(setup: Setup) -> tuple[Constraint, ...]:
    config, baseline = setup.config, _baseline_values(setup)
    units = {name: objective.unit for name, objective in OBJECTIVES.items()}
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
