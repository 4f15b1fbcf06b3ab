"""The images of a run as a section of the report: how many of each class, and what was found about them."""

from collections.abc import Iterable
from html import escape
from typing import Final

from ecoNAS.analysis.html import say
from ecoNAS.analysis.run import Run
from ecoNAS.data.audit import DataAudit

MAX_ROWS: Final = 30  # classes that get a row each; of more, the smallest


def data_section(run: Run) -> Iterable[str]:
    """Yield the section, none where nobody looked over the images; what to act on stands at the top of the page."""
    audit = run.audit
    if audit is None:
        return
    said = "".join(f"<p>{say(line)}</p>" for line in audit.facts)
    yield (
        f"<section><h2>The images</h2>{said}"
        f'<div class="scroll">{_classes(audit)}</div>'
        '<p class="note">Images were compared by their pixels: identical ones by SHA-256, others by thumbnails and a '
        "correlation of at least 0.99. Copies that were cropped, turned or mirrored are not found so.</p></section>"
    )


def _classes(audit: DataAudit) -> str:
    """Return the table of images by class and split."""
    train = audit.counts["train"]
    order = sorted(range(len(train)), key=lambda label: train[label])
    shown = sorted(order[:MAX_ROWS])
    most = max(train)
    rows = "".join(
        f'<tr><td class="text">{escape(audit.class_names[label])}</td>'
        + "".join(f"<td>{counts[label]:,}</td>" for counts in audit.counts.values())
        + f'<td><span class="bar" style="width:{100 * train[label] / most:.0f}%"></span></td></tr>'
        for label in shown
    )
    headings = "".join(f'<th scope="col">{part}</th>' for part in audit.counts)
    left_out = len(train) - len(shown)
    caption = f"<caption>The {len(shown)} smallest of {len(train)} classes.</caption>" if left_out else ""
    head = f'<thead><tr><th scope="col" class="text">class</th>{headings}<th></th></tr></thead>'
    return f"<table>{caption}{head}<tbody>{rows}</tbody></table>"
