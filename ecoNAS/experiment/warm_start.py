"""What earlier runs know: trainings and profiles with equal keys are taken over, others are learned from.

A training is equal where architecture, data and split, recipe, resolution and seed are; a profile where architecture,
deployment and device are. What differs, such as the scores of a shorter recipe, is a number of its own that the
sampler's surrogate takes as an input.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from ecoNAS.architecture import Candidate, load_architecture
from ecoNAS.dotted_path import is_dotted
from ecoNAS.errors import ArchitectureError, EcoNASError
from ecoNAS.evaluation.task import EvaluationTask
from ecoNAS.experiment.setup import Setup
from ecoNAS.joules import PROVENANCE, Joules
from ecoNAS.pareto import front
from ecoNAS.records import EnergyProfile, Evaluation, Outcome, Training
from ecoNAS.run_folder import RunFolder, write_atomically
from ecoNAS.search.gauges import Elsewhere
from ecoNAS.space.protocol import Parameters
from ecoNAS.training.scores import SCORES


@dataclass(slots=True)
class WarmStart:
    """The evaluations of earlier runs, as one experiment can use them.

    Attributes:
        folder: Of the run that uses them; weights are copied into it.
    """

    setup: Setup
    folder: RunFolder
    _runs: dict[Path, Mapping[str, Evaluation]] = field(default_factory=dict)
    _trainings: dict[str, tuple[Path, Training]] = field(default_factory=dict)
    _profiles: dict[str, EnergyProfile] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the runs."""
        for place, path in enumerate(self.setup.config.search.warm_start):
            evaluations = self._runs[path] = _folder(self.setup, ("warm_start", place), path).evaluations()
            for evaluation in evaluations.values():
                if evaluation.outcome is Outcome.EVALUATED and evaluation.training is not None:
                    self._trainings.setdefault(evaluation.training.key.digest, (path, evaluation.training))
                for profile in evaluation.profiles:
                    if self._is_of_our_kind(profile.energy):
                        self._profiles.setdefault(f"{profile.quantity} {profile.key.digest}", profile)

    def task(self, task: EvaluationTask) -> EvaluationTask:
        """Return a task without what an earlier run has done."""
        changes: dict[str, object] = {}
        found = self._trainings.get(task.training_key.digest)
        has_joules = found is not None and (self._is_of_our_kind(found[1].energy) or not self._needs_energy)
        if found is not None and has_joules and self._scores <= found[1].scores.keys():
            changes = {"training": self._taken_over(task, *found), "trained_in": found[0].name, "until": None}
        if self.setup.reference is not None:
            at_1 = task.deployed(task.deployment.model_copy(update={"batch": 1}))
            for name, quantity, asked in (
                ("profile", "energy_per_image", task),
                ("profile_b1", "energy_per_image_b1", at_1),
            ):
                known = self._profiles.get(f"{quantity} {asked.profile_key(self.setup.reference.device).digest}")
                if getattr(task, name) is None and known is not None:
                    changes[name] = known
        return task.model_copy(update=changes) if changes else task

    @property
    def _scores(self) -> AbstractSet[str]:
        """Scores beyond accuracy that are objectives or bounded."""
        return {name for name in self.setup.named if name in SCORES or is_dotted(name)}

    @property
    def _needs_energy(self) -> bool:
        """Whether joules of trainings are an objective or bounded."""
        return not self.setup.named.isdisjoint({"training_energy", "lifetime_energy"})

    def _is_of_our_kind(self, energy: Joules | None) -> bool:
        """Whether joules of an earlier run may stand beside those of this one."""
        if energy is None:
            return False
        reference = self.setup.reference
        if reference is None:
            return energy.kind == "estimated"
        return all(getattr(energy, name) == getattr(reference, name) for name in PROVENANCE)

    def elsewhere(self) -> Elsewhere | None:
        """Return what the sampler learns of other trainings; None where there are none."""
        objectives = [item for item in self.setup.objectives.items if item.is_learned]
        found: list[tuple[Candidate, dict[str, float]]] = []
        names: dict[str, str] = {}
        for path, evaluations in self._runs.items():
            for evaluation in evaluations.values():
                candidate = self._here(evaluation)
                if candidate is None or evaluation.outcome is not Outcome.EVALUATED:
                    continue
                scores = {item.name: item.read(evaluation, 1.0) for item in objectives}
                known = {f"{name} in {path}": score.value for name, score in scores.items() if score is not None}
                names |= {f"{name} in {path}": name for name in scores}
                found.append((candidate, known))
        return Elsewhere(names, found) if found else None

    def _here(self, evaluation: Evaluation) -> Candidate | None:
        """Return the candidate of this space that an earlier evaluation was of, or the nearest that there is."""
        try:
            return self.setup.space.from_parameters(_parameters(self.setup, evaluation.candidate))
        except ArchitectureError:
            return None

    def _taken_over(self, task: EvaluationTask, run: Path, training: Training) -> Training:
        """Return a training as ours: its weights in our folder, where they still are, and no strange joules."""
        energy = training.energy if self._is_of_our_kind(training.energy) else None
        source = run / training.weights_file if training.weights_file is not None else None
        weights = task.weights if source is not None and source.exists() else None
        if source is not None and weights is not None and not (self.folder.path / weights).exists():
            write_atomically(self.folder.path / weights, source.read_bytes())
        return training.model_copy(update={"weights_file": weights, "energy": energy})


def check_earlier_runs(setup: Setup) -> None:
    """Raise ConfigError unless every run that the experiment learns from is there."""
    for place, path in enumerate(setup.config.search.warm_start):
        _folder(setup, ("warm_start", place), path)


def queued(setup: Setup) -> list[Parameters]:
    """Return the parameters of what is to come first.

    Raises:
        ConfigError: if something is no architecture of the space.
    """
    config, found = setup.config, list[Parameters]()
    for place, path in enumerate(config.search.enqueue):
        for candidate in _candidates(setup, place, path):
            try:
                found.append(_parameters(setup, candidate))
            except ArchitectureError as error:
                raise config.error(("search", "enqueue", place), f"{path}: {error}") from None
    return found


def _parameters(setup: Setup, candidate: Candidate) -> Parameters:
    """Return the parameters of a candidate; as the study deploys and trains it where the space does not list its ways.

    Raises:
        ArchitectureError: if its architecture is not of the space.
    """
    try:
        return setup.space.parameters(candidate)
    except ArchitectureError:
        return setup.space.parameters(setup.space.deployed(candidate.architecture))


def _candidates(setup: Setup, place: int, path: Path) -> list[Candidate]:
    """Return the one of a file, or those of a run's front."""
    if not path.is_dir():
        try:
            return [setup.space.deployed(load_architecture(path))]
        except EcoNASError as error:
            raise setup.config.error(("search", "enqueue", place), str(error)) from None
    evaluations = _folder(setup, ("enqueue", place), path).evaluations().values()
    rows = [(item, setup.objectives.values(item)) for item in evaluations if item.is_feasible]
    known = [(item, values) for item, values in rows if values is not None]
    is_member = front([values for _, values in known], setup.objectives.directions)
    return [item.candidate for (item, _), member in zip(known, is_member, strict=True) if member]


def _folder(setup: Setup, key: tuple[str, int], path: Path) -> RunFolder:
    folder = RunFolder(path)
    try:
        folder.check()
    except EcoNASError as error:
        raise setup.config.error(("search", *key), str(error)) from None
    return folder
