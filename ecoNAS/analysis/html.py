"""Text as HTML: escaped, with numbers beside their units. Which text stands where is decided by `report`."""

import re
from collections.abc import Iterable
from html import escape

from ecoNAS.analysis.provenance import Facts


def facts(given: Facts) -> str:
    """Return names with what is said of each."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{say(value)}</dd>" for name, value in given)
    return f'<dl class="facts">{rows}</dl>'


def items(notes: Iterable[str]) -> str:
    """Return notes as the items of a list."""
    return "".join(f"<li>{say(note)}</li>" for note in notes)


def say(text: str) -> str:
    """Return text as HTML, with a real micro sign and numbers kept beside their units."""
    text = escape(text).replace(" ± ", "&nbsp;±&nbsp;")
    return re.sub(r"(?<=\d) (?=[kMGTmunp]?(?:[JsB]\b|[kMG]\b))", "&nbsp;", text).replace("&nbsp;u", "&nbsp;µ")
