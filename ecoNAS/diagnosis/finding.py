"""What a diagnosis is made of: one fact of a machine at a time, and for each that is amiss what would help.

Only the standard library is imported, so that an installation that is broken can still be diagnosed.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

Group = Literal["python & packages", "devices", "meters", "lane & exclusivity", "disk & temp"]
State = Literal["ok", "warn", "missing"]

# Our errors read "what is wrong; what would work". A semicolon within brackets belongs to the first half.
_REMEDY: Final = re.compile(r"; (?![^(]*\))")


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact of a machine.

    Attributes:
        group: What it is about.
        name: The thing that was looked at, such as `rapl`.
        state: `ok`; `warn`: works, with a reservation; `missing`: cannot be had.
        text: What was found.
        remedy: What to do about it, where something can be done.
    """

    group: Group
    name: str
    state: State
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was found, and in one sentence what can be measured here."""

    findings: tuple[Finding, ...]
    verdict: str


def refused(group: Group, name: str, error: BaseException, otherwise: str = "", state: State = "missing") -> Finding:
    """Return the finding of an error: its message, with the remedy that it holds, verbatim.

    Args:
        group: As of the finding.
        name: As of the finding.
        error: What was raised.
        otherwise: The remedy where the message holds none.
        state: As of the finding.
    """
    text, *remedy = _REMEDY.split(str(error) or type(error).__name__, maxsplit=1)
    return Finding(group, name, state, text, remedy[0] if remedy else otherwise)
