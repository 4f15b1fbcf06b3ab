"""A few networks and a few proposals, timed as a search would run them; what follows is decided by `plan`."""

import time
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Final

import numpy as np
import optuna
from optuna.distributions import BaseDistribution

from ecoNAS.architecture import Candidate, derive_seed
from ecoNAS.costs.screen import Screening
from ecoNAS.errors import EcoNASError
from ecoNAS.evaluation.probe import Probe, probe
from ecoNAS.evaluation.task import EvaluationTask
from ecoNAS.evaluation.workers import Finished, InProcessWorkers, Workers
from ecoNAS.experiment.setup import Setup
from ecoNAS.experiment.study import sampler_context
from ecoNAS.experiment.workers import open_ray
from ecoNAS.search.memory import Memory
from ecoNAS.search.samplers import SAMPLERS, CandidateSampler, distributions

NUM_PROPOSALS: Final = 4  # that are timed
POLL_S: Final = 0.5


def draw(setup: Setup, count: int) -> tuple[list[Candidate], list[Screening]]:
    """Return random candidates, and how each passes the gate."""
    rng = np.random.default_rng(derive_seed(setup.config.search.seed, "plan"))
    drawn = [setup.space.random(rng) for _ in range(count)]
    return drawn, [setup.screen(candidate) for candidate in drawn]


def try_networks(
    setup: Setup, tasks: Sequence[EvaluationTask], on_probe: Callable[[int, int], None]
) -> tuple[float, list[Probe]]:
    """Return the seconds until the workers are up, and what they found, as many at a time as a search would train."""
    began_s = time.monotonic()
    is_here = setup.config.workers.kind == "in_process"
    with InProcessWorkers(probe) if is_here else open_ray(setup, probe) as workers:
        up_s = time.monotonic() - began_s
        return up_s, [_probed(finished) for finished in _finish(workers, tasks, on_probe)]


def _finish(
    workers: Workers[EvaluationTask, Probe], tasks: Sequence[EvaluationTask], on_probe: Callable[[int, int], None]
) -> list[Finished[EvaluationTask, Probe]]:
    for task in tasks:
        workers.submit(task)
    found: list[Finished[EvaluationTask, Probe]] = []
    while len(found) < len(tasks):
        finished = workers.next_finished(POLL_S)
        if finished is not None:
            found.append(finished)
            on_probe(len(found), len(tasks))
    return found


def _probed(finished: Finished[EvaluationTask, Probe]) -> Probe:
    if finished.result is None:
        reason = finished.error.strip().rpartition("\n")[2][:300]
        raise EcoNASError(f"a network could not be tried: {reason}")
    return finished.result


def time_proposals(setup: Setup, known: Sequence[tuple[Candidate, Screening]]) -> tuple[float, float]:
    """Return seconds of the sampler's first proposal, and of one amid the search, told of invented scores."""
    search, space = setup.config.search, setup.space
    context = sampler_context(setup, Memory())
    sampler = CandidateSampler(space, SAMPLERS[search.sampler](context), context.is_seen, search.seed)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=list(setup.objectives.directions), sampler=sampler)
    names = dict[str, BaseDistribution](distributions(space))

    def ask() -> float:
        began_s = time.monotonic()
        space.sample(study.ask())
        return time.monotonic() - began_s

    first_s, rng = ask(), np.random.default_rng(0)
    for candidate, screening in known[: max(2, search.trials // 2)]:
        values = [screening.values.get(target.name, float(rng.random()) + 0.1) for target in context.targets]
        trial = optuna.trial.create_trial(params=space.parameters(candidate), distributions=names, values=values)
        study.add_trial(trial)
    amid_s = ask()  # counts what the pool needs, once
    return first_s + amid_s, fmean(ask() for _ in range(NUM_PROPOSALS))
