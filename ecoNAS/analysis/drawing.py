"""An architecture drawn in text, one box a stage, with the size of the feature map that leaves each.

A ready model is one box: what is in it, timm knows. Sizes are arithmetic: every stride of 2 halves height and width,
rounded up, as all blocks of `ecoNAS.models` do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ecoNAS.architecture import AnyArchitecture, Architecture, Problem, ReadyArchitecture
from ecoNAS.block_specs import BlockSpec

_SHORT = {
    "attention": "at",
    "convnext": "cx",
    "fused_mbconv": "fm",
    "linear_attention": "la",
    "mbconv": "mb",
    "mixer": "mx",
    "mobile_attention": "ma",
    "mobileone": "mo",
    "relative_attention": "ra",
    "repmixer": "rm",
    "uib": "ui",
}
_MIN_INNER = 52


@dataclass(frozen=True, slots=True)
class DrawnPart:
    """One part of a network as people see it.

    Attributes:
        name: `image`, `stem`, `stage 1` and so on, `head`.
        what: What it does, in a few words; nothing for the image.
        kind: Of its blocks; empty where it is no stage.
        choices: What its blocks decide, in words.
        stride: By which it makes the feature map smaller.
        width: Channels, or classes, of what leaves it.
        size: Height and width of what leaves it in positions; None for scores.
    """

    name: str
    what: str
    width: int
    size: int | None
    stride: int = 1
    kind: str = ""
    choices: str = ""

    @property
    def shape(self) -> str:
        """What leaves it: `24 x 8 x 8`, or `10 scores`."""
        return f"{self.width} scores" if self.size is None else f"{self.width} x {self.size} x {self.size}"


def drawn_parts(architecture: AnyArchitecture, problem: Problem) -> list[DrawnPart]:
    """Return the parts from image to scores."""
    size = problem.resolution
    found = [DrawnPart("image", "", problem.input_channels, size)]
    if isinstance(architecture, ReadyArchitecture):
        return [*found, DrawnPart("timm", architecture.timm, problem.num_classes, None)]
    stem = architecture.stem
    size = _halve(size, stem.stride)
    found.append(DrawnPart("stem", f"convolution {stem.kernel_size}x{stem.kernel_size}", stem.width, size, stem.stride))
    for number, stage in enumerate(architecture.stages, start=1):
        size, kind = _halve(size, stage.stride), stage.block.kind
        blocks, choices = f"{stage.depth} x {kind}", _choices(stage.block)
        found.append(DrawnPart(f"stage {number}", blocks, stage.width, size, stage.stride, kind, choices))
    if architecture.head.width:
        found.append(DrawnPart("head", "convolution 1x1", architecture.head.width, size))
    name = "" if architecture.head.width else "head"
    return [*found, DrawnPart(name, "mean over positions, linear", problem.num_classes, None)]


def draw(architecture: AnyArchitecture, problem: Problem) -> str:
    """Return the network from image to scores, in lines of about 60 characters."""
    rows = []
    for part in drawn_parts(architecture, problem):
        rows.append((part.name, part.what + _stride(part.stride), part.shape))
        if part.kind:
            rows.append(("", part.choices, ""))
    return _boxes(rows)


def abbreviate(architecture: AnyArchitecture) -> str:
    """Return the network in about 30 characters, for narrow tables: `8 mb16x2 at32x1/2 h64`."""
    if isinstance(architecture, ReadyArchitecture):
        return architecture.timm
    parts = [f"{architecture.stem.width}{_slash(architecture.stem.stride)}"]
    for stage in architecture.stages:
        kind = _SHORT.get(stage.block.kind, stage.block.kind)
        parts.append(f"{kind}{stage.width}x{stage.depth}{_slash(stage.stride)}")
    if architecture.head.width:
        parts.append(f"h{architecture.head.width}")
    return " ".join(parts)


def legend(architectures: Sequence[AnyArchitecture]) -> str:
    """Return one line that explains what `abbreviate` made of these networks."""
    if not any(isinstance(architecture, Architecture) for architecture in architectures):
        return "ready models, by their names in timm"
    kinds = sorted({kind for architecture in architectures for kind in architecture.block_kinds if kind in _SHORT})
    names = ", ".join(f"{_SHORT[kind]} {kind}" for kind in kinds)
    return f"stem width, stages as width x depth (/2 stride), h head width; {names}"


def _boxes(rows: list[tuple[str, str, str]]) -> str:
    """Return rows of (part, what it does, shape) as boxes on top of each other; a row without a part goes on."""
    inner = max(_MIN_INNER, *(len(f"{part:<10}{what}   {shape}") for part, what, shape in rows))
    lines = []
    for index, (part, what, shape) in enumerate(rows):
        if part:
            left, right = "├┤" if index else "┌┐"
            lines.append(left + "─" * (inner + 2) + right)
        text = f"{part:<10}{what}"
        lines.append(f"│ {text}{shape:>{inner - len(text)}} │")
    return "\n".join([*lines, "└" + "─" * (inner + 2) + "┘"])


def _choices(block: BlockSpec) -> str:
    """Return what a block of its kind decides: `kernel size 3, expansion 2, squeeze excite`."""
    parts = []
    for name, value in block.model_dump(exclude={"kind"}).items():
        words = name.replace("_", " ")
        if value is True:
            parts.append(words)
        elif value is not False:
            parts.append(f"{words} {value:g}" if isinstance(value, int | float) else f"{words} {value}")
    return ", ".join(parts)


def _halve(size: int, stride: int) -> int:
    return -(-size // stride)


def _stride(stride: int) -> str:
    return f", stride {stride}" if stride > 1 else ""


def _slash(stride: int) -> str:
    return f"/{stride}" if stride > 1 else ""
