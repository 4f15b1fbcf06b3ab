"""Objectives: named scores or costs that are read from an evaluation, with direction, unit and how each is known.

An objective is read, never computed during training: a finished search can be scored again without retraining. A new
one is a function from an evaluation to a score and a row in `OBJECTIVES`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Final, Literal

from ecoNAS.config import ExperimentConfig
from ecoNAS.dotted_path import is_dotted
from ecoNAS.errors import ConfigError, unknown_name
from ecoNAS.joules import Joules
from ecoNAS.pareto import Direction
from ecoNAS.records import Costs, Evaluation, Score
from ecoNAS.training.scores import user_score

BATCH_1: Final = "energy_per_image_b1"  # measured only where it is asked for

Known = Literal["exact", "measurable", "after_training"]


@dataclass(frozen=True, slots=True)
class Objective:
    """A named score with its direction, unit and how it is known.

    Attributes:
        known: `exact` before training and without a device; `measurable` in seconds, without training; else
            `after_training`.
        read: Returns the score of an evaluation, or None where the evaluation does not hold it.
        is_energy: Whether the value is joules, whose kind (measured, estimated) must be shown with it.
    """

    name: str
    direction: Direction
    unit: str
    known: Known
    meaning: str
    read: Callable[[Evaluation, float], Score | None]
    is_energy: bool = False

    @property
    def is_learned(self) -> bool:
        """Whether another seed of the same training would give another value."""
        return self.known == "after_training" and not self.is_energy

    def better(self, value: float, other: float) -> bool:
        """Return whether `value` is strictly better than `other`."""
        return value > other if self.direction == "maximize" else value < other


def _energy_score(energy: Joules | None) -> Score | None:
    if energy is None:
        return None
    # The half-width of a 95 % interval is 1.96 standard errors; an estimate's interval is a factor and says nothing of
    # that kind.
    error = (energy.high_j - energy.low_j) / 2 / 1.96 if energy.kind != "estimated" else None
    return Score(value=energy.value_j, standard_error=error, interval=(energy.low_j, energy.high_j), kind=energy.kind)


def _accuracy(evaluation: Evaluation, _: float) -> Score | None:
    return mean_accuracy(evaluation)


def _trained(name: str) -> Callable[[Evaluation, float], Score | None]:
    """Return what reads a score beyond accuracy; it finds None in a training that was made before there was one."""

    def read(evaluation: Evaluation, _: float) -> Score | None:
        found = [training.scores.get(name) for training in evaluation.trainings]
        scores = [score for score in found if score is not None]
        return mean_score(scores) if scores and len(scores) == len(found) else None

    return read


def mean_accuracy(evaluation: Evaluation) -> Score | None:
    """Return the mean accuracy of the trainings of a candidate; None where it was not trained."""
    return mean_score([training.accuracy for training in evaluation.trainings]) if evaluation.trainings else None


def mean_score(scores: Sequence[Score]) -> Score:
    """Return the mean score of trainings that differ in their seed.

    Its standard error has that of the images, which all of them share, and that of the seeds.
    """
    if len(scores) == 1:
        return scores[0]
    values = [score.value for score in scores]
    images = fmean(score.standard_error or 0.0 for score in scores)
    error = math.hypot(images, stdev(values) / math.sqrt(len(values)))
    return scores[0].model_copy(update={"value": fmean(values), "standard_error": error})


def _energy_per_image(evaluation: Evaluation, _: float) -> Score | None:
    return _energy_score(evaluation.profile.energy if evaluation.profile else None)


def _energy_per_image_b1(evaluation: Evaluation, _: float) -> Score | None:
    return _energy_score(evaluation.profile_b1.energy if evaluation.profile_b1 else None)


def _training_energy(evaluation: Evaluation, _: float) -> Score | None:
    return _energy_score(evaluation.training.energy if evaluation.training else None)


def _lifetime_energy(evaluation: Evaluation, images: float) -> Score | None:
    training, profile = evaluation.training, evaluation.profile
    if training is None or training.energy is None or profile is None or profile.energy is None:
        return None
    return _energy_score(training.energy + profile.energy * images)


def _latency(evaluation: Evaluation, _: float) -> Score | None:
    latency = evaluation.profile.latency if evaluation.profile else None
    if latency is None:
        return None
    return Score(
        value=latency.median_s,
        standard_error=latency.standard_error_s,
        num_samples=latency.num_iterations,
        kind="measured",
    )


def _rows() -> list[Objective]:
    runs = "joules to run one image"
    lifetime = "joules to train once and to run `energy.lifetime_images` images"
    return [
        Objective("accuracy", "maximize", "", "after_training", "share of validation images read right", _accuracy),
        _score("macro_f1", "mean over classes of the harmonic mean of precision and recall"),
        _score("balanced_accuracy", "mean over classes of the share of their validation images read right"),
        _score("worst_recall", "share of validation images read right of the class that is read worst"),
        Objective("energy_per_image", "minimize", "J", "measurable", runs, _energy_per_image, is_energy=True),
        Objective(BATCH_1, "minimize", "J", "measurable", f"{runs} at batch 1", _energy_per_image_b1, is_energy=True),
        Objective(
            "training_energy",
            "minimize",
            "J",
            "after_training",
            "joules to train once",
            _training_energy,
            is_energy=True,
        ),
        Objective("lifetime_energy", "minimize", "J", "after_training", lifetime, _lifetime_energy, is_energy=True),
        Objective("latency", "minimize", "s", "measurable", "median seconds per batch of the deployment", _latency),
        _cost("macs", "", "multiply-adds per image", lambda costs: costs.macs),
        _cost("flops", "", "2 x MACs per image", lambda costs: costs.flops),
        _cost("params", "", "trainable numbers", lambda costs: costs.params),
        _cost(
            "activation_memory",
            "B",
            "fp32 bytes of all layer outputs for one image",
            lambda costs: costs.activation_memory_bytes,
        ),
    ]


def _score(name: str, meaning: str) -> Objective:
    return Objective(name, "maximize", "", "after_training", meaning, _trained(name))


def _users(path: str) -> Objective:
    """Return the objective that reads a user's own score."""
    score = user_score(path)
    return Objective(path, score.direction, "", "after_training", score.meaning, _trained(path))


