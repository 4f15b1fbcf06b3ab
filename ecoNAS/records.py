"""What is known about a candidate, as versioned records: costs, energy profile, training, evaluation.

A training is keyed by what decides its weights, a profile by what decides its joules; an evaluation joins one of each.
How the records come about is decided by `costs`, `energy`, `training` and `evaluation`; where they lie by `run_folder`.
"""

from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Final, Literal

from pydantic import Field

from ecoNAS.architecture import Candidate, Deployment, Problem
from ecoNAS.frozen import Frozen, canonical_digest
from ecoNAS.joules import Joules
from ecoNAS.measurement import Latency, Measurement, ProfileStatus

RECORD_VERSION: Final = 1

ScoreKind = Literal["exact", "measured", "estimated", "simulated"]


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class Outcome(StrEnum):
    """How a candidate's way through the search ended."""

    EVALUATED = "evaluated"
    REFUSED = "refused"  # by the gate: a bound is broken before anything was trained
    DUPLICATE = "duplicate"  # proposed again: the cached evaluation was told
    STOPPED = "stopped"  # at a rung
    INFEASIBLE = "infeasible"  # out of memory, diverged
    FAILED = "failed"  # infrastructure


class Score(Frozen):
    """A value with how sure it is.

    Attributes:
        value: In the unit of its objective.
        standard_error: In the same unit; 0 for exact values, None where it is not known (an estimate has an interval).
        interval: Bounds of the 95 % interval, where one is known that a standard error does not say.
        num_samples: How many images or windows stand behind it; None for exact values.
        split: Which images it was read from, if any.
        kind: How it is known.
    """

    value: float
    standard_error: float | None = 0.0
    interval: tuple[float, float] | None = None
    num_samples: int | None = None
    split: Literal["train", "validation", "test"] | None = None
    kind: ScoreKind = "exact"


class Costs(Frozen):
    """What is exact without data or device, for one image.

    Attributes:
        params: Count of trainable numbers.
        macs: Fused multiply-adds of convolutions, linear layers, matrix products and attention.
        activation_memory_bytes: fp32 bytes of the outputs of all layers for one image, each tensor once.
    """

    params: Annotated[int, Field(ge=0)]
    macs: Annotated[int, Field(ge=0)]
    activation_memory_bytes: Annotated[int, Field(ge=0)]

    @property
    def flops(self) -> int:
        """FLOPs = 2 x MACs."""
        return 2 * self.macs

    def __add__(self, other: "Costs") -> "Costs":
        """Return the sum of two parts of one network."""
        return Costs(
            params=self.params + other.params,
            macs=self.macs + other.macs,
            activation_memory_bytes=self.activation_memory_bytes + other.activation_memory_bytes,
        )


class Key(Frozen):
    """What decides a result; equal keys have equal digests."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the key."""
        return canonical_digest(self.model_dump(mode="json"))


class ProfileKey(Key):
    """What decides the joules of a network: (architecture, deployment, device)."""

    architecture: str
    deployment: Deployment
    device: str


class TrainingKey(Key):
    """What decides the weights of a network: (architecture, data and split, recipe, resolution, seed, start)."""

    architecture: str
    data: str
    recipe: str
    resolution: int
    seed: int
    start: str = "scratch"


class Workload(Frozen):
    """What ran while joules were measured.

    Attributes:
        model: A name for people: of a timm model, a file, or `architecture`.
        digest: Of the architecture or the file; equal digests are equal networks.
        shape: Of one batch: (batch, channels, height, width).
        costs: Of the network; None where it could not be counted.
        candidate: Digest of the candidate of a run that it is; empty for other networks.
    """

    model: str
    digest: str
    shape: tuple[int, int, int, int]
    deployment: Deployment
    costs: Costs | None = None
    candidate: str = ""


class EnergyProfile(Frozen):
    """Joules per image of one candidate on one device, with interval and provenance.

    Attributes:
        energy: With the interval for ranking networks on this device; None where the status is `invalid`.
        spent: What the device took in all for this profile, warm-up and idle included; None for an estimate.
        measurement: Windows, absolute interval, power, temperatures and all; None for an estimate.
        peak_memory_bytes: Of the device (a GPU) or of the process; None where it was not measured.
        software: Versions by package, of the machine that measured.
    """

    version: Literal[1] = RECORD_VERSION
    key: ProfileKey
    quantity: Literal["energy_per_image", "energy_per_image_b1"] = "energy_per_image"
    energy: Joules | None
    latency: Latency | None = None
    runner: str
    status: ProfileStatus = "ok"
    reasons: tuple[str, ...] = ()
    spent: Joules | None = None
    measurement: Measurement | None = None
    workload: Workload | None = None
    peak_memory_bytes: int | None = None
    software: dict[str, str] = {}
    started: datetime
    ended: datetime


