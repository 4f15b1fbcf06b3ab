"""What trainings begin with: new weights, those of a file, or those of the nearest network that was trained before.

The choice is part of the key of a training. What is nearest depends on which trainings have ended by then, so a search
that inherits does not repeat exactly on several workers.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ecoNAS.config import ExperimentConfig, WeightsConfig
from ecoNAS.errors import RunFolderError
from ecoNAS.evaluation.task import EvaluationTask, NetworkTask
from ecoNAS.experiment.setup import Setup
from ecoNAS.records import Evaluation, Outcome
from ecoNAS.run_folder import RunFolder
from ecoNAS.training.start import read_weights

SUFFIXES: Final = (".safetensors", ".pth", ".pt", ".bin")
KEY_DIGITS: Final = 16  # of a digest, in the key of a training

TaskT = TypeVar("TaskT", bound=NetworkTask)


@dataclass(slots=True)
class Heritage:
    """Weights to begin with, for the candidates of one search.

    Attributes:
        folder: Of the run, whose trained networks are inherited from.
    """

    setup: Setup
    folder: RunFolder
    _trained: dict[str, tuple[Evaluation, NDArray[np.float64]]] = field(default_factory=dict)

    def task(self, task: EvaluationTask) -> EvaluationTask:
        """Return a task with the weights to begin with, where the experiment asks for any."""
        start = self.setup.config.start
        if isinstance(start, WeightsConfig):
            return as_given(task, self.setup.config)
        if start == "scratch" or task.since:
            return task
        nearest = self._nearest(task)
        if nearest is None:
            return task
        assert nearest.training is not None
        assert nearest.training.weights_file is not None
        return task.model_copy(
            update={
                "start": f"inherit:{nearest.candidate.architecture.digest[:KEY_DIGITS]}",
                "start_from": self.folder.path / nearest.training.weights_file,
            }
        )

    def _nearest(self, task: EvaluationTask) -> Evaluation | None:
        """Return the trained network whose encoded decisions are nearest; of equals, the first by digest."""
        self._read_new()
        here = self.setup.space.encode(task.candidate)
        there = [
            (float(np.linalg.norm(features - here)), digest)
            for digest, (item, features) in self._trained.items()
            if item.training is not None
            and item.training.weights_file is not None
            and (self.folder.path / item.training.weights_file).exists()
        ]
        return self._trained[min(there)[1]][0] if there else None

    def _read_new(self) -> None:
        """Take in what was trained since."""
        for digest in self.folder.digests():
            if digest not in self._trained:
                evaluation = self.folder.evaluation(digest)
                if evaluation is not None and evaluation.outcome is Outcome.EVALUATED:
                    self._trained[digest] = evaluation, self.setup.space.encode(evaluation.candidate)


def as_given(task: TaskT, config: ExperimentConfig) -> TaskT:
    """Return a task that begins with the weights that an experiment names; as it is where it names none.

    Raises:
        RunFolderError: if they are a folder that holds none of the network's name.
    """
    return with_weights(task, config.start.weights) if isinstance(config.start, WeightsConfig) else task


def with_weights(task: TaskT, path: Path) -> TaskT:
    """Return a task that begins with the weights of a file, or of the file of a folder that has the network's name.

    Raises:
        RunFolderError: if a folder holds none of that name.
    """
    if path.is_dir():
        path = weights_in(path, (task.model.partition("@")[0], task.architecture_key))
    return task.model_copy(update={"start": f"weights:{_digest(path)[:KEY_DIGITS]}", "start_from": path})


def check_start(config: ExperimentConfig) -> None:
    """Raise ConfigError unless the weights that trainings are to begin with can be read, and are the same for all.

    Seeds of one network that began with different weights would not tell how much of its score is luck.
    """
    if config.start == "inherit" and config.search.replicates == "auto":
        raise config.error(
            ("start",), "inherit begins each training with other weights, and search.replicates repeats one; choose one"
        )
    if not isinstance(config.start, WeightsConfig) or config.start.weights.is_dir():
        return
    try:
        read_weights(config.start.weights)
    except RunFolderError as error:
        raise config.error(("start", "weights"), str(error)) from None


def weights_in(folder: Path, names: Iterable[str]) -> Path:
    """Return the file of weights in a folder that has one of the names of a network, the first that is there.

    Raises:
        RunFolderError: if there is none.
    """
    found = [folder / f"{name}{suffix}" for name in names for suffix in SUFFIXES]
    path = next((path for path in found if path.exists()), None)
    if path is None:
        raise RunFolderError(
            f"{folder} holds no weights of {found[0].stem}; add {found[0].name}, or name another folder"
        )
    return path


@lru_cache(maxsize=64)
def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
