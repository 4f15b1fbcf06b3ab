"""Which constructor stands where, and at which size: the network as a list of parts, before any of it is built.

Building, counting and exporting all follow this plan, so they cannot disagree.
"""

from dataclasses import dataclass

from ecoNAS.architecture import Architecture, Problem, StageSpec
from ecoNAS.models.constructor import Constructor, sequence
from ecoNAS.models.conv_blocks import strided
from ecoNAS.models.registry import block
from ecoNAS.models.stem_head import head, stem


@dataclass(frozen=True, slots=True)
class StagePlace:
    """A stage and what enters it; sizes are height and width of a feature map in positions.

    Attributes:
        number: From 1, the stage nearest the image.
    """

    number: int
    spec: StageSpec
    in_width: int
    in_size: int

    @property
    def size(self) -> int:
        """Height and width of what leaves the stage."""
        return strided(self.in_size, self.spec.stride)

    def constructor(self) -> Constructor:
        """Return the blocks of the stage, one after the other; the first changes width and size."""
        spec = self.spec
        first = block(spec.block, self.in_width, spec.width, spec.stride, self.in_size)
        return sequence(first, *[block(spec.block, spec.width, spec.width, 1, self.size)] * (spec.depth - 1))


@dataclass(frozen=True, slots=True)
class Part:
    """One named part of a network; its name opens the keys of its weights.

    Attributes:
        out_shape: What leaves it for one image, without the batch: (channels, height, width), or (classes,).
        note: What it is, in a few words for a reader.
    """

    name: str
    constructor: Constructor
    out_shape: tuple[int, ...]
    note: str


def stage_places(architecture: Architecture, problem: Problem) -> list[StagePlace]:
    """Return the stages with the width and size of what enters them."""
    places = []
    width, size = architecture.stem.width, strided(problem.resolution, architecture.stem.stride)
    for number, spec in enumerate(architecture.stages, start=1):
        place = StagePlace(number, spec, width, size)
        places.append(place)
        width, size = spec.width, place.size
    return places


def plan_network(architecture: Architecture, problem: Problem) -> list[Part]:
    """Return the parts in the order in which an image passes them: `stem`, `stage1` and so on, `head`.

    Raises:
        ArchitectureError: if a block is of an unknown kind or cannot have the width of its stage.
    """
    architecture.check()
    places = stage_places(architecture, problem)
    return [
        _stem_part(architecture, problem, places[0].in_size),
        *(_stage_part(place) for place in places),
        _head_part(architecture, problem, places[-1]),
    ]


def _stem_part(architecture: Architecture, problem: Problem, size: int) -> Part:
    spec = architecture.stem
    note = f"width {spec.width}, {_sizes(problem.resolution, size)}"
    return Part("stem", stem(spec, problem.input_channels), (spec.width, size, size), note)


def _stage_part(place: StagePlace) -> Part:
    spec = place.spec
    blocks = f"{spec.depth} blocks" if spec.depth > 1 else "1 block"
    note = f"{blocks} of {spec.block.kind}, width {spec.width}, {_sizes(place.in_size, place.size)}"
    return Part(f"stage{place.number}", place.constructor(), (spec.width, place.size, place.size), note)


def _head_part(architecture: Architecture, problem: Problem, last: StagePlace) -> Part:
    spec, classes = architecture.head, problem.num_classes
    note = f"{f'width {spec.width}, ' if spec.width else ''}mean over {_sizes(last.size, last.size)}, {classes} classes"
    return Part("head", head(spec, last.spec.width, classes), (classes,), note)


def _sizes(before: int, after: int) -> str:
    return f"{before}x{before} -> {after}x{after}" if after != before else f"{after}x{after}"