def _cost(name: str, unit: str, meaning: str, read: Callable[[Costs], int]) -> Objective:
    return Objective(
        name, "minimize", unit, "exact", meaning, lambda evaluation, _: Score(value=read(evaluation.costs))
    )


OBJECTIVES: dict[str, Objective] = {objective.name: objective for objective in _rows()}


@dataclass(frozen=True, slots=True)
class Objectives:
    """The objectives of one study, in the order in which the user wrote them."""

    items: tuple[Objective, ...]
    lifetime_images: float

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(objective.name for objective in self.items)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Directions in order."""
        return tuple(objective.direction for objective in self.items)

    def scores(self, evaluation: Evaluation) -> tuple[Score, ...] | None:
        """Return one score an objective, or None if the evaluation lacks one of them."""
        found = [objective.read(evaluation, self.lifetime_images) for objective in self.items]
        scores = tuple(score for score in found if score is not None)
        return scores if len(scores) == len(found) else None

    def values(self, evaluation: Evaluation) -> tuple[float, ...] | None:
        """Return one number an objective, or None if the evaluation lacks one of them."""
        scores = self.scores(evaluation)
        return tuple(score.value for score in scores) if scores is not None else None

    def errors(self, evaluation: Evaluation) -> tuple[float, ...] | None:
        """Return the standard error of each value, 0 where none is known, or None if the evaluation lacks a value."""
        scores = self.scores(evaluation)
        return tuple(score.standard_error or 0.0 for score in scores) if scores is not None else None

    def select(self, names: Sequence[str]) -> "Objectives":
        """Return other objectives for the same study; raises KeyError for an unknown name."""
        return Objectives(tuple(OBJECTIVES[name] for name in names), self.lifetime_images)


def objectives_of(config: ExperimentConfig) -> Objectives:
    """Return the objectives of an experiment.

    Raises:
        ConfigError: for an unknown name, with the nearest known one.
    """
    for index, name in enumerate(config.objectives):
        if is_dotted(name) and name not in OBJECTIVES:
            try:
                OBJECTIVES[name] = _users(name)
            except ConfigError as error:
                raise config.error(("objectives", index), str(error)) from None
        if name not in OBJECTIVES:
            raise config.error(("objectives", index), unknown_name("objective", name, OBJECTIVES))
    return Objectives(tuple(OBJECTIVES[name] for name in config.objectives), config.energy.lifetime_images)
