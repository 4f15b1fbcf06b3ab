"""The Optuna study of a run, and the sampler that proposes in it with all that the experiment lets it know."""

from dataclasses import replace
from functools import partial

import optuna

from ecoNAS.experiment.measure_first import MeasuredFirst
from ecoNAS.experiment.proxies import ProxyScores
from ecoNAS.experiment.setup import Setup
from ecoNAS.experiment.warm_start import WarmStart, queued
from ecoNAS.run_folder import RunFolder
from ecoNAS.search.beliefs import Target
from ecoNAS.search.halving import Rungs
from ecoNAS.search.memory import Memory
from ecoNAS.search.samplers import SAMPLERS, CandidateSampler, SamplerContext
from ecoNAS.search.storage import open_study


def sampler_context(setup: Setup, memory: Memory, told: int = 0) -> SamplerContext:
    """Return what every sampler of an experiment is told.

    Args:
        setup: The experiment.
        memory: Of its candidates.
        told: How many trials have ended before.
    """
    search = setup.config.search
    targets = tuple(
        Target(item.name, item.direction, setup.how_known(item), setup.bound_on(item))
        for item in setup.objectives.items
    )
    return SamplerContext(setup.space, search.seed, search.trials, told, setup.screen, targets, memory.__contains__)


def open_run_study(
    setup: Setup,
    folder: RunFolder,
    memory: Memory,
    *,
    first: MeasuredFirst,
    rungs: Rungs | None,
    warm: WarmStart,
) -> optuna.Study:
    """Open the study of a run, new or not; in a new one, what is to come first waits.

    Args:
        setup: The experiment.
        folder: Of the run.
        memory: Of its candidates.
        first: Who measures before a training.
        rungs: Where trainings are paused; None where none is.
        warm: What earlier runs know.
    """
    search, objectives = setup.config.search, setup.objectives
    told = sum(1 for event in folder.events if event.type == "trial_ended")
    context = sampler_context(setup, memory, told)
    context = replace(
        context,
        measuring=first.measuring,
        proxies=ProxyScores(setup).measuring,
        rungs=rungs,
        elsewhere=warm.elsewhere() if search.sampler == "auto" else None,
    )
    sampler = CandidateSampler(setup.space, SAMPLERS[search.sampler](context), memory.__contains__, search.seed)
    study = open_study(search.storage or folder.study, objectives.names, objectives.directions, sampler)
    if rungs is not None:
        rungs.choose = partial(sampler.choose, study)
    if not study.get_trials(deepcopy=False):
        for parameters in queued(setup):
            study.enqueue_trial(parameters)
    return study
