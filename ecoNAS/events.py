"""Everything that can happen in a run, as records: the one source of progress, report and ledger.

How they are kept is decided by `event_log`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field

from ecoNAS.frozen import Frozen
from ecoNAS.joules import Joules
from ecoNAS.measurement import MeterInfo
from ecoNAS.records import EnergyProfile, Evaluation, Outcome, Training, now

ParameterValue = bool | int | float | str

EVENT_VERSION: Final = 1


class _Event(Frozen):
    version: Literal[1] = EVENT_VERSION
    time: datetime = Field(default_factory=now)


class Phase(Frozen):
    """One stretch of a trial on one device.

    Attributes:
        device: By the identity of its meter, or `cpu` and `cuda` where nothing is metered.
        paused_s: Seconds of it that were spent waiting for someone else's measurement.
        energy: Of this phase alone, where that is known; None where others shared the device.
        idle_w: Watts of resident idle that a profile measured.
    """

    name: Literal["profiling", "training"]
    started: datetime
    ended: datetime
    device: str
    paused_s: float = 0.0
    energy: Joules | None = None
    idle_w: float | None = None


def phases_of(evaluation: Evaluation) -> tuple[Phase, ...]:
    """Return the stretches of an evaluation: its profile, and its training, also one that came to nothing.

    What was there before it began was told of then, or belongs to the bill of another run.
    """
    profiles, training = evaluation.profiles, evaluation.training
    found = [profiling(profile) for profile in profiles if profile.started >= evaluation.started]
    if training is not None and training.started >= evaluation.started:
        found.append(trained(training))
    elif evaluation.outcome is Outcome.INFEASIBLE:
        begun = max(profiles[-1].ended, evaluation.started) if profiles else evaluation.started
        device = profiles[-1].key.device if profiles else ""
        found.append(Phase(name="training", started=begun, ended=evaluation.ended, device=device))
    return tuple(found)


def untold(phases: Sequence[Phase], told: Sequence[Phase]) -> tuple[Phase, ...]:
    """Return stretches without the parts of them that were told of before: a paused training is told part by part."""
    found = []
    for phase in phases:
        parts = [part for part in told if part.name == phase.name and part.started >= phase.started]
        energy = phase.energy
        if parts and energy is not None and energy.value_j > 0:
            known_j = sum(part.energy.value_j for part in parts if part.energy is not None)
            energy = energy * max(1 - known_j / energy.value_j, 0.0)
        changes = {
            "started": max([phase.started, *(part.ended for part in parts)]),
            "paused_s": max(phase.paused_s - sum(part.paused_s for part in parts), 0.0),
            "energy": energy,
        }
        found.append(phase.model_copy(update=changes) if parts else phase)
    return tuple(found)


def trained(training: Training) -> Phase:
    """Return the stretch in which a network was trained."""
    return Phase(
        name="training",
        started=training.started,
        ended=training.ended,
        device=training.device,
        paused_s=training.paused_s,
        energy=training.energy,
    )


def profiling(profile: EnergyProfile) -> Phase:
    """Return the stretch in which a profile was measured."""
    idle_w = profile.measurement.idle_w if profile.measurement is not None else ()
    return Phase(
        name="profiling",
        started=profile.started,
        ended=profile.ended,
        device=profile.key.device,
        energy=profile.spent,
        idle_w=sum(idle_w) / len(idle_w) if idle_w else None,
    )


class RunStarted(_Event):
    """A search began, or went on after it had ended or died."""

    type: Literal["run_started"] = "run_started"
    resumed: bool
    trials: int
    sampler: str
    energy: str = Field(description="the meter or estimator that prices joules")
    meter: MeterInfo | None = Field(None, description="of the reference device; None where joules are estimated")


class DataLookedOver(_Event):
    """The images were looked over before the search began; `split.json` holds all that was found.

    Attributes:
        lines: What is said of it, warnings last.
    """

    type: Literal["data_looked_over"] = "data_looked_over"
    lines: tuple[str, ...]


class TrialProposed(_Event):
    """A sampler proposed a candidate."""

    type: Literal["trial_proposed"] = "trial_proposed"
    trial: int
    digest: str
    parameters: dict[str, ParameterValue]


class TrialStarted(_Event):
    """A candidate was handed to a worker."""

    type: Literal["trial_started"] = "trial_started"
    trial: int
    digest: str
    attempt: int


class WorkerLost(_Event):
    """A worker died with a candidate."""

    type: Literal["worker_lost"] = "worker_lost"
    trial: int
    reason: str


class RungReached(_Event):
    """A candidate was trained up to a rung and is paused there; joules and seconds are of this stretch alone.

    Attributes:
        rung: Its place, from 0.
        at: Its name: after which epoch.
        values: What it shows there, one an objective; None for what only the whole training shows.
    """

    type: Literal["rung_reached"] = "rung_reached"
    trial: int
    digest: str
    rung: int
    at: str
    values: tuple[float | None, ...]
    duration_s: float = 0.0
    phases: tuple[Phase, ...] = ()


class TrialPromoted(_Event):
    """A paused candidate goes on from a rung."""

    type: Literal["trial_promoted"] = "trial_promoted"
    trial: int
    digest: str
    rung: int


class TrialEnded(_Event):
    """A candidate's way ended; `violations`, joules and seconds are those of this trial alone."""

    type: Literal["trial_ended"] = "trial_ended"
    trial: int
    digest: str
    outcome: Outcome
    reason: str = ""
    violations: dict[str, float] = {}
    duplicate_of: int | None = None
    duration_s: float = 0.0
    phases: tuple[Phase, ...] = ()


