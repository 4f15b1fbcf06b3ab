"""What the intervals of measured joules leave open: members of a front whose order is not settled."""

from collections.abc import Sequence

from ecoNAS.analysis.run import Run
from ecoNAS.analysis.trials import Trial


def unsettled_order(members: Sequence[Trial], name: str) -> list[tuple[int, ...]]:
    """Return groups of trials, cheapest first, whose intervals overlap from one to the next.

    Args:
        members: Of a front, all with a score for `name`.
        name: An objective whose scores have intervals.
    """
    scores = [(trial.number, trial.scores[name]) for trial in members if name in trial.scores]
    rows = [(number, score.value, score.interval) for number, score in scores if score.interval is not None]
    groups: list[list[int]] = []
    highest = float("-inf")
    for number, _, (low, high) in sorted(rows, key=lambda row: row[1]):
        if groups and low <= highest:
            groups[-1].append(number)
        else:
            groups.append([number])
        highest = max(highest, high) if len(groups[-1]) > 1 else high
    return [tuple(group) for group in groups if len(group) > 1]


def order_note(run: Run, names: Sequence[str] | None = None) -> str:
    """Return a sentence on whose order in measured joules is not settled; empty where all of it is."""
    notes = []
    members = run.front_trials(names)
    for objective in run.select(names):
        if not objective.is_energy or run.kind(objective.name) == "estimated":
            continue
        groups = unsettled_order(members, objective.name)
        if groups:
            said = "; ".join(", ".join(str(number) for number in group) for group in groups)
            notes.append(
                f"The order in {objective.name} of these trials is not settled, since their intervals overlap: {said}."
            )
    return " ".join(notes)
