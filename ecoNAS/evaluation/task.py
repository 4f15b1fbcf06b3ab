"""What a worker is told: everything that evaluating one network depends on, so that any process gives the same record.

A task says which network, which data, which recipe and which meter; what is done with them is decided by `evaluate`.
"""

from pathlib import Path
from typing import Literal, Self

from torch import nn

from ecoNAS.architecture import Candidate, Deployment, Problem, derive_seed
from ecoNAS.config import DataConfig, EnergyConfig
from ecoNAS.costs.constraints import Constraint
from ecoNAS.costs.counts import count_network
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.evaluation.teacher import Teacher
from ecoNAS.frozen import Frozen
from ecoNAS.measurement import MeterInfo
from ecoNAS.models.baseline import build_baseline
from ecoNAS.models.fused import fused
from ecoNAS.models.network import build_network
from ecoNAS.recipe import TrainingConfig
from ecoNAS.records import Costs, EnergyProfile, ProfileKey, Training, TrainingKey, Workload
from ecoNAS.training.seeding import seeded


class NetworkTask(Frozen):
    """What profiling and training depend on, whichever network it is.

    Attributes:
        data_digest: The fingerprint that the data must have where the task is run.
        reference: The meter of the device that joules are measured on; None where they are estimated.
        target: A measured profile is content with this relative half-width of its interval.
        driver_pid: Of the process that runs the search: it and its children are ours when others are looked for.
        trains_alone: Whether no other training of this search shares the device, so that its joules can be told.
        measures_b1: Whether joules at batch 1 are asked for, as a record of their own.
        seed: Of the run; what is random in the training derives from it and from the architecture.
        replicate: 0 for the first training of a network; each further one has another seed.
        purpose: A refit has seeds of its own: the search chose networks with its seeds, so that they flatter.
        start: What the training begins with, as its key says it.
        start_from: The file of those weights; None for new ones.
        teacher: Whose answers are learned, where the recipe asks for distillation.
        user_scores: Dotted paths of the user's own scores, which are computed after the training.
        device: "cpu" or "cuda".
        weights: Where the trained weights go, relative to `run_folder`; None to drop them.
        until: The epoch after which the training is paused; None to train to the end.
        since: The epoch after which an earlier part was paused, whose checkpoint lies in `checkpoints`; 0 for none.
        checkpoints: The folder of checkpoints, relative to `run_folder`.
    """

    problem: Problem
    costs: Costs
    data: DataConfig
    data_digest: str
    recipe: TrainingConfig
    energy: EnergyConfig
    reference: MeterInfo | None = None
    target: float = EnergySettings().first_target
    driver_pid: int | None = None
    trains_alone: bool = False
    measures_latency: bool = False
    measures_b1: bool = False
    seed: int = 0
    replicate: int = 0
    purpose: Literal["search", "refit"] = "search"
    start: str = "scratch"
    start_from: Path | None = None
    teacher: Teacher | None = None
    user_scores: tuple[str, ...] = ()
    device: str = "cpu"
    threads: int = 1
    run_folder: Path | None = None
    weights: str | None = None
    until: int | None = None
    since: int = 0
    checkpoints: str = ""

    def checkpoint(self, epoch: int) -> Path:
        """Return where the training lies as it was after an epoch."""
        assert self.run_folder is not None  # only trainings of a run are paused
        return self.run_folder / self.checkpoints / f"{epoch}.safetensors"

    @property
    def model(self) -> str:
        """The network's name for people."""
        raise NotImplementedError

    @property
    def architecture_key(self) -> str:
        """What the keys of profile and training call the architecture."""
        raise NotImplementedError

    @property
    def deployment(self) -> Deployment:
        """How the network runs when it is used."""
        raise NotImplementedError

    def deployed(self, how: Deployment) -> Self:
        """Return the same task with the network deployed otherwise."""
        raise NotImplementedError

    def build(self) -> nn.Module:
        """Return the network with new weights from torch's global generator."""
        raise NotImplementedError

    def build_seeded(self) -> nn.Module:
        """Return the network with the weights that the task decides, and nothing that ran before."""
        with seeded(derive_seed(self.training_key.seed, "weights")):
            return self.build()

    @property
    def training_key(self) -> TrainingKey:
        """What decides the weights."""
        again: tuple[object, ...] = (self.replicate,) if self.replicate else ()
        if self.purpose == "refit":
            again = (self.purpose, self.replicate)
        return TrainingKey(
            architecture=self.architecture_key,
            data=self.data_digest,
            recipe=self.recipe.digest,
            resolution=self.problem.resolution,
            seed=derive_seed(self.seed, "training", self.architecture_key, *again),
            start=self.start,
        )

    def profile_key(self, device: str) -> ProfileKey:
        """Return what decides the joules on a device."""
        return ProfileKey(architecture=self.architecture_key, deployment=self.deployment, device=device)

    @property
    def workload(self) -> Workload:
        """What runs while it is measured."""
        return Workload(
            model=self.model,
            digest=self.architecture_key,
            shape=self.problem.input_shape(self.deployment.batch),
            deployment=self.deployment,
            costs=self.deployed_costs,
        )

    @property
    def deployed_costs(self) -> Costs:
        """The costs of the network in the form in which it is deployed; `costs` are of the one that is trained."""
        if self.deployment.form == "training":
            return self.costs
        return count_network(fused(self.build_seeded()), self.problem)


class EvaluationTask(NetworkTask):
    """The evaluation of one candidate.

    Attributes:
        stage: `profile` measures and does not train; `train` trains and takes `profile` as it is; `whole` does both.
        profile: What was measured before; None to measure.
        profile_b1: The same at batch 1.
        training: What an equal training gave before; None to train.
        trained_in: The run that it was done in.
    """

    trial: int
    candidate: Candidate
    constraints: tuple[Constraint, ...] = ()
    lifetime_images: float = 1e6
    stage: Literal["whole", "profile", "train"] = "whole"
    profile: EnergyProfile | None = None
    profile_b1: EnergyProfile | None = None
    training: Training | None = None
    trained_in: str = ""

    @property
    def model(self) -> str:
        """That of a ready model, else `architecture`."""
        return self.candidate.architecture.name

    @property
    def architecture_key(self) -> str:
        """The digest of the architecture."""
        return self.candidate.architecture.digest

    @property
    def deployment(self) -> Deployment:
        """That of the candidate."""
        return self.candidate.deployment

    def deployed(self, how: Deployment) -> Self:
        """Return the same task with the candidate deployed otherwise."""
        return self.model_copy(update={"candidate": self.candidate.model_copy(update={"deployment": how})})

    def build(self) -> nn.Module:
        """Return the candidate's network with new weights."""
        return build_network(self.candidate.architecture, self.problem)


class ReadyModelTask(NetworkTask):
    """The evaluation of a ready timm model, which a searched network has to beat.

    Attributes:
        name: Where it is not timm's: `resnet10t@64` sees images of 64 pixels.
        how: It is deployed.
    """

    timm: str
    name: str = ""
    how: Deployment

    @property
    def model(self) -> str:
        """Its name, with the pixels that it sees where the user asked for others than the data has."""
        return self.name or self.timm

    @property
    def architecture_key(self) -> str:
        """Its name, marked as timm's."""
        return f"timm:{self.model}"

    @property
    def deployment(self) -> Deployment:
        """That of the experiment."""
        return self.how

    def deployed(self, how: Deployment) -> Self:
        """Return the same task with the model deployed otherwise."""
        return self.model_copy(update={"how": how})

    def build(self) -> nn.Module:
        """Return the model with new weights, never pretrained."""
        return build_baseline(self.timm, self.problem)
