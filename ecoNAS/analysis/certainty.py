"""How sure measured joules are: members of a front whose order is not settled, and what profiles say of themselves."""

from collections.abc import Sequence

from ecoNAS.analysis.run import Run
from ecoNAS.analysis.trials import Trial
from ecoNAS.measurement import ProfileStatus

UNVERIFIED = "Whether the device was ours alone while joules were measured could not be verified"
_MEANINGS: dict[ProfileStatus, str] = {
    "ci_unmet": "Measured as often as the protocol allows, and still with a wider interval than it aims at",
    "unstable": "The load or the device changed while joules were measured",
    "thermal_unsettled": "The device was still getting warmer when joules were measured",
    "invalid": "No number could be trusted",
}


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


def doubts(run: Run, names: Sequence[str] | None = None) -> list[str]:
    """Return what the profiles of a front's members say against themselves, a sentence for each kind of doubt."""
    by_doubt = dict[str, list[int]]()
    for trial in run.front_trials(names):
        for profile in trial.evaluation.profiles if trial.evaluation else ():
            if profile.status != "ok":
                by_doubt.setdefault(_MEANINGS[profile.status], []).append(trial.number)
            if profile.measurement is not None and profile.measurement.exclusivity != "exclusive":
                by_doubt.setdefault(UNVERIFIED, []).append(trial.number)
    return [
        f"{meaning}: trial{'s' if len(set(numbers)) > 1 else ''} {', '.join(map(str, dict.fromkeys(numbers)))}."
        for meaning, numbers in by_doubt.items()
    ]
