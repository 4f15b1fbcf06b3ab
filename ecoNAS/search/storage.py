"""The Optuna study of a run: where it lies, and what each outcome tells it.

Refused, infeasible and stopped candidates are PRUNED with every constraint set, since a sampler that is told FAIL
learns nothing and one that is told invented values learns wrong. FAIL is for infrastructure. Fronts are read from
evaluations, never from here: values may be refined after they were told.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import Trial, TrialState
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from ecoNAS.errors import RunFolderError
from ecoNAS.pareto import Direction
from ecoNAS.records import Outcome

STUDY_NAME = "econas"
TRAINABLE = "trainable"
STANDARD_ERRORS = "standard_errors"


def open_study(
    url_or_path: str | Path, names: Sequence[str], directions: Sequence[Direction], sampler: BaseSampler
) -> optuna.Study:
    """Open or create the study of a run.

    Args:
        url_or_path: A file for SQLite, or any storage URL that Optuna takes.
        names: Objective names.
        directions: "minimize" or "maximize", one a name.
        sampler: Who proposes.

    Raises:
        RunFolderError: if the storage cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = f"sqlite:///{url_or_path}" if isinstance(url_or_path, Path) else url_or_path
    try:
        storage = optuna.storages.RDBStorage(url)
        if storage.engine.dialect.name == "sqlite":
            _make_commits_cheap(storage)
        study = optuna.create_study(
            study_name=STUDY_NAME, storage=storage, directions=list(directions), sampler=sampler, load_if_exists=True
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(names))
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError, ValueError) as error:
        raise RunFolderError(f"study storage {url} cannot be opened: {' '.join(str(error).split())[:200]}") from None
    return study


def tell(
    study: optuna.Study,
    trial: Trial,
    outcome: Outcome,
    digest: str,
    *,
    values: Sequence[float] | None = None,
    errors: Sequence[float] | None = None,
    violations: Mapping[str, float] | None = None,
    is_trainable: bool = True,
    duplicate_of: int | None = None,
) -> None:
    """Tell the study how a trial ended.

    Args:
        study: The study.
        trial: The trial that was asked for.
        outcome: How it ended.
        digest: Of its candidate; kept as a short attribute, so that Optuna's own tools show it.
        values: One an objective; given for `evaluated` and for `duplicate` of an evaluated one.
        errors: Standard errors of the values, for samplers that respect them.
        violations: By constraint; above 0 is broken.
        is_trainable: False if it ran out of memory or diverged.
        duplicate_of: The trial whose values are told again.
    """
    trial.set_user_attr("digest", digest)
    trial.set_user_attr("outcome", str(outcome))
    if duplicate_of is not None:
        trial.set_user_attr("duplicate_of", duplicate_of)
    if errors is not None and any(errors):
        trial.set_user_attr(STANDARD_ERRORS, list(errors))
    if outcome is Outcome.FAILED:
        study.tell(trial, state=TrialState.FAIL)
        return
    for name, value in (violations or {}).items():
        trial.set_constraint(name, value)
    trial.set_constraint(TRAINABLE, 0.0 if is_trainable else 1.0)
    if values is None:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, list(values))


def _make_commits_cheap(storage: optuna.storages.RDBStorage) -> None:
    """Let SQLite append to a log, synced now and then: a trial is dozens of commits, which took most of a second.

    The death of a process loses nothing this way. A power failure may lose the last commits, never the file; and what
    happened is in the events and evaluations, which are synced.
    """

    def prepare(connection: Any, _: object) -> None:  # Any: SQLAlchemy does not type what a driver returns
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(storage.engine, "connect", prepare)
    storage.engine.dispose()  # the connection that created the tables was made before


def orphans(study: optuna.Study) -> Iterator[Trial]:
    """Yield the trials that a driver asked for and died with, oldest first.

    Each is taken up when it is asked for here: one whose parameters were not all stored yet is proposed anew then,
    under its number, so that what comes after it is what would have come.
    """
    for frozen in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        # Optuna offers no public way back from a stored trial to one that can be told.
        yield Trial(study, frozen._trial_id)
