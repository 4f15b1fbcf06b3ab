"""A front ranked for another device: its members were measured there, and who belongs to the front may change.

Accuracies and counts are those of the run; joules and latency are those of the records. Nothing is compared across
devices: the front here and the front there are two fronts of the same networks.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from ecoNAS import pareto
from ecoNAS.analysis.run import Run
from ecoNAS.analysis.trials import Trial
from ecoNAS.errors import EcoNASError, RunFolderError, why_not_written
from ecoNAS.evaluation.objectives import Objective
from ecoNAS.joules import PROVENANCE
from ecoNAS.measuring.table import ranks
from ecoNAS.records import EnergyProfile, Evaluation
from ecoNAS.run_folder import RunFolder, write_atomically
from ecoNAS.space.search_space import SearchSpace
from ecoNAS.validation import in_one_line

# They would join a training here with a profile there, or were not measured there.
NOT_THERE: Final = ("lifetime_energy", "training_energy", "energy_per_image_b1")
DECISIONS: Final = ("runtime", "form", "dtype", "batch", "threads", "layout", "resolution")
_RECORDS: Final = TypeAdapter(list[EnergyProfile])


@dataclass(frozen=True, slots=True)
class Row:
    """One network on both devices.

    Attributes:
        rank: The best and the worst rank in joules there that its interval leaves open.
        was_on_front: Among the networks that were measured there, by the values of the run.
        is_on_front: Among the same, by the values of the other device.
    """

    trial: Trial
    record: EnergyProfile
    rank: tuple[int, int]
    was_on_front: bool
    is_on_front: bool


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A front ranked for another device.

    Attributes:
        rows: Fewest joules there first.
        objectives: In which the fronts are compared.
        strangers: Names of records whose network is not in the run.
    """

    device: str
    device_name: str
    rows: tuple[Row, ...]
    objectives: tuple[Objective, ...]
    strangers: tuple[str, ...]

    @property
    def enters(self) -> tuple[int, ...]:
        """Numbers of the trials that belong to the front there and not here."""
        return tuple(row.trial.number for row in self.rows if row.is_on_front and not row.was_on_front)

    @property
    def leaves(self) -> tuple[int, ...]:
        """Numbers of the trials that belong to the front here and not there."""
        return tuple(row.trial.number for row in self.rows if row.was_on_front and not row.is_on_front)


def read_records(paths: Iterable[Path]) -> list[EnergyProfile]:
    """Return the records of files that `econas measure --json` or a bundle wrote.

    Raises:
        EcoNASError: if a file is missing or holds something else.
    """
    found = []
    for path in paths:
        try:
            found += _RECORDS.validate_json(path.read_bytes())
        except OSError as error:
            raise EcoNASError(f"{path} cannot be read: {error.strerror}") from None
        except ValidationError as error:
            raise EcoNASError(f"{path} is no list of records: {in_one_line(error)}") from None
    return found


def rank_elsewhere(run: Run, records: Sequence[EnergyProfile]) -> Elsewhere:
    """Return the front of a run for the device on which records were measured.

    Args:
        run: The run.
        records: Of its networks; of a network measured twice the last one counts.

    Raises:
        EcoNASError: if they are not of one device and way of measuring, if networks ran in different ways that the
            search did not decide about, or if none of them belongs to the run.
    """
    measured = [record for record in records if record.energy is not None]
    _check_alike(run, measured)
    by_trial = {trial.number: (trial, record) for record in measured if (trial := _trial_of(run, record)) is not None}
    if not by_trial:
        raise EcoNASError(f"none of {len(records)} records is of a network of {run.folder}; were they packed from it?")
    objectives = tuple(objective for objective in run.objectives.items if objective.name not in NOT_THERE)
    pairs = list(by_trial.values())
    here = _front([_evaluation(trial) for trial, _ in pairs], objectives, run)
    there = _front(
        [_evaluation(trial).model_copy(update={"profile": record}) for trial, record in pairs], objectives, run
    )
    ranked = ranks([record for _, record in pairs])
    rows = [
        Row(trial, record, rank, place in here, place in there)
        for place, ((trial, record), rank) in enumerate(zip(pairs, ranked, strict=True))
    ]
    first = measured[0]
    assert first.measurement is not None
    assert first.energy is not None
    return Elsewhere(
        device=first.energy.device,
        device_name=first.measurement.meter.device_name,
        rows=tuple(sorted(rows, key=lambda row: row.record.energy.value_j if row.record.energy else 0.0)),
        objectives=objectives,
        strangers=tuple(
            dict.fromkeys(
                record.workload.model if record.workload else record.key.architecture[:12]
                for record in records
                if _trial_of(run, record) is None
            )
        ),
    )


def keep_records(run: Run, records: Sequence[EnergyProfile]) -> Path:
    """Write the records of a device into the run folder, beside those of other networks there; return the file."""
    assert records[0].energy is not None
    path = RunFolder(run.folder).elsewhere(records[0].energy.device)
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written: {why_not_written(error)}") from None
    known = {record.key.digest: record for record in [*(read_records([path]) if path.exists() else []), *records]}
    text = json.dumps([record.model_dump(mode="json") for record in known.values()], indent=1)
    write_atomically(path, text.encode())
    return path


def _check_alike(run: Run, records: Sequence[EnergyProfile]) -> None:
    if not records:
        raise EcoNASError("the files hold no record with joules; measure again")
    for field in PROVENANCE:
        values = sorted({str(getattr(record.energy, field)) for record in records})
        if len(values) > 1:
            raise EcoNASError(
                f"records of different {field} share no front: {', '.join(values)}; import them one by one"
            )
    if records[0].measurement is None:
        raise EcoNASError("estimated records say nothing about a device; measure there")
    decided = SearchSpace.from_yaml(run.config.search_space).decisions
    for field in DECISIONS:
        values = sorted({str(getattr(record.key.deployment, field)) for record in records})
        if len(values) > 1 and len(decided.get(f"deployment.{field}", ())) < 2:
            raise EcoNASError(
                f"the records differ in {field} ({', '.join(values)}), about which the search did not decide: they "
                "share no front; measure all networks in one way"
            )


def _trial_of(run: Run, record: EnergyProfile) -> Trial | None:
    """Return the trial whose network a record is of: by its candidate, else by its architecture where that is one's."""
    wanted = record.workload.candidate if record.workload else ""
    able = [trial for trial in run.trials if trial.may_be_on_front]
    if wanted:
        return next((trial for trial in able if trial.digest == wanted), None)
    found = [trial for trial in able if _evaluation(trial).candidate.architecture.digest == record.key.architecture]
    return found[0] if len(found) == 1 else None


def _evaluation(trial: Trial) -> Evaluation:
    assert trial.evaluation is not None  # as of every trial that may be on a front
    return trial.evaluation


def _front(evaluations: Sequence[Evaluation], objectives: Sequence[Objective], run: Run) -> set[int]:
    """Return the places of those that no other dominates; one without a value for an objective is not among them."""
    rows = [
        [objective.read(evaluation, run.objectives.lifetime_images) for objective in objectives]
        for evaluation in evaluations
    ]
    whole = [place for place, row in enumerate(rows) if None not in row]
    values = [[score.value for score in rows[place] if score is not None] for place in whole]
    kept = pareto.front(values, [objective.direction for objective in objectives])
    return {place for place, is_kept in zip(whole, kept, strict=True) if is_kept}
