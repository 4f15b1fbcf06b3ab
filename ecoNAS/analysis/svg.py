"""An architecture drawn as SVG: one box a part from image to scores, with its feature map to scale beside it.

Plain text without a dependency; what a part is called and how large it is comes from `drawing`.
"""

import math
from collections.abc import Iterator
from html import escape
from typing import Final

from ecoNAS.analysis.drawing import DrawnPart, drawn_parts
from ecoNAS.architecture import AnyArchitecture, Problem

WIDTH: Final = 640
BOX_WIDTH: Final = 500
BOX_HEIGHT: Final = 54
GAP: Final = 26
MARGIN: Final = 20
TITLE_HEIGHT: Final = 44
MAP_SIDE: Final = 48  # of the largest feature map
LEAST_SIDE: Final = 4
CHARACTERS: Final = 62  # that fit into a line of a box
TITLE_CHARACTERS: Final = 82

_PLAIN = "#eceff1"
_CONVOLUTION, _ATTENTION, _OTHER = "#cfe3f7", "#fbdcc4", "#dcefd2"
_COLOURS = {
    **dict.fromkeys(("convnext", "fused_mbconv", "mbconv", "mobileone", "repmixer", "uib"), _CONVOLUTION),
    **dict.fromkeys(("attention", "linear_attention", "mobile_attention", "relative_attention"), _ATTENTION),
}


def draw_svg(architecture: AnyArchitecture, problem: Problem, note: str = "") -> str:
    """Return an SVG document of the network from image to scores.

    Blue boxes are convolutions, orange ones attention, green ones other blocks. The square beside a box is the feature
    map that leaves it, its side in proportion to the square root of height and width.

    Args:
        architecture: What is drawn.
        problem: Its images and classes.
        note: A second line of the title, such as its costs.
    """
    parts = drawn_parts(architecture, problem)
    largest = max(part.size for part in parts if part.size is not None)
    height = TITLE_HEIGHT + len(parts) * (BOX_HEIGHT + GAP) - GAP + 2 * MARGIN
    body = [_text(MARGIN, MARGIN + 12, _cut(architecture.describe(), TITLE_CHARACTERS), 13, bold=True)]
    body += [_text(MARGIN, MARGIN + 31, _cut(note, TITLE_CHARACTERS), 12)] if note else []
    for place, part in enumerate(parts):
        top = MARGIN + TITLE_HEIGHT + place * (BOX_HEIGHT + GAP)
        body += [*_arrow(top, part.stride)] if place else []
        body += [*_box(part, top, largest)]
    label = escape(f"the network {architecture.describe()}", quote=True)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
            f'role="img" aria-label="{label}" font-family="Helvetica, Arial, sans-serif">',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def _box(part: DrawnPart, top: int, largest: int) -> Iterator[str]:
    """Yield a part as a box, with its feature map to the right of it."""
    colour = _COLOURS.get(part.kind, _OTHER) if part.kind else _PLAIN
    yield (
        f'<rect x="{MARGIN}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" fill="{colour}" '
        'stroke="#78909c"/>'
    )
    first = top + (23 if part.choices else 32)
    yield _text(MARGIN + 14, first, part.name, 14, bold=True)
    yield _text(MARGIN + 90, first, _cut(part.what, CHARACTERS // 2), 14)
    yield _text(MARGIN + BOX_WIDTH - 14, first, part.shape, 14, anchor="end")
    if part.choices:
        yield _text(MARGIN + 90, top + 42, _cut(part.choices, CHARACTERS), 12, colour="#37474f")
    if part.size is None:
        return
    side = max(LEAST_SIDE, MAP_SIDE * math.sqrt(part.size / largest))
    x, y = WIDTH - MARGIN - MAP_SIDE / 2 - side / 2, top + BOX_HEIGHT / 2 - side / 2
    yield (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{side:.1f}" height="{side:.1f}" fill="{colour}" stroke="#78909c">'
        f"<title>{part.size} x {part.size} positions</title></rect>"
    )


def _arrow(top: int, stride: int) -> Iterator[str]:
    """Yield the arrow into a box, with the stride that its part takes."""
    x = MARGIN + BOX_WIDTH / 2
    yield f'<path d="M{x} {top - GAP + 2} V{top - 7}" stroke="#455a64" stroke-width="2"/>'
    yield f'<path d="M{x - 5} {top - 9} L{x} {top - 1} L{x + 5} {top - 9} Z" fill="#455a64"/>'
    if stride > 1:
        yield _text(x + 12, top - 8, f"stride {stride}", 12, colour="#37474f")


def _text(x: float, y: float, text: str, size: int, *, bold: bool = False, anchor: str = "", colour: str = "") -> str:
    more = ' font-weight="bold"' if bold else ""
    more += f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour or "#102027"}"{more}>{escape(text)}</text>'


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
