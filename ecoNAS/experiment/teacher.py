"""A teacher as a user names it: the folder of an export, or a timm model, which is trained first."""

import logging
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import numpy as np

from ecoNAS.architecture import Problem, load_architecture
from ecoNAS.errors import RunFolderError, TeacherError
from ecoNAS.evaluation.parts import forget_parts, train_in_parts
from ecoNAS.evaluation.teacher import Teacher
from ecoNAS.experiment.setup import Setup
from ecoNAS.export.formats import Metrics
from ecoNAS.models.baseline import check_reads
from ecoNAS.recipe import DistillationConfig, TrainingConfig
from ecoNAS.run_folder import read_record
from ecoNAS.training.failures import InfeasibleTrainingError

logger = logging.getLogger(__name__)

KEY_DIGITS = 16
MAX_SHIFT = 0.02  # of the mean or the deviation of a channel, between the images of a teacher and of its pupils


def find_teacher(name: str, setup: Setup, recipe: TrainingConfig, folder: Path, problems: Iterable[Problem]) -> Teacher:
    """Return the teacher that a user named.

    Args:
        name: The folder of an export, or a name of timm's.
        setup: Of the refit.
        recipe: That a timm model is trained with, unless it was.
        folder: The run folder; such a model's weights lie in `refit/teacher`.
        problems: The images that it is to judge, as large as its pupils see them.

    Raises:
        RunFolderError: if a folder is no export, or one for other images.
        ArchitectureError: if timm knows no such model, or it cannot read these images.
        TeacherError: if its own training came to nothing.
    """
    if Path(name).is_dir():
        exported = _exported(Path(name), setup)
        for problem in problems:
            exported.build(problem)
        return exported
    if Path(name).is_absolute():
        raise RunFolderError(f"--teacher {name}: no such folder; restore it, or give a timm model")
    check_reads(name, setup.problem, problems, "choose another --teacher, since some networks see such images")
    task = setup.ready_model_task(name, folder)
    place = f"refit/teacher/{name}"
    place += f"-{recipe.digest[:KEY_DIGITS]}"
    weights = f"{place}.safetensors"
    if not (folder / weights).exists():
        (folder / "refit" / "teacher").mkdir(parents=True, exist_ok=True)
        logger.info("training the teacher %s for %d epochs", name, recipe.epochs)
        changes = {"recipe": recipe, "weights": weights, "checkpoints": f"{place}.parts", "until": None}
        task = task.model_copy(update=changes)
        try:
            train_in_parts(task)
        except InfeasibleTrainingError as error:
            raise TeacherError(f"--teacher {name}: its own training came to nothing: {error}") from None
        forget_parts(task)
    return Teacher(network=name, weights=folder / weights)


def learning_from(teacher: Teacher, how: DistillationConfig) -> DistillationConfig:
    """Return the part of a recipe that learns from a teacher; the digest of the recipe says from which."""
    known = teacher.network if isinstance(teacher.network, str) else teacher.network.digest[:KEY_DIGITS]
    of = sha256(teacher.weights.read_bytes()).hexdigest()[:KEY_DIGITS]
    return how.model_copy(update={"teacher": f"{known}:{of}"})


def _exported(folder: Path, setup: Setup) -> Teacher:
    architecture, weights = folder / "architecture.json", folder / "weights.safetensors"
    if not architecture.exists() or not weights.exists():
        raise RunFolderError(f"{folder} is no export: it holds no architecture.json and weights.safetensors")
    metrics = folder / "metrics.json"
    if metrics.exists():  # what it learned must be what its pupils learn
        card, scale = read_record(metrics, Metrics, "metrics of an export").data, setup.data.normalisation
        if card.class_names != setup.data.class_names:
            raise RunFolderError(
                f"{folder} tells other classes apart ({', '.join(card.class_names[:3])}, ... of {card.name}) than "
                f"{setup.data.name}; choose another teacher"
            )
        if not np.allclose((*card.mean, *card.std), (*scale.mean, *scale.std), atol=MAX_SHIFT):
            logger.warning(
                "teacher %s learned from images of mean %s and deviation %s; its pupils show it those of %s and %s",
                *(folder, card.mean, card.std, scale.mean, scale.std),
            )
    return Teacher(network=load_architecture(architecture), weights=weights)
