"""What a search would cost, before it is begun: a few networks are timed where it would train them, and extrapolated.

Nothing here is a result: every figure is an estimate from probes and says from how many. Costs of the others follow
from their MACs by a line through the probes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import t as student

from ecoNAS.analysis.intervals import Interval, share
from ecoNAS.config import HalvingConfig
from ecoNAS.costs.screen import Screening
from ecoNAS.errors import EcoNASError
from ecoNAS.evaluation.probe import Probe
from ecoNAS.experiment.setup import Setup
from ecoNAS.experiment.try_out import draw, time_proposals, try_networks

Floats = NDArray[np.float64]

NUM_DRAWN: Final = 256  # candidates, for the share that passes and for their sizes
NUM_PROBES: Final = 6


@dataclass(frozen=True, slots=True)
class Total:
    """What all trials together would take.

    Attributes:
        epochs: Of all trainings.
        training_j: Joules of training compute, by estimated coefficients; None where joules are measured.
        whole_j: Joules of the device over the whole search, from the power while probes were profiled; else None.
    """

    epochs: float
    wall_s: Interval
    training_j: float | None
    whole_j: Interval | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What an experiment would cost.

    Attributes:
        num_networks: Of the space, without regard to rules.
        passing: Share of random candidates that pass the gate.
        num_probes: From how many networks the rest follows.
        start_s: Until the first training begins: workers, and what the sampler counts first.
        proposal_s: Of the driver, per trial.
        candidate_s: Seconds of one full training with its profile, on one worker.
        profile_s: Seconds of a profile, during which all trainings pause; 0 where nothing is measured.
        profiling_share: Of the wall time.
        worker_bytes: Largest memory of a worker; None where it cannot be told.
        total: Each training to its end.
        halved: The best go on; None where the experiment does not pause trainings and could not.
        verdict: Whether the budget fits; empty where there is none.
    """

    trials: int
    workers: int
    num_networks: int
    passing: Interval
    num_probes: int
    start_s: float
    proposal_s: float
    candidate_s: Interval
    profile_s: float
    profiling_share: float
    worker_bytes: int | None
    total: Total
    halved: Total | None
    verdict: str


def make_plan(setup: Setup, on_probe: Callable[[int, int], None] = lambda done, total: None) -> Plan:
    """Time a few networks and extrapolate.

    Args:
        setup: The experiment.
        on_probe: Called after each probe with how many are done, and of how many.

    Raises:
        EcoNASError: if nothing passes the gate, or a probe fails.
    """
    drawn, screenings = draw(setup, NUM_DRAWN)
    passing = [place for place, screening in enumerate(screenings) if screening.passes]
    if not passing:
        raise EcoNASError(f"none of {NUM_DRAWN} random candidates passes the constraints; loosen them before searching")
    passing.sort(key=lambda place: _macs(screenings[place]))
    count = min(NUM_PROBES, len(passing))
    chosen = [passing[int((place + 0.5) * len(passing) / count)] for place in range(count)]
    tasks = [setup.task(place, drawn[place], screenings[place].costs, None) for place in chosen]
    workers_s, probes = try_networks(setup, [task.model_copy(update={"until": None}) for task in tasks], on_probe)
    first_s, proposal_s = time_proposals(setup, [(drawn[place], screenings[place]) for place in passing])
    sample = _Sample(
        np.array([_macs(screenings[place]) for place in passing], dtype=np.float64),
        share(len(passing), NUM_DRAWN),
        fmean(_price(setup, screenings[place]) for place in passing),
    )
    return _extrapolate(setup, probes, sample, workers_s + first_s, proposal_s)


@dataclass(frozen=True, slots=True)
class _Sample:
    """Random candidates: MACs of those that pass, the share of them, and their mean price of a training in joules."""

    macs: Floats
    passing: Interval
    price_j: float


def _macs(screening: Screening) -> int:
    assert screening.costs is not None  # as of every network
    return screening.costs.macs


def _price(setup: Setup, screening: Screening) -> float:
    return setup.training_price_j(screening.costs) if setup.is_priced and screening.costs is not None else 0.0


