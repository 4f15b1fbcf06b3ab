"""The errors that a user can act on.

Every mistake of a user raises a child of `EcoNASError`; the command line prints it as one line and exits with 2. Bugs
of our own raise anything else. What was given, which rule it breaks and what would work belongs into the message.
"""

import difflib
import errno
from collections.abc import Iterable

MAX_NAMES = 40


class EcoNASError(Exception):
    """A user's mistake or a missing precondition; the message is one line that names the remedy."""


class ConfigError(EcoNASError):
    """An experiment or search space file is wrong; the message opens with file, line and key."""


class ArchitectureError(EcoNASError):
    """An architecture breaks a rule, such as a width that its attention heads do not divide."""


class BlockError(ArchitectureError):
    """A user's own block cannot be imported, or does not keep what every block must keep."""


class ConstraintError(EcoNASError):
    """A constraint cannot be read, or no candidate can meet it."""


class MeterError(EcoNASError):
    """Joules cannot be had the way that was asked for; the message says what was probed and what would work."""


class MeasurementError(MeterError):
    """A measurement was refused: its counter was lost, reset or dead, or the device was not ours alone.

    Attributes:
        lower_bound_j: Joules that were counted before; at least so many were spent.
    """

    def __init__(self, message: str, lower_bound_j: float = 0.0) -> None:
        super().__init__(message)
        self.lower_bound_j = lower_bound_j

    def __str__(self) -> str:
        """Return the message, and what was counted before where that is known."""
        spent = f"; at least {self.lower_bound_j:.4g} J were spent before" if self.lower_bound_j > 0 else ""
        return f"{self.args[0]}{spent}"


class JoulesMixError(EcoNASError):
    """Joules of different kind, method, scope or device were added or compared."""


class DataError(EcoNASError):
    """A data set is missing, empty or broken."""


class RunFolderError(EcoNASError):
    """A run folder is missing, in use, not readable, or belongs to another experiment."""


class TeacherError(EcoNASError):
    """A network that others were to learn from could not be trained itself."""


class ExportError(EcoNASError):
    """An architecture cannot be exported, or its export did not compute the same function."""


def unknown_name(what: str, given: str, known: Iterable[str]) -> str:
    """Return one line that says `given` is no known `what`, lists the known names and suggests the nearest."""
    names = sorted(known)
    shown = names if len(names) <= MAX_NAMES else [*names[:MAX_NAMES], "..."]
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    return f"unknown {what} '{given}'; known: {', '.join(shown) or 'none'}{hint}"


def why_not_written(error: OSError) -> str:
    """Return why the system refused to write, with the remedy where a run can go on."""
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"{error.strerror}{'; free space and go on with --resume' if is_full else ''}"
