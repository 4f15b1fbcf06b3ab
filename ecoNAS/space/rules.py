"""Rules between decisions: each repairs a draft, and says so, or leaves it to be refused.

A draft is the flat parameters with every choice made. A rule sees the parts that belong together and changes only what
it names; what no rule can mend stays broken and `Architecture.check` refuses it with the reason.
"""

from collections.abc import Callable, Mapping

from ecoNAS.space.protocol import Value

Draft = dict[str, Value]
Decisions = Mapping[str, tuple[Value, ...]]
Rule = Callable[[Draft, Decisions, str], str | None]

SPLIT_BY_HEADS = ("attention", "relative_attention")


def heads_divide_width(draft: Draft, decisions: Decisions, stage: str) -> str | None:
    """Repair `num_heads` of a block whose heads split its width to the largest choice below it that divides it."""
    kind, width = draft[f"{stage}.block"], draft[f"{stage}.width"]
    if kind not in SPLIT_BY_HEADS:
        return None
    name = f"{stage}.{kind}.num_heads"
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


def a_head_fits_into_the_width(draft: Draft, decisions: Decisions, stage: str) -> str | None:
    """Repair `head_width` of linear attention to the largest choice that the width has room for."""
    name, width = f"{stage}.linear_attention.head_width", draft[f"{stage}.width"]
    if draft[f"{stage}.block"] != "linear_attention":
        return None
    given = draft[name]
    assert isinstance(given, int)
    assert isinstance(width, int)
    works = [head for head in decisions[name] if isinstance(head, int) and head <= width]
    if given <= width or not works:
        return None
    draft[name] = max(works)
    return f"{stage}: a head of head_width {given} does not fit into width {width}; {draft[name]} was taken"


RULES: tuple[Rule, ...] = (heads_divide_width, a_head_fits_into_the_width)