def _extrapolate(setup: Setup, probes: Sequence[Probe], sample: _Sample, start_s: float, proposal_s: float) -> Plan:
    config, trials, workers = setup.config, setup.config.search.trials, setup.num_workers
    epochs = config.training.epochs
    epoch_s = _mean_epoch(probes, sample.macs)
    part_s = fmean(item.start_s for item in probes)
    profile_s = fmean(item.profile_s for item in probes)
    powers = [item.power_w for item in probes if item.power_w is not None]

    def total(parts: Sequence[tuple[int, float]]) -> Total:
        """Return the total for parts of a training: epochs, and the share of trials that get so far."""
        num_epochs = sum(length * reach for length, reach in parts)
        apart_s = sum(reach for _, reach in parts) * part_s + proposal_s
        wall_s = epoch_s.times(trials * num_epochs / workers, start_s + trials * (apart_s / workers + profile_s))
        return Total(
            epochs=trials * num_epochs,
            wall_s=wall_s,
            training_j=trials * sample.price_j * num_epochs / epochs if setup.is_priced else None,
            whole_j=wall_s.times(fmean(powers)) if powers else None,
        )

    whole, halved = total([(epochs, 1.0)]), _halved(setup)
    wanted = total(halved) if halved else None
    asked = wanted if wanted is not None and config.search.halving is not None else whole
    memory = [item.peak_memory_bytes for item in probes if item.peak_memory_bytes is not None]
    return Plan(
        trials=trials,
        workers=workers,
        num_networks=setup.space.size,
        passing=sample.passing,
        num_probes=len(probes),
        start_s=start_s,
        proposal_s=proposal_s,
        candidate_s=epoch_s.times(epochs, part_s + profile_s),
        profile_s=profile_s,
        profiling_share=trials * profile_s / asked.wall_s.value,
        worker_bytes=max(memory, default=None),
        total=whole,
        halved=wanted,
        verdict=_verdict(setup, asked),
    )


def _mean_epoch(probes: Sequence[Probe], macs: Floats) -> Interval:
    """Return seconds of an epoch, averaged over candidates of these sizes: a line through the probes."""
    design = np.array([[1.0, item.macs] for item in probes])
    seconds = np.array([item.epoch_s for item in probes])
    line, _ = nnls(design / seconds[:, None], np.ones(len(probes)))  # relative errors count
    mean = float((line[0] + line[1] * macs).mean())
    ratios = seconds / (design @ line)
    if len(probes) < 3:
        return Interval(mean, 0.5 * mean, 2.0 * mean)
    half = float(student.ppf(0.975, len(probes) - 2) * ratios.std(ddof=1) / np.sqrt(len(probes)))
    return Interval(mean, mean * max(1 - half, 0.0), mean * (1 + half))


def _halved(setup: Setup) -> list[tuple[int, float]]:
    """Return the parts of a training with halving, the experiment's own or the default; nothing where none fits."""
    halving = setup.config.search.halving or HalvingConfig()
    epochs = setup.config.training.epochs
    ends = (*halving.rungs(epochs), epochs)
    if len(ends) == 1:
        return []
    return [
        (end - begin, halving.factor**-place)
        for place, (begin, end) in enumerate(zip((0, *ends[:-1]), ends, strict=True))
    ]


def _verdict(setup: Setup, asked: Total) -> str:
    """Return whether the budget fits, with the number of trials that it would end at."""
    budget, trials, said = setup.config.search.budget, setup.config.search.trials, list[str]()
    joules = asked.whole_j.value if asked.whole_j is not None else asked.training_j
    for name, limit, needed, unit in (
        ("time", budget.time, asked.wall_s.value, "s"),
        ("energy", budget.energy, joules, "J"),
    ):
        if limit is None:
            continue
        if needed is None:
            said.append(f"the budget of {name} cannot be judged before joules are measured")
        elif needed <= limit:
            said.append(f"the budget of {limit:.4g} {unit} fits: about {needed:.3g} {unit} are needed")
        else:
            num = int(trials * limit / needed)
            said.append(
                f"the budget of {limit:.4g} {unit} ends the search at about {num} of {trials} trials; "
                f"all of them need about {needed:.3g} {unit}"
            )
    return "; ".join(said)
