"""From an experiment file to a setup: names looked up, data loaded, bounds read, the meter found.

Every mistake that a file can hold is found here, before a run folder is made or a joule is spent; only a bound relative
to the measured joules of a baseline makes that baseline run, once.
"""

from dataclasses import replace

import torch

from ecoNAS.block_conformance import check_space
from ecoNAS.config import ExperimentConfig, available_cpus
from ecoNAS.costs.counts import CostTable
from ecoNAS.data.datasets import DataSet, load_data
from ecoNAS.energy.estimate import EnergyEstimator
from ecoNAS.energy.meters.csv_log import CsvMeter, align, keep_busy
from ecoNAS.energy.select import is_estimated, select_estimator, select_meter
from ecoNAS.errors import ArchitectureError, DataError, MeterError
from ecoNAS.evaluation.devices import gpu_uuid
from ecoNAS.evaluation.objectives import objectives_of
from ecoNAS.experiment.bounds import read_constraints, require_a_way_through, with_baseline
from ecoNAS.experiment.checks import (
    check_dtypes,
    check_early,
    check_measure_first,
    check_sampler,
    check_training_energy,
)
from ecoNAS.experiment.deployable import check_deployments, resolutions
from ecoNAS.experiment.ready_models import check_ready_models
from ecoNAS.experiment.recipe import check_recipe
from ecoNAS.experiment.setup import Setup, SizedData
from ecoNAS.experiment.start import check_start
from ecoNAS.experiment.warm_start import check_earlier_runs
from ecoNAS.measurement import MeterInfo
from ecoNAS.records import EnergyProfile
from ecoNAS.space.search_space import SearchSpace


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
    check_sampler(config)
    space = _space(config)
    device = _device(config)
    config = _aligned(config)
    estimator, reference = _energy_source(config, device)
    try:
        data = load_data(config.data)
    except DataError as error:
        raise config.error(("data",), str(error)) from None
    check_recipe(config, space, data, device)
    check_start(config)
    problem = data.problem()
    _check_size(config, space, data)
    check_deployments(config, space, problem, device)
    for resolution in resolutions(space, problem):
        check_early(config, space, resolution)
    table = CostTable(problem)
    check_ready_models(config, space, table)
    setup = Setup(
        config=config,
        space=space.bind(config.deployment, table.costs),
        fused=CostTable(problem, "fused"),
        data=data,
        sizes=_sizes(config, data, resolutions(space, problem)),
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
    check_training_energy(setup)
    check_measure_first(setup)
    check_earlier_runs(setup)
    setup = with_baseline(setup)
    check_dtypes(setup)
    setup = replace(setup, constraints=read_constraints(setup))
    require_a_way_through(setup)
    return setup


def _space(config: ExperimentConfig) -> SearchSpace:
    if not config.search_space.exists():
        raise config.error(("search_space",), f"no such file: {config.search_space}")
    space = SearchSpace.from_yaml(config.search_space)
    try:
        check_space(space.file)
    except ArchitectureError as error:
        raise config.error(("search_space",), str(error)) from None
    return space


def _check_size(config: ExperimentConfig, space: SearchSpace, data: DataSet) -> None:
    """Raise ConfigError unless the images are of a size that the space is meant for."""
    allowed, resolution = space.file.resolution, data.problem().resolution
    if not allowed.min <= resolution <= allowed.max:
        raise config.error(
            ("search_space",),
            f"space '{space.file.name}' is meant for images of {allowed.min} to {allowed.max} pixels and "
            f"{data.name} has {resolution}; set data.resolution or choose another space",
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


def _energy_source(config: ExperimentConfig, device: str) -> tuple[EnergyEstimator | None, MeterInfo | None]:
    """Return who prices joules, or the meter that counts them."""
    try:
        if not is_estimated(config.energy):
            return None, select_meter(config.energy, gpu_uuid(device)).info
        estimator = select_estimator(config.energy)
    except MeterError as error:
        raise config.error(("energy",), str(error)) from None
    return estimator, None


def _sizes(config: ExperimentConfig, data: DataSet, sizes: tuple[int, ...]) -> dict[int, SizedData]:
    """Return what is of the data as it is, and made smaller to each size that candidates may be deployed at."""
    found = {data.problem().resolution: SizedData(data.fingerprint, data.normalisation)}
    for size in sizes:
        if size not in found:
            smaller = load_data(config.data.model_copy(update={"resolution": size}))
            found[size] = SizedData(smaller.fingerprint, smaller.normalisation)
    return found


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
