"""What earlier runs know: trainings and profiles with equal keys are taken over, others are learned from.

A training is equal where architecture, data and split, recipe, resolution and seed are; a profile where architecture,
deployment and device are. What differs, such as the scores of a shorter recipe, is a number of its own that the
sampler's surrogate takes as an input.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ecoNAS.architecture import Architecture, Candidate
from ecoNAS.errors import ArchitectureError, EcoNASError
from ecoNAS.evaluation.task import EvaluationTask
from ecoNAS.experiment.setup import Setup
from ecoNAS.pareto import front
from ecoNAS.records import EnergyProfile, Evaluation, Outcome, Training
from ecoNAS.run_folder import RunFolder, write_atomically
from ecoNAS.search.gauges import Elsewhere
from ecoNAS.space.protocol import Parameters


@dataclass(slots=True)
class WarmStart:
    """The evaluations of earlier runs, as one experiment can use them.

    Attributes:
        folder: Of the run that uses them; weights are copied into it.
    """

    setup: Setup
    folder: RunFolder
    _runs: dict[str, tuple[Path, Mapping[str, Evaluation]]] = field(default_factory=dict)
    _trainings: dict[str, tuple[str, Training]] = field(default_factory=dict)
    _profiles: dict[str, EnergyProfile] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the runs."""
        for place, path in enumerate(self.setup.config.search.warm_start):
            run = _folder(self.setup, ("warm_start", place), path)
            evaluations = run.evaluations()
            self._runs[path.name] = path, evaluations
            for evaluation in evaluations.values():
                if evaluation.outcome is Outcome.EVALUATED and evaluation.training is not None:
                    self._trainings.setdefault(evaluation.training.key.digest, (path.name, evaluation.training))
                for profile in evaluation.profiles:
                    if profile.energy is not None:
                        self._profiles.setdefault(f"{profile.quantity} {profile.key.digest}", profile)

    def task(self, task: EvaluationTask) -> EvaluationTask:
        """Return a task without what an earlier run has done."""
        name, training = self._trainings.get(task.training_key.digest, ("", None))
        changes: dict[str, object] = {}
        if training is not None:
            changes = {"training": self._with_weights(task, name, training), "trained_in": name, "until": None}
        if self.setup.reference is not None:
            key = task.profile_key(self.setup.reference.device).digest
            for field_name, quantity in (("profile", "energy_per_image"), ("profile_b1", "energy_per_image_b1")):
                if getattr(task, field_name) is None and f"{quantity} {key}" in self._profiles:
                    changes[field_name] = self._profiles[f"{quantity} {key}"]
        return task.model_copy(update=changes) if changes else task

    def elsewhere(self) -> Elsewhere | None:
        """Return what the sampler learns of other trainings; None where there are none."""
        objectives = [item for item in self.setup.objectives.items if item.is_learned]
        found: list[tuple[Candidate, dict[str, float]]] = []
        names: dict[str, str] = {}
        for run, (_, evaluations) in self._runs.items():
            for evaluation in evaluations.values():
                candidate = self._here(evaluation)
                if candidate is None or evaluation.outcome is not Outcome.EVALUATED:
                    continue
                scores = {item.name: item.read(evaluation, 1.0) for item in objectives}
                known = {f"{name} in {run}": score.value for name, score in scores.items() if score is not None}
                names |= {f"{name} in {run}": name for name in scores}
                found.append((candidate, known))
        return Elsewhere(names, found) if found else None

    def _here(self, evaluation: Evaluation) -> Candidate | None:
        """Return the candidate of this space that has the architecture of an earlier evaluation."""
        candidate = evaluation.candidate.model_copy(update={"deployment": self.setup.config.deployment})
        try:
            self.setup.space.parameters(candidate)
        except ArchitectureError:
            return None
        return candidate

    def _with_weights(self, task: EvaluationTask, name: str, training: Training) -> Training:
        """Return a training with its weights in this run's folder, where the earlier run still holds them."""
        source = self._runs[name][0] / training.weights_file if training.weights_file is not None else None
        if source is None or not source.exists() or task.weights is None:
            return training.model_copy(update={"weights_file": None})
        target = self.folder.path / task.weights
        if not target.exists():
            write_atomically(target, source.read_bytes())
        return training.model_copy(update={"weights_file": task.weights})


def check_earlier_runs(setup: Setup) -> None:
    """Raise ConfigError unless every run and every architecture that the experiment names is there and fits."""
    for place, path in enumerate(setup.config.search.warm_start):
        _folder(setup, ("warm_start", place), path)
    queued(setup)


def queued(setup: Setup) -> list[Parameters]:
    """Return the parameters of what is to come first.

    Raises:
        ConfigError: if something is no architecture of the space.
    """
    config, found = setup.config, list[Parameters]()
    for place, path in enumerate(config.search.enqueue):
        for architecture in _architectures(setup, place, path):
            try:
                found.append(setup.space.parameters(Candidate(architecture=architecture, deployment=config.deployment)))
            except ArchitectureError as error:
                raise config.error(("search", "enqueue", place), f"{path}: {error}") from None
    return found


def _architectures(setup: Setup, place: int, path: Path) -> list[Architecture]:
    """Return the one of a file, or those of a run's front."""
    if not path.is_dir():
        try:
            return [Architecture.load(path)]
        except EcoNASError as error:
            raise setup.config.error(("search", "enqueue", place), str(error)) from None
    evaluations = _folder(setup, ("enqueue", place), path).evaluations().values()
    rows = [(item, setup.objectives.values(item)) for item in evaluations if item.is_feasible]
    known = [(item, values) for item, values in rows if values is not None]
    is_member = front([values for _, values in known], setup.objectives.directions)
    return [item.candidate.architecture for (item, _), member in zip(known, is_member, strict=True) if member]


def _folder(setup: Setup, key: tuple[str, int], path: Path) -> RunFolder:
    folder = RunFolder(path)
    try:
        folder.check()
    except EcoNASError as error:
        raise setup.config.error(("search", *key), str(error)) from None
    return folder
