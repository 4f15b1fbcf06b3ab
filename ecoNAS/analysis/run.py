"""A run folder read back: trials, front, knee, hypervolume, ledger, and the networks themselves.

Values come from the evaluations, everything else from the events. Works for runs that go on, have ended or died.
Neither torch nor optuna is imported here, and pandas only when a data frame is asked for, so that `econas front` starts
at once. How things look is decided by `tables`, `trial_view`, `plots` and `report`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ecoNAS import pareto
from ecoNAS.analysis.ledger import Ledger, read_ledger
from ecoNAS.analysis.progress import Hypervolume, read_curve, read_hypervolume
from ecoNAS.analysis.quantities import column, error_column
from ecoNAS.analysis.trials import Trial, front_of, read_trials, values_of
from ecoNAS.config import ExperimentConfig
from ecoNAS.data.audit import DataAudit
from ecoNAS.errors import EcoNASError, RunFolderError, unknown_name
from ecoNAS.evaluation.objectives import OBJECTIVES, Objective, Objectives, objectives_of
from ecoNAS.events import Event, RunEnded, RunStarted
from ecoNAS.records import Outcome, ScoreKind
from ecoNAS.run_folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn


@dataclass(frozen=True)
class Run:
    """What a run folder holds, read once; load it again to see what a running search did since.

    Attributes:
        trials: All proposed trials, by number.
        events: Everything that happened, in order.
        environment: Versions, machine, commit and seed of the process that made the run; empty where not written yet.
        split_sizes: How many images are for `train`, `validation` and `test`, as far as the run says.
        audit: What was found when the images were looked over; None where nobody did.
    """

    folder: Path
    config: ExperimentConfig
    objectives: Objectives
    trials: tuple[Trial, ...]
    events: tuple[Event, ...]
    environment: Mapping[str, Any]  # Any: JSON
    split_sizes: Mapping[str, int]
    audit: DataAudit | None = None

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.resolve().name

    @property
    def ended(self) -> RunEnded | None:
        """How the last session ended; None while it runs, or if it died."""
        last = next((event for event in reversed(self.events) if isinstance(event, RunStarted | RunEnded)), None)
        return last if isinstance(last, RunEnded) else None

    @property
    def is_running(self) -> bool:
        """Whether a driver is at work on it at this moment, on this machine."""
        return RunFolder(self.folder).is_in_use

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many trials ended in each outcome; every outcome is there."""
        return {str(outcome): sum(trial.outcome is outcome for trial in self.trials) for outcome in Outcome}

    @cached_property
    def ledger(self) -> Ledger:
        """Where the seconds and joules of the search went."""
        return read_ledger(self.events, frozenset(trial.number for trial in self.trials if trial.on_front))

    def trial(self, number: int) -> Trial:
        """Return one trial.

        Raises:
            RunFolderError: if there is none with this number.
        """
        for trial in self.trials:
            if trial.number == number:
                return trial
        known = f"trials {self.trials[0].number} to {self.trials[-1].number}" if self.trials else "no trials yet"
        raise RunFolderError(f"{self.folder} has no trial {number}; it holds {known}")

    def kind(self, name: str) -> ScoreKind | None:
        """Return how the values of an objective are known in this run; None if nothing says so yet."""
        for trial in self.trials:
            if name in trial.scores:
                return trial.scores[name].kind
        if OBJECTIVES[name].is_energy:
            meters: dict[str, ScoreKind] = {"estimate": "estimated", "simulated": "simulated"}
            return meters.get(self.config.energy.meter)
        return "exact" if OBJECTIVES[name].known == "exact" else None

    def select(self, names: Sequence[str] | None = None) -> tuple[Objective, ...]:
        """Return objectives by name, each once; those of the study for None.

        Raises:
            EcoNASError: for no name, an unknown one, or one that no trial of this run has a value for.
        """
        if names is None:
            return self.objectives.items
        held = {name for trial in self.trials for name in trial.scores} | set(self.objectives.names)
        for name in names:
            if name not in OBJECTIVES:
                raise EcoNASError(unknown_name("objective", name, OBJECTIVES))
            if name not in held:
                raise EcoNASError(f"no trial of {self.folder} holds '{name}'; those that do: {', '.join(sorted(held))}")
        if not names:
            raise EcoNASError(f"no objective was named; known: {', '.join(sorted(OBJECTIVES))}")
        return tuple(OBJECTIVES[name] for name in dict.fromkeys(names))

    def front_trials(self, names: Sequence[str] | None = None) -> tuple[Trial, ...]:
        """Return the feasible evaluated trials that no other dominates, best in the first objective first.

        Args:
            names: Objectives to compare by; None for those of the study.
        """
        objectives = self.select(names)
        first, sign = objectives[0], -1 if objectives[0].direction == "maximize" else 1
        members = front_of(self.trials, objectives)
        return tuple(sorted(members, key=lambda trial: (sign * trial.scores[first.name].value, trial.number)))

    def knee(self, names: Sequence[str] | None = None) -> Trial | None:
        """Return the front member with the best balance (`ecoNAS.pareto.knee`); None for an empty front."""
        objectives, members = self.select(names), self.front_trials(names)
        if not members:
            return None
        directions = [objective.direction for objective in objectives]
        return members[pareto.knee(values_of(members, objectives), directions)]

    def front(self, names: Sequence[str] | None = None) -> "pd.DataFrame":
        """Return the front as a data frame, one row a trial; column names carry units and how joules are known."""
        import pandas as pd  # noqa: PLC0415  slow to import, and only notebooks need it

        rows = [self.row(trial, names) for trial in self.front_trials(names)]
        return pd.DataFrame(rows, columns=self.columns(names))

    def columns(self, names: Sequence[str] | None = None) -> list[str]:
        """Return the column names of a front as a file or data frame has them."""
        inner = [name for objective in self.select(names) for name in self._columns(objective)]
        return ["trial", *inner, "architecture", *self._decided_beside, "digest"]

    @property
    def _decided_beside(self) -> list[str]:
        """What of `deployment` and `recipe` differs among the networks of the run."""
        candidates = [trial.evaluation.candidate for trial in self.trials if trial.evaluation]
        return [name for name in ("deployment", "recipe") if len({getattr(one, name) for one in candidates}) > 1]

    def row(self, trial: Trial, names: Sequence[str] | None = None) -> dict[str, int | float | str | None]:
        """Return a member of a front as one row, by column name."""
        row: dict[str, int | float | str | None] = {"trial": trial.number}
        for objective in self.select(names):
            score = trial.scores[objective.name]
            value = int(score.value) if objective.known == "exact" else score.value  # costs are counts
            row.update(zip(self._columns(objective), (value, score.standard_error), strict=False))
        assert trial.evaluation is not None  # as of every member of a front
        candidate = trial.evaluation.candidate
        row |= {name: getattr(candidate, name).model_dump_json(exclude_none=True) for name in self._decided_beside}
        return {**row, "architecture": candidate.architecture.describe(), "digest": trial.digest}

    def hypervolume(self) -> Hypervolume | None:
        """Return the hypervolume of the study's front with its scale; None before the scale was fixed."""
        return read_hypervolume(self.events, self.trials, self.objectives.items)

    def hypervolume_curve(self) -> tuple[tuple[int, float], ...]:
        """Return (trial number, hypervolume after it) over the ended trials in the order in which they ended."""
        return read_curve(self.events, self.trials, self.objectives.items)

    def model(self, trial: Trial | int) -> "nn.Module":
        """Return the trained network of a trial, in evaluation mode, on the CPU.

        Raises:
            RunFolderError: if the trial left no weights, or they are broken.
        """
        trial = self.trial(trial) if isinstance(trial, int) else trial
        training = trial.evaluation.training if trial.evaluation else None
        path = self.folder / training.weights_file if training and training.weights_file else None
        if trial.evaluation is None or path is None or not path.exists():
            kept = ", ".join(str(member.number) for member in self.front_trials()) or "none"
            raise RunFolderError(f"trial {trial.number} ({trial.state}) left no weights; on the front: {kept}")
        from ecoNAS.models.network import build_network  # noqa: PLC0415  torch is slow; only this method needs it
        from ecoNAS.training.checkpoint import load_weights  # noqa: PLC0415  likewise

        network: nn.Module = build_network(trial.evaluation.candidate.architecture, trial.evaluation.problem)
        load_weights(network, path)
        return network.eval()

    def _columns(self, objective: Objective) -> tuple[str, ...]:
        kind = self.kind(objective.name)
        has_no_error = objective.known == "exact" or kind == "estimated"  # an estimate has an interval instead
        return (column(objective, kind),) if has_no_error else (column(objective, kind), error_column(objective))


def load_run(folder: str | Path) -> Run:
    """Read a run folder.

    Raises:
        RunFolderError: if it is missing or not readable.
        ConfigError: if its experiment cannot be read.
        JoulesMixError: if its evaluations hold joules of different kinds.
    """
    files = RunFolder(Path(folder))
    files.check()
    config = ExperimentConfig.from_yaml(files.experiment)
    objectives = objectives_of(config)
    events = tuple(files.events)
    trials = read_trials(events, files.evaluations(), objectives)
    split = _read_json(files.split)
    sizes = {name: split[name]["num_images"] for name in ("train", "validation", "test") if split.get(name)}
    return Run(files.path, config, objectives, trials, events, _read_json(files.environment), sizes, _audit(split))


def _audit(split: dict[str, Any]) -> DataAudit | None:  # Any: JSON
    """Return what was found about the images; None where an earlier version wrote the split."""
    try:
        return DataAudit.model_validate(split["audit"])
    except (KeyError, ValidationError):
        return None


def _read_json(path: Path) -> dict[str, Any]:  # Any: JSON
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path}: not readable as JSON: {error}") from None
    return content if isinstance(content, dict) else {}
