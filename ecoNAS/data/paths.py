"""Where the files of a data set lie, checked once, with one clear line for each way it can be wrong."""

import os
from pathlib import Path

from ecoNAS.config import DataConfig
from ecoNAS.errors import DataError

VARIABLE = "ECONAS_DATA"


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
