"""What a resumed run may change, and which run folder is meant.

Budget, workers and report settings may differ from session to session; anything that changes what is measured is
refused, with the difference shown, since values from before and after would share a front.
"""

from pathlib import Path
from typing import Any

import yaml

from ecoNAS.config import ExperimentConfig
from ecoNAS.errors import ConfigError, DataError, JoulesMixError, RunFolderError
from ecoNAS.events import RunStarted
from ecoNAS.experiment.setup import Setup
from ecoNAS.joules import PROVENANCE
from ecoNAS.measurement import MeterInfo
from ecoNAS.records import Evaluation, now
from ecoNAS.run_folder import RunFolder, write_atomically
from ecoNAS.space.search_space import SearchSpace

MAY_CHANGE = (
    "search.trials",
    "search.budget",
    "search.plateau",
    "data.cache",
    "data.download",
    "energy.clock_offset_s",
    "workers.",
    "report.",
    "site.",
    "keep_weights",
)
_HEAD = "# Resolved exactly as run; `econas search` takes this file like any other.\n"


def new_folder(experiment: Path, run_dir: Path | None) -> RunFolder:
    """Return the folder of a new run; by default runs/<name of the experiment>-<UTC time>.

    Raises:
        RunFolderError: if a run lies there.
    """
    folder = RunFolder(run_dir or Path("runs") / f"{experiment.stem}-{now():%Y%m%d-%H%M%S}")
    if folder.experiment.exists():
        raise RunFolderError(
            f"run folder {folder.path} holds a run already; add --resume to go on with it, or give another --run-dir"
        )
    return folder


def folder_to_resume(experiment: Path, run_dir: Path | None) -> RunFolder:
    """Return the folder to go on with; by default the newest run of the experiment below runs/.

    Raises:
        RunFolderError: if there is none.
    """
    if run_dir is None:
        found = sorted(path.parent for path in Path("runs").glob(f"{experiment.stem}-*/experiment.yaml"))
        if not found:
            raise RunFolderError(f"no run of {experiment.stem} below runs/; give --run-dir, or leave out --resume")
        run_dir = found[-1]
    folder = RunFolder(run_dir)
    folder.check()
    return folder


def write_config(config: ExperimentConfig, folder: RunFolder) -> None:
    """Write the experiment and its search space into the run folder, so that the folder alone says what was run."""
    values = config.model_dump(mode="json")
    values["search_space"] = folder.search_space.name
    text = _HEAD + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    if config.search_space.resolve() != folder.search_space.resolve():
        write_atomically(folder.search_space, config.search_space.read_bytes())
    write_atomically(folder.experiment, text.encode())


def check_unchanged(config: ExperimentConfig, folder: RunFolder) -> None:
    """Raise RunFolderError, showing the first difference, if the experiment is not the one that the run began with."""
    before, after = ExperimentConfig.from_yaml(folder.experiment), config
    try:
        spaces = [SearchSpace.from_yaml(item.search_space).file.model_dump() for item in (before, after)]
    except ConfigError as error:
        raise RunFolderError(f"cannot resume {folder.path}: {error}") from None
    old, new = (
        _flat({**item.model_dump(mode="json"), "search_space": space})
        for item, space in zip((before, after), spaces, strict=True)
    )
    changed = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    changed = [name for name in changed if not name.startswith(MAY_CHANGE)]
    if changed:
        name, more = changed[0], f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        raise RunFolderError(
            f"cannot resume {folder.path}: {name} was {old.get(name)!r} and is now {new.get(name)!r}{more}; "
            "only search.trials, search.budget, search.plateau, workers, report, site and keep_weights may change; "
            "start a new run "
            "instead"
        )


def check_meter(reference: MeterInfo | None, folder: RunFolder) -> None:
    """Raise RunFolderError if joules would be measured otherwise than the run began: they would share a front."""
    before = next((event.meter for event in folder.events if isinstance(event, RunStarted)), reference)
    for field in PROVENANCE:
        was, now_is = (getattr(meter, field, None) for meter in (before, reference))
        if was != now_is:
            raise RunFolderError(
                f"cannot resume {folder.path}: its joules are measured with {field} '{was}' and here it is '{now_is}'; "
                "go on where it began, or start a new run here"
            )


def check_as_searched(folder: RunFolder, evaluation: Evaluation, setup: Setup) -> None:
    """Raise unless images and meter are those that a searched network was trained and measured with.

    Raises:
        DataError: if the images are others.
        JoulesMixError: if joules would be measured on another device.
    """
    assert evaluation.training is not None
    if evaluation.training.key.data != setup.fingerprint_of(evaluation.candidate):
        raise DataError(f"data set {setup.data.name} is not the one of {folder.path}; restore it, or search again")
    energy = evaluation.profile.energy if evaluation.profile is not None else None
    if energy is not None and setup.reference is not None and energy.device != setup.reference.device:
        raise JoulesMixError(
            f"joules of {folder.path} were measured on {energy.device} and would be on {setup.reference.device} here; "
            "do this on the device of the search"
        )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:  # Any: what JSON holds
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
