"""Outcomes in a row that say that a search leads nowhere: everything refused, everything known, everything failing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ecoNAS.costs.screen import GateTally
from ecoNAS.records import Outcome

MAX_IN_A_ROW: Final = {Outcome.REFUSED: 1000, Outcome.DUPLICATE: 10, Outcome.FAILED: 5, Outcome.INFEASIBLE: 20}
Hopeless = Literal["nothing_passes", "exhausted", "failing"]
_REASONS: Final[dict[Outcome, Hopeless]] = {
    Outcome.REFUSED: "nothing_passes",
    Outcome.DUPLICATE: "exhausted",
    Outcome.FAILED: "failing",
    Outcome.INFEASIBLE: "failing",
}


@dataclass(slots=True)
class Streak:
    """The latest outcome, how often it came in a row, and why it came the last time."""

    outcome: Outcome | None = None
    length: int = 0
    reason: str = ""

    def note(self, outcome: Outcome, reason: str = "") -> None:
        """Count one more."""
        self.reason = reason
        self.length = self.length + 1 if outcome is self.outcome else 1
        self.outcome = outcome

    def why_hopeless(self) -> Hopeless | None:
        """Return why the search should end; None where it should go on."""
        if self.outcome is None or self.length < MAX_IN_A_ROW.get(self.outcome, self.length + 1):
            return None
        return _REASONS[self.outcome]


def explain(reason: str, streak: Streak, tally: GateTally, folder: Path) -> str:
    """Return what a user should know of such an end; empty where its name says it all."""
    if reason == "nothing_passes":
        return tally.explain()
    if reason == "exhausted":
        return f"the last {MAX_IN_A_ROW[Outcome.DUPLICATE]} proposals were all known; the space may hold nothing new"
    if reason == "failing" and streak.outcome is Outcome.INFEASIBLE:
        return f"{streak.length} candidates in a row could not be trained; the last: {streak.reason}"
    if reason == "failing":
        return f"{MAX_IN_A_ROW[Outcome.FAILED]} candidates in a row failed; see {folder / 'logs'}"
    return ""