class EpochRecord(Frozen):
    """One epoch of a training as it was seen; None for what was not looked at."""

    epoch: int
    train_loss: float
    validation_loss: float | None
    validation_accuracy: float | None
    duration_s: float


class Training(Frozen):
    """One architecture trained on one data set with one recipe, seed and start.

    Attributes:
        accuracy: On the validation split, a fraction.
        validation_predictions: The class predicted for each validation image, in the order of the split.
        energy: Joules of the training; None where they are not known.
        energy_note: Why a measured training has no joules, and how many were counted before; empty otherwise.
        paused_s: Seconds of `duration_s` that it waited for others' measurements.
        weights_file: Relative to the run folder; None where weights were not kept.
        accumulated: In how many parts each batch was passed; 2 where a whole one did not fit into memory.
        inherited: The share of its numbers that the network began with from elsewhere; 0 from scratch.
        scores: What else the validation predictions are worth, by name; see `ecoNAS.training.scores`.
    """

    version: Literal[1] = RECORD_VERSION
    key: TrainingKey
    accuracy: Score
    curve: tuple[EpochRecord, ...]
    scores: dict[str, Score] = {}
    num_train_images: int
    images_seen: int
    accumulated: int = 1
    inherited: float = 0.0
    validation_predictions: tuple[int, ...]
    energy: Joules | None
    energy_note: str = ""
    weights_file: str | None
    device: str
    duration_s: float
    paused_s: float = 0.0
    started: datetime
    ended: datetime


class ReadyModel(Frozen):
    """A ready timm model through the same profile and training as a candidate: what a searched network has to beat."""

    version: Literal[1] = RECORD_VERSION
    name: str
    costs: Costs
    profile: EnergyProfile
    training: Training
    started: datetime
    ended: datetime


class Refit(Frozen):
    """One network trained in full with one seed after a search, and what it makes of the test split.

    Attributes:
        network: The digest of a candidate, or `timm:` and the name of a ready model.
        trial: Its number in the run; None for a ready model.
        replicate: Which seed, from 0.
        test: Scores on the test split by name: `accuracy`, and those of `ecoNAS.training.scores`.
        test_predictions: The class predicted for each test image, in the order of the split.
    """

    version: Literal[1] = RECORD_VERSION
    network: str
    trial: int | None
    replicate: int
    costs: Costs
    training: Training
    test: dict[str, Score]
    test_predictions: tuple[int, ...]
    started: datetime
    ended: datetime


class Evaluation(Frozen):
    """The record that joins costs, profile and training of one candidate; one file each in a run folder.

    Attributes:
        profile: Joules per image of the deployment; None where the candidate came not so far.
        profile_b1: The same at batch 1, where that was asked for.
        replicates: Further trainings with other seeds, where the first score was doubtful; their weights are dropped.
        trained_in: The run whose training was taken over; empty where it was trained here.
        violations: By constraint, (value - bound) / |bound|: above 0 is broken. `trainable` is 1 for infeasible ones.
        reason: Why the outcome is not `evaluated`, in one line; empty otherwise.
    """

    version: Literal[1] = RECORD_VERSION
    trial: int
    candidate: Candidate
    problem: Problem
    outcome: Outcome
    reason: str = ""
    costs: Costs
    profile: EnergyProfile | None = None
    profile_b1: EnergyProfile | None = None
    training: Training | None = None
    replicates: tuple[Training, ...] = ()
    trained_in: str = ""
    violations: dict[str, float] = {}
    worker: str = ""
    started: datetime
    ended: datetime

    @property
    def digest(self) -> str:
        """The digest of the candidate."""
        return self.candidate.digest

    @property
    def profiles(self) -> tuple[EnergyProfile, ...]:
        """All profiles that there are."""
        return tuple(profile for profile in (self.profile, self.profile_b1) if profile is not None)

    @property
    def trainings(self) -> tuple[Training, ...]:
        """The training and its replicates."""
        return (self.training, *self.replicates) if self.training is not None else ()

    @property
    def is_feasible(self) -> bool:
        """Whether it was evaluated and breaks no constraint."""
        return self.outcome is Outcome.EVALUATED and all(value <= 0 for value in self.violations.values())
