"""Where the files of a data set lie and which keys it takes, checked once, with one clear line for each mistake."""

import hashlib
import os
from pathlib import Path

from ecoNAS.config import DataConfig
from ecoNAS.errors import DataError

VARIABLE = "ECONAS_DATA"


def refuse_keys(config: DataConfig, *names: str) -> None:
    """Raise DataError if a key of the data section is set that its data set does not take."""
    for name in names:
        if getattr(config, name):
            raise DataError(f"data set '{config.name}' takes no data.{name}; remove it")


def stamp_files(*paths: Path) -> str:
    """Return a digest of names, sizes and times of change of files and of all files below folders; none is opened."""
    state = hashlib.sha256()
    for path in paths:
        if path.is_dir():
            for folder, folders, files in os.walk(path, followlinks=True):
                folders.sort()
                for name in sorted(files):
                    _add_file(state, Path(folder) / name)
        elif path.exists():
            _add_file(state, path)
    return state.hexdigest()


def existing_path(config: DataConfig, what: str) -> Path:
    """Return the absolute path of a data set that needs one.

    Args:
        config: The data section of an experiment.
        what: What must lie there, such as 'a folder or a zip file'.

    Raises:
        DataError: if no path was given, or nothing lies there, or it is an empty file.
    """
    if config.path is None:
        raise DataError(
            f"data set '{config.name}' needs {what}; set data.path, for instance to ${{{VARIABLE}:-data}}/my_images"
        )
    path = config.path.absolute()
    if not path.exists():
        value = os.environ.get(VARIABLE)
        state = f"it is '{value}' now" if value else "it is not set now"
        raise DataError(
            f"data set '{config.name}': nothing lies at {path}; correct data.path, or let it open with "
            f"${{{VARIABLE}:-data}} and set {VARIABLE} to the folder of your data ({state})"
        )
    if path.is_file() and path.stat().st_size == 0:
        raise DataError(f"{path} is empty; fetch or write the file again")
    return path


def existing_file(config: DataConfig, what: str) -> Path:
    """Return the absolute path of a data set that is one file; raises DataError if it is a folder or not there."""
    path = existing_path(config, what)
    if not path.is_file():
        raise DataError(f"{path} is a folder; data set '{config.name}' needs {what}")
    return path


def _add_file(state: "hashlib._Hash", path: Path) -> None:
    try:
        status = path.stat()
    except OSError:  # a link to nowhere, or a file that just went
        state.update(f"{path}\0\n".encode())
        return
    state.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
