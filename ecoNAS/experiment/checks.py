"""Whether the parts of an experiment go together: sampler, objectives, early epochs, joules of trainings.

Each check names the line of the file, the rule and the remedy.
"""

import re

from ecoNAS.block_kinds import spec_of
from ecoNAS.config import ExperimentConfig
from ecoNAS.energy.estimate import TRAINING_DTYPE, Work
from ecoNAS.errors import MeterError, unknown_name
from ecoNAS.experiment.deployable import deployment_choices
from ecoNAS.experiment.setup import JOULES_OF_RUNNING, Setup
from ecoNAS.search.samplers import SAMPLERS
from ecoNAS.space.search_space import SearchSpace
from ecoNAS.training.epochs import early_resolution
from ecoNAS.training.proxies import PROXIES


def check_sampler(config: ExperimentConfig) -> None:
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


def check_early(config: ExperimentConfig, space: SearchSpace, resolution: int) -> None:
    """Raise ConfigError if early epochs would show smaller images than the space is meant for, or its blocks read."""
    early, least = config.training.early, space.file.resolution.min
    smaller = early_resolution(resolution, early.resolution) if early is not None else resolution
    sized = sorted({kind for stage in space.stages for kind in stage.block if spec_of(kind).is_sized})
    if early is not None and smaller != resolution and sized:
        raise config.error(
            ("training", "early", "resolution"),
            f"{early.resolution}: space '{space.file.name}' has blocks that read images of one size only "
            f"({', '.join(sized)}); leave it out, or choose another space",
        )
    if early is None or smaller >= least:
        return
    raise config.error(
        ("training", "early", "resolution"),
        f"{early.resolution}: of {resolution} pixels this leaves {smaller}, and space '{space.file.name}' "
        f"is meant for {least} and more",
    )


def check_training_energy(setup: Setup) -> None:
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


def check_measure_first(setup: Setup) -> None:
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


def check_dtypes(setup: Setup) -> None:
    """Raise ConfigError if joules count and candidates may have a data type that the estimator cannot price."""
    config, estimator = setup.config, setup.estimator
    if estimator is None:
        return
    bounded = any(re.match(rf"\s*({'|'.join(JOULES_OF_RUNNING)})\b", text) for text in config.constraints)
    deployed = deployment_choices(config, setup.space, "dtype") if setup.names_joules or bounded else ()
    trained = (TRAINING_DTYPE,) if config.workers.device != "cuda" else ()
    for dtype in dict.fromkeys([*deployed, *trained]):
        try:
            estimator.price(Work(macs=0, moved_bytes=0, images=0), str(dtype))
        except MeterError as error:
            raise config.error(("energy",), str(error)) from None
