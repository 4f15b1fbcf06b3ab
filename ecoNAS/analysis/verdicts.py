"""Whether a search was worth it: who beats whom among refitted networks and ready models, in words.

A network beats another that it is at least as accurate as on the test split, for no more joules per image (MACs, where
the joules of both are not known, or do not mix).
"""

from collections.abc import Sequence

from ecoNAS.analysis.refitted import Refitted

MACS = "MACs"


def verdicts(rows: Sequence[Refitted]) -> list[str]:
    """Return who dominates whom among searched networks and ready models, one sentence each, with what is uncertain."""
    searched, found = [row for row in rows if row.trial is not None], list[str]()
    for ready in (row for row in rows if row.trial is None):
        better = [row for row in searched if _dominates(row, ready)]
        worse = [row for row in searched if _dominates(ready, row)]
        if better:
            sure = _how_sure([(row.name, _is_sure(row, ready)) for row in better], ready)
            how = f"as accurate or more for no more {_cost(better[0], ready)}; {sure}"
            found.append(f"{ready.name} is beaten by {_names(better)}, {how}.")
        if worse:
            sure = _how_sure([(row.name, _is_sure(ready, row)) for row in worse], ready)
            advice = "" if better else ": take it instead"
            found.append(f"{ready.name}, a ready model, beats {_names(worse)}{advice}; {sure}.")
        if searched and not better and not worse:
            found.append(_neither(ready, searched))
    return found


def _neither(ready: Refitted, searched: Sequence[Refitted]) -> str:
    """Say what a ready model that stands between the networks of a search gives and takes, beside the nearest."""
    nearest = min(searched, key=lambda row: abs(row.test.value - ready.test.value))
    difference = ready.test.value - nearest.test.value
    mine, theirs = _prices(ready, nearest)
    more = "more" if difference > 0 else "less"
    overlap = min(ready.interval[1], nearest.interval[1]) >= max(ready.interval[0], nearest.interval[0])
    but = " (their 95 % intervals overlap)" if overlap else ""
    return (
        f"{ready.name} neither beats nor is beaten by any network of the search: it is {more} accurate than "
        f"{nearest.name} by {abs(difference):.3f}{but}, for {mine / theirs:.2g} times the {_cost(ready, nearest)}."
    )


def _how_sure(found: Sequence[tuple[str, bool]], ready: Refitted) -> str:
    sure = [name for name, is_sure in found if is_sure]
    if not sure:
        return "though their 95 % intervals overlap"
    if ready.energy is None or ready.energy.kind == "measured":
        return f"surely so: {', '.join(sure)}"
    return f"in accuracy surely so: {', '.join(sure)} (joules are {ready.energy.kind})"


def _is_sure(better: Refitted, worse: Refitted) -> bool:
    """Whether 95 % intervals do not overlap: those of accuracies, and those of joules where a meter counted them."""
    if better.interval[0] <= worse.interval[1]:
        return False
    if better.energy is None or worse.energy is None or {better.energy.kind, worse.energy.kind} != {"measured"}:
        return True
    return better.energy.high_j <= worse.energy.low_j


def _dominates(one: Refitted, other: Refitted) -> bool:
    mine, theirs = _prices(one, other)
    is_better = one.test.value > other.test.value or mine < theirs
    return is_better and one.test.value >= other.test.value and mine <= theirs


def _prices(one: Refitted, other: Refitted) -> tuple[float, float]:
    """Return the joules of both, or the MACs where joules do not compare."""
    if one.energy is not None and other.energy is not None and _cost(one, other) != MACS:
        return one.energy.value_j, other.energy.value_j
    return float(one.costs.macs), float(other.costs.macs)


def _cost(one: Refitted, other: Refitted) -> str:
    """Return what both are priced in."""
    compare = one.energy is not None and other.energy is not None and not one.energy.differs_in(other.energy)
    return "joules per image" if compare else MACS


def _names(rows: Sequence[Refitted]) -> str:
    return ", ".join(row.name for row in rows)
