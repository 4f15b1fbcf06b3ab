"""The part of a run folder that a refit leaves behind: what was asked for, a record and weights a training, profiles.

refit/refit.json                    the recipe, so that a later command goes on with the same
refit/<network>-<seed>.json         one training with its test scores
refit/weights/<network>-<seed>.safetensors
refit/profiles/<network>.json       joules, measured again
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecoNAS.errors import RunFolderError
from ecoNAS.frozen import Frozen
from ecoNAS.recipe import DistillationConfig, TrainingConfig
from ecoNAS.records import EnergyProfile, Refit
from ecoNAS.run_folder import read_record, write_atomically


class RefitPlan(Frozen):
    """How networks are refitted; it stays as it is as long as there are records of it.

    Attributes:
        teacher: As the user named it; empty for none.
    """

    version: int = 1
    recipe: TrainingConfig
    teacher: str = ""


@dataclass(frozen=True, slots=True)
class RefitFolder:
    """The paths of one run's refit.

    Attributes:
        run: The run folder.
    """

    run: Path

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.run / "refit"

    def weights(self, network: str, replicate: int) -> str:
        """Return where the weights of a training lie, relative to the run folder."""
        return f"refit/weights/{_name(network)}-{replicate}.safetensors"

    def checkpoints(self, network: str, replicate: int) -> str:
        """Return where a training waits while it is not at its end, relative to the run folder."""
        return f"refit/checkpoints/{_name(network)}-{replicate}"

    def plan(self) -> RefitPlan | None:
        """Return how networks are refitted; None before the first."""
        path = self.path / "refit.json"
        return read_record(path, RefitPlan, "a refit") if path.exists() else None

    def check(self, recipe: TrainingConfig, teacher: str, how: DistillationConfig) -> None:
        """Raise RunFolderError if the folder holds another refit, before a teacher is trained for nothing.

        Args:
            recipe: Of all trainings, without what they learn from.
            teacher: The folder of an export, a timm model, or empty for none; an export may have been moved.
            how: They learn from it.
        """
        before = self.plan()
        if before is None:
            return
        is_same = _without_teacher(before.recipe).digest == _without_teacher(recipe).digest
        if teacher and before.recipe.distillation is not None:
            learned = before.recipe.distillation.model_copy(update={"teacher": how.teacher})
            is_same &= learned == how and (before.teacher == teacher or Path(teacher).is_dir())
        else:
            is_same &= not teacher and before.recipe.distillation is None
        if not is_same:
            raise self._another(before)

    def begin(self, plan: RefitPlan) -> None:
        """Make the folder, or go on with it.

        Raises:
            RunFolderError: if it holds another refit, or cannot be made.
        """
        before = self.plan()
        if before is not None and before.recipe.digest != plan.recipe.digest:
            raise self._another(before)
        try:
            for part in ("weights", "profiles"):
                (self.path / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be made: {error.strerror}") from None
        write_atomically(self.path / "refit.json", plan.model_dump_json(indent=1).encode())

    def _another(self, before: RefitPlan) -> RunFolderError:
        taught = f" by the teacher {before.teacher}" if before.teacher else ""
        return RunFolderError(
            f"{self.path} holds a refit of {before.recipe.epochs} epochs{taught} with another recipe; give the same "
            "options to go on with it, or move the folder away"
        )

    def refit(self, network: str, replicate: int) -> Refit | None:
        """Return the record of one training; None where there is none."""
        path = self._record(network, replicate)
        return read_record(path, Refit, "a refit") if path.exists() else None

    def write(self, refit: Refit) -> None:
        """Write the record of one training, whole or not at all."""
        write_atomically(self._record(refit.network, refit.replicate), refit.model_dump_json(indent=1).encode())

    def refits(self) -> dict[str, tuple[Refit, ...]]:
        """Return all records by network, the first seed first."""
        paths = [path for path in self.path.glob("*-*.json") if path.name != "refit.json"]
        found = sorted((read_record(path, Refit, "a refit") for path in paths), key=lambda one: one.replicate)
        by_network: dict[str, list[Refit]] = {}
        for refit in found:
            by_network.setdefault(refit.network, []).append(refit)
        return {network: tuple(by_network[network]) for network in sorted(by_network)}

    def profile(self, network: str) -> EnergyProfile | None:
        """Return the joules of a network, measured again; None where they were not."""
        path = self._profile(network)
        return read_record(path, EnergyProfile, "an energy profile") if path.exists() else None

    def write_profile(self, network: str, profile: EnergyProfile) -> None:
        """Write the joules of a network, measured again."""
        write_atomically(self._profile(network), profile.model_dump_json(indent=1).encode())

    def _record(self, network: str, replicate: int) -> Path:
        return self.path / f"{_name(network)}-{replicate}.json"

    def _profile(self, network: str) -> Path:
        return self.path / "profiles" / f"{_name(network)}.json"


def best(refits: Sequence[Refit]) -> Refit:
    """Return the training that deployment takes: the best on the validation split; the test split never chooses."""
    return max(refits, key=lambda one: (one.training.accuracy.value, -one.replicate))


def _without_teacher(recipe: TrainingConfig) -> TrainingConfig:
    return recipe.model_copy(update={"distillation": None})


def _name(network: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "_", network)
