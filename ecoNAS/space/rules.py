"""Rules between decisions: each repairs a draft, and says so, or leaves it to be refused.

A draft is the flat parameters with every choice made. A rule sees the parts that belong together and changes only what
it names; what no rule can mend stays broken and `Architecture.check` refuses it with the reason.
"""

from collections.abc import Callable, Mapping

from ecoNAS.space.protocol import Value

Draft = dict[str, Value]
Decisions = Mapping[str, tuple[Value, ...]]
Rule = Callable[[Draft, Decisions, str], str | None]


def heads_divide_width(draft: Draft, decisions: Decisions, stage: str) -> str | None:
    """Repair `num_heads` of an attention block to the largest choice below it that divides the width."""
    name, width = f"{stage}.attention.num_heads", draft[f"{stage}.width"]
    if draft[f"{stage}.block"] != "attention":
        return None
    given = draft[name]
    assert isinstance(given, int)
    assert isinstance(width, int)
    if width % given == 0:
        return None
    works = [heads for heads in decisions[name] if isinstance(heads, int) and width % heads == 0]
    if not works:
        return None
    below = [heads for heads in works if heads < given]
    draft[name] = max(below) if below else min(works)
    return f"{stage}: num_heads {given} does not divide width {width}; {draft[name]} was taken"


RULES: tuple[Rule, ...] = (heads_divide_width,)