class RefinementStarted(_Event):
    """These ended trials, whose place on the front is not settled, are about to be measured again."""

    type: Literal["refinement_started"] = "refinement_started"
    trials: tuple[int, ...]


class ProfileRefined(_Event):
    """The energy profile of an ended trial was measured again, to a tighter target."""

    type: Literal["profile_refined"] = "profile_refined"
    trial: int
    digest: str
    target: float
    phase: Phase


class ReplicationStarted(_Event):
    """These ended trials, whose scores may owe their place on the front to luck, are about to be trained again."""

    type: Literal["replication_started"] = "replication_started"
    trials: tuple[int, ...]


class TrainingReplicated(_Event):
    """An ended trial was trained again with another seed."""

    type: Literal["training_replicated"] = "training_replicated"
    trial: int
    digest: str
    phase: Phase


class CandidateProfiled(_Event):
    """A candidate was measured before any training of it was begun; `phases` are no part of its trial's then."""

    type: Literal["candidate_profiled"] = "candidate_profiled"
    digest: str
    phases: tuple[Phase, ...]


class BaselineProfiled(_Event):
    """The ready model that bounds are relative to was measured, before the search began."""

    type: Literal["baseline_profiled"] = "baseline_profiled"
    model: str
    phase: Phase


class SplitRead(_Event):
    """A network that was refitted was scored on the test split.

    Attributes:
        network: The digest of a candidate, or `timm:` and the name of a ready model.
        replicate: Which of its trainings, from 0.
    """

    type: Literal["split_read"] = "split_read"
    network: str
    replicate: int


class EnergyMetered(_Event):
    """The driver read the counter of the reference device; its joules are all that the device took meanwhile."""

    type: Literal["energy_metered"] = "energy_metered"
    started: datetime
    ended: datetime
    energy: Joules


class MeterFailed(_Event):
    """The counter of the reference device could not be trusted any more; what it counted before is a lower bound."""

    type: Literal["meter_failed"] = "meter_failed"
    reason: str


class ScaleFixed(_Event):
    """The scale of the hypervolume was fixed: by objective, (ideal, nadir) in the objective's unit."""

    type: Literal["scale_fixed"] = "scale_fixed"
    source: Literal["bounds and first evaluations", "first evaluations"]
    objectives: dict[str, tuple[float, float]]


class RunEnded(_Event):
    """A search ended in its own words; a run that died has no such event."""

    type: Literal["run_ended"] = "run_ended"
    reason: Literal["trials", "budget", "plateau", "exhausted", "interrupted", "nothing_passes", "failing"]
    detail: str = ""


Event = Annotated[
    RunStarted
    | DataLookedOver
    | TrialProposed
    | TrialStarted
    | WorkerLost
    | RungReached
    | TrialPromoted
    | TrialEnded
    | RefinementStarted
    | ProfileRefined
    | ReplicationStarted
    | TrainingReplicated
    | CandidateProfiled
    | BaselineProfiled
    | SplitRead
    | EnergyMetered
    | MeterFailed
    | ScaleFixed
    | RunEnded,
    Field(discriminator="type"),
]
