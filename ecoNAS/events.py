"""`events.jsonl`: everything that happened in a run, one JSON object a line, append-only.

It is the one source of progress, report and ledger. A line that was torn by a sudden death is recognised, since it is
the last one and does not end in a newline; readers leave it out, and `repair` cuts it off before a run goes on.
"""

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ecoNAS.architecture import Frozen
from ecoNAS.errors import RunFolderError, why_not_written
from ecoNAS.joules import Joules
from ecoNAS.measurement import MeterInfo
from ecoNAS.records import EnergyProfile, Evaluation, Outcome, Training, now
from ecoNAS.validation import in_one_line

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
    | EnergyMetered
    | MeterFailed
    | ScaleFixed
    | RunEnded,
    Field(discriminator="type"),
]
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)


class EventLog:
    """The events of one run, in order; appends reach the disk before `append` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, event: Event) -> None:
        """Write one event as one line, whole or not at all.

        Raises:
            RunFolderError: if the disk is full or the file cannot be written.
        """
        line = event.model_dump_json().encode() + b"\n"
        try:
            with self.path.open("ab", buffering=0) as file:
                _append(file, line)
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be written: {why_not_written(error)}") from None

    def repair(self) -> None:
        """Cut off a last line that a sudden death tore."""
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with self.path.open("r+b") as file:
                file.truncate(whole)

    def __iter__(self) -> Iterator[Event]:
        """Yield the events; a torn last line is left out.

        Raises:
            RunFolderError: if a whole line is no event.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as file:  # bytes: a torn line may end within a character
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield _ADAPTER.validate_json(line)
                except ValidationError as error:
                    raise RunFolderError(
                        f"{self.path}:{number}: not an event of this version: {in_one_line(error)}; "
                        "restore the file, or start a new run"
                    ) from None


def _append(file: FileIO, line: bytes) -> None:
    """Write `line` at the end of `file` and wait for the disk; on failure the file is as it was."""
    end = file.seek(0, os.SEEK_END)
    try:
        while line:  # a nearly full disk takes a part and refuses the rest
            line = line[file.write(line) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(end)
        raise
