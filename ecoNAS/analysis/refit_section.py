"""What a refit came to as a section of the report: the test split, which nothing saw before, and who beats whom."""

from collections.abc import Iterable, Sequence
from html import escape

from ecoNAS.analysis.html import items, say
from ecoNAS.analysis.refitted import cells, headings, notes, read_refitted
from ecoNAS.analysis.run import Run
from ecoNAS.analysis.verdicts import verdicts


def refit_section(run: Run) -> Iterable[str]:
    """Yield the section; none where nothing was refitted."""
    rows = read_refitted(run)
    if not rows:
        return
    head = _row("th", [escape(name).replace("\n", "<br>") for name in headings(rows)])
    body = "".join(_row("td", [say(cell) for cell in cells(row, rows)], is_ours=row.trial is not None) for row in rows)
    said = verdicts(rows)
    yield (
        "<section><h2>Trained in full</h2>"
        + (f"<ul>{items(said)}</ul>" if said else "")
        + f'<div class="scroll"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'
        f'<p class="note">{say(" ".join(notes(rows)))}</p></section>'
    )


def _row(tag: str, texts: Sequence[str], *, is_ours: bool = False) -> str:
    """Return a row of a table, whose first cell is a name; networks of the search stand out."""
    parts = "".join(f"<{tag}{'' if place else ' class=text'}>{text}</{tag}>" for place, text in enumerate(texts))
    return f"<tr{' class=knee' if is_ours else ''}>{parts}</tr>"
