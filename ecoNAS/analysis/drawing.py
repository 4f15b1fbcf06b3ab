"""An architecture drawn in text, one box a stage, with the size of the feature map that leaves each.

Sizes are arithmetic: every stride of 2 halves height and width, rounded up, as all blocks of `ecoNAS.models` do.
"""

from ecoNAS.architecture import Architecture, BlockSpec, Problem

_SHORT = {"attention": "at", "convnext": "cx", "fused_mbconv": "fm", "mbconv": "mb"}
_MIN_INNER = 52


def draw(architecture: Architecture, problem: Problem) -> str:
    """Return the network from image to scores, in lines of about 60 characters."""
    size = problem.resolution
    rows = [("image", "", _shape(problem.input_channels, size))]
    size = _halve(size, architecture.stem.stride)
    stem = architecture.stem
    convolution = f"convolution {stem.kernel_size}x{stem.kernel_size}{_stride(stem.stride)}"
    rows.append(("stem", convolution, _shape(stem.width, size)))
    for number, stage in enumerate(architecture.stages, start=1):
        size = _halve(size, stage.stride)
        blocks = f"{stage.depth} x {stage.block.kind}{_stride(stage.stride)}"
        rows.append((f"stage {number}", blocks, _shape(stage.width, size)))
        rows.append(("", _choices(stage.block), ""))
    if architecture.head.width:
        rows.append(("head", "convolution 1x1", _shape(architecture.head.width, size)))
    scores = f"{problem.num_classes} scores"
    rows.append(("" if architecture.head.width else "head", "mean over positions, linear", scores))
    return _boxes(rows)


def abbreviate(architecture: Architecture) -> str:
    """Return the network in about 30 characters, for narrow tables: `8 mb16x2 at32x1/2 h64`."""
    parts = [f"{architecture.stem.width}{_slash(architecture.stem.stride)}"]
    for stage in architecture.stages:
        kind = _SHORT.get(stage.block.kind, stage.block.kind)
        parts.append(f"{kind}{stage.width}x{stage.depth}{_slash(stage.stride)}")
    if architecture.head.width:
        parts.append(f"h{architecture.head.width}")
    return " ".join(parts)


def legend(architectures: list[Architecture]) -> str:
    """Return one line that explains what `abbreviate` made of these networks."""
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


def _shape(channels: int, size: int) -> str:
    return f"{channels} x {size} x {size}"


def _halve(size: int, stride: int) -> int:
    return -(-size // stride)


def _stride(stride: int) -> str:
    return f", stride {stride}" if stride > 1 else ""


def _slash(stride: int) -> str:
    return f"/{stride}" if stride > 1 else ""
