"""What is known about an exported network, for programs: `metrics.json`, with the facts about its images.

How it is told to people is decided by `card`; the definition of the network by `definition`, its proof by `verify`.
"""

from typing import Literal

from ecoNAS import __version__
from ecoNAS.architecture import Problem
from ecoNAS.errors import ExportError
from ecoNAS.frozen import Frozen
from ecoNAS.joules import Joules
from ecoNAS.records import Costs, EnergyProfile, Evaluation, Score, TrainingKey


class DataCard(Frozen):
    """What a user must know about the images that a network was trained on.

    Attributes:
        name: Of the data set.
        class_names: In the order of the logits.
        mean: Per channel, of pixels scaled to 0..1; it is subtracted.
        std: Per channel, of pixels scaled to 0..1; what is left is divided by it.
        smaller: Mean and std of smaller images, by pixels, where networks were trained on some.
    """

    name: str
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    smaller: dict[int, tuple[tuple[float, ...], tuple[float, ...]]] = {}

    def at(self, resolution: int) -> "DataCard":
        """Return what a network that sees images of a size in pixels must know."""
        mean, std = self.smaller.get(resolution, (self.mean, self.std))
        return self.model_copy(update={"mean": mean, "std": std, "smaller": {}})

    def check(self, problem: Problem) -> None:
        """Raise ExportError unless there is a name for each class, and a mean and a deviation for each channel."""
        for what, given, wanted in (
            ("class names", len(self.class_names), problem.num_classes),
            ("channel means", len(self.mean), problem.input_channels),
            ("channel deviations", len(self.std), problem.input_channels),
        ):
            if given != wanted:
                raise ExportError(f"data set {self.name} gives {given} {what}, the network has {wanted}")


class Metrics(Frozen):
    """Everything that is known about an exported network.

    Attributes:
        econas: Version of ecoNAS that wrote it.
        candidate: Digest of architecture and deployment.
        scores: By name, such as `validation_accuracy`, a fraction with its standard error.
        profile: Joules per image with deployment, device and provenance; None where they are not known.
        training: What decided the weights; None for a network that was not trained.
        training_energy: In joules; None where it is not known.
    """

    version: Literal[1] = 1
    econas: str = __version__
    candidate: str
    architecture: str
    problem: Problem
    data: DataCard
    costs: Costs
    scores: dict[str, Score]
    profile: EnergyProfile | None = None
    training: TrainingKey | None = None
    training_energy: Joules | None = None
    images_seen: int = 0


def metrics_of(evaluation: Evaluation, data: DataCard, test_accuracy: Score | None) -> Metrics:
    """Return what an evaluation says about its candidate, and what `data` says about the images."""
    training = evaluation.training
    scores = {"validation_accuracy": training.accuracy} if training else {}
    if test_accuracy is not None:
        scores["test_accuracy"] = test_accuracy
    return Metrics(
        candidate=evaluation.digest,
        architecture=evaluation.candidate.architecture.digest,
        problem=evaluation.problem,
        data=data,
        costs=evaluation.costs,
        scores=scores,
        profile=evaluation.profile,
        training=training.key if training else None,
        training_energy=training.energy if training else None,
        images_seen=training.images_seen if training else 0,
    )
