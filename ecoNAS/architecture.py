"""Architectures, deployments and candidates as data: frozen, JSON, with a digest that is their identity.

An architecture is one of two things: stem, stages and head (`Architecture`), or a ready model of timm by its name
(`ReadyArchitecture`); `AnyArchitecture` stands for both. Nothing here knows torch: an architecture travels as JSON
through workers, storage, notebooks and git, and only `ecoNAS.models` turns it into a module. What a block decides is in
`block_specs`; which values a search may try is decided by `ecoNAS.space`.
"""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Discriminator, Field, SerializeAsAny, Tag, ValidationError, field_validator
from pydantic_core import from_json

from ecoNAS.block_kinds import parse_block
from ecoNAS.block_specs import BlockSpec, OddKernel, is_odd
from ecoNAS.errors import ArchitectureError
from ecoNAS.frozen import Frozen, canonical_digest
from ecoNAS.recipe import RecipeChoice
from ecoNAS.validation import in_one_line

ARCHITECTURE_VERSION: Final = 1

Width = Annotated[int, Field(ge=1, le=8192)]


class StemSpec(Frozen):
    """The first convolution, from the image to `width` channels; a stride of 4 suits images of 224 pixels."""

    width: Width
    kernel_size: OddKernel = 3
    stride: Literal[1, 2, 4] = 1

    _kernel_is_odd = field_validator("kernel_size")(is_odd)


class StageSpec(Frozen):
    """`depth` equal blocks of one width; the first one changes the width and takes the stride."""

    width: Width
    depth: Annotated[int, Field(ge=1, le=64)]
    stride: Literal[1, 2]
    block: SerializeAsAny[BlockSpec]

    @field_validator("block", mode="before")
    @classmethod
    def _read_block(cls, value: object) -> BlockSpec:
        try:
            return parse_block(value)
        except ArchitectureError as error:
            raise ValueError(str(error)) from None


class HeadSpec(Frozen):
    """Global pooling and a linear classifier, after a 1x1 convolution to `width` channels (0: none)."""

    width: Annotated[int, Field(ge=0, le=8192)] = 0


class NetworkSpec(Frozen):
    """What every architecture is: an identity, a line for people, and JSON there and back."""

    version: Literal[1] = ARCHITECTURE_VERSION

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical spec and its version: equal digests mean equal state-dict shapes and trace."""
        return canonical_digest(self.model_dump(mode="json"))

    @property
    def name(self) -> str:
        """What people call it, and what files of weights for it are called."""
        raise NotImplementedError

    @property
    def block_kinds(self) -> tuple[str, ...]:
        """The block kind of each stage, first to last; none where it has no stages of ours."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise ArchitectureError for a broken rule that can be told without building anything."""
        raise NotImplementedError

    def describe(self) -> str:
        """Return the network in one short line."""
        raise NotImplementedError

    def to_json(self) -> str:
        """Return the architecture as indented JSON, ending in a newline."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read an architecture of this kind from JSON and check its rules; `parse_architecture` reads any kind.

        Raises:
            ArchitectureError: if the text is no such architecture.
        """
        try:
            architecture = cls.model_validate_json(text)
        except ValidationError as error:
            raise ArchitectureError(f"not an architecture: {in_one_line(error, cls)}") from None
        architecture.check()
        return architecture


class Architecture(NetworkSpec):
    """One fully decided network: stem, stages from first to last, head."""

    stem: StemSpec
    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1, max_length=16)]
    head: HeadSpec = HeadSpec()

    @property
    def name(self) -> str:
        """`architecture`: it has no other name."""
        return "architecture"

    @property
    def block_kinds(self) -> tuple[str, ...]:
        """The block kind of each stage, first to last."""
        return tuple(stage.block.kind for stage in self.stages)

    def check(self) -> None:
        """Raise ArchitectureError, naming the stage, if a block cannot have the width of its stage."""
        for number, stage in enumerate(self.stages, start=1):
            try:
                stage.block.check(stage.width)
            except ArchitectureError as error:
                raise ArchitectureError(f"stage {number}: {error}") from None

    def describe(self) -> str:
        """Return the network in one short line: `16-s1 | mbconv 24x2 /2 | attention 32x1 | head 64`."""
        parts = [f"stem {self.stem.width}" + (f" /{self.stem.stride}" if self.stem.stride > 1 else "")]
        for stage in self.stages:
            parts.append(f"{stage.block.kind} {stage.width}x{stage.depth}" + (" /2" if stage.stride == 2 else ""))
        if self.head.width:
            parts.append(f"head {self.head.width}")
        return " | ".join(parts)


class ReadyArchitecture(NetworkSpec):
    """A ready model of timm, by its name; never pretrained, made for the channels and classes of the problem.

    The name is its identity: should timm change what a name means, records of both versions would count as one network.
    """

    timm: Annotated[str, Field(min_length=1)]

    @field_validator("timm")
    @classmethod
    def _names_no_weights(cls, value: str) -> str:
        if "." in value or ":" in value or "/" in value:  # resnet18.a1_in1k, hf-hub:timm/resnet18
            raise ValueError(f"'{value}' names weights; a ready model has new ones: give a name such as 'resnet18'")
        return value

    @property
    def name(self) -> str:
        """Its name in timm."""
        return self.timm

    @property
    def block_kinds(self) -> tuple[str, ...]:
        """None: its blocks are timm's affair."""
        return ()

    def check(self) -> None:
        """Pass: that timm knows the name, and what images it reads, is found out by `ecoNAS.models`."""

    def describe(self) -> str:
        """Return `timm mobilenetv3_small_050`."""
        return f"timm {self.timm}"


def _kind_of(value: object) -> str:
    """Return the tag of an architecture, or of a mapping that is to become one: the older kind has none in JSON."""
    is_ready = "timm" in value if isinstance(value, dict) else isinstance(value, ReadyArchitecture)
    return "ready" if is_ready else "staged"


AnyArchitecture = Annotated[
    Annotated[Architecture, Tag("staged")] | Annotated[ReadyArchitecture, Tag("ready")], Discriminator(_kind_of)
]


def parse_architecture(text: str) -> AnyArchitecture:
    """Read an architecture of either kind from JSON and check its rules.

    Raises:
        ArchitectureError: if the text is no architecture.
    """
    try:
        kind = _kind_of(from_json(text))
    except ValueError:
        kind = "staged"  # whose reader says where the JSON breaks off
    return ReadyArchitecture.from_json(text) if kind == "ready" else Architecture.from_json(text)


def load_architecture(path: str | Path) -> AnyArchitecture:
    """Read an architecture of either kind from a JSON file; raises ArchitectureError naming the file."""
    try:
        return parse_architecture(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArchitectureError(f"{path}: no such architecture file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ArchitectureError(f"{path}: cannot be read as text: {error}") from None
    except ArchitectureError as error:
        raise ArchitectureError(f"{path}: {error}") from None


class Deployment(Frozen):
    """How a network runs when it is used: what its energy and latency depend on besides its architecture."""

    runtime: Literal["eager", "compiled", "onnxruntime"] = "eager"
    form: Literal["training", "fused"] = "training"
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    batch: Annotated[int, Field(ge=1)] = 32
    threads: Annotated[int, Field(ge=1)] = 1
    layout: Literal["contiguous", "channels_last"] = "contiguous"
    resolution: Annotated[int, Field(ge=1)] | None = Field(None, description="None: that of the problem")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical deployment."""
        return canonical_digest(self.model_dump(mode="json"))


class Candidate(Frozen):
    """An architecture, how it will run and what it decides of its recipe, on its way through the search."""

    architecture: AnyArchitecture
    deployment: Deployment = Deployment()
    recipe: RecipeChoice = RecipeChoice()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all parts, a recipe only if it decides something; the name of the candidate's files in a run."""
        decided = self.recipe.model_dump(mode="json", exclude_none=True)
        return canonical_digest([self.architecture.digest, self.deployment.digest, *([decided] if decided else [])])


class Problem(Frozen):
    """What every network of a study must fit: the shape of its images, its classes, its task."""

    task: Literal["classification"] = "classification"
    input_channels: Annotated[int, Field(ge=1)]
    resolution: Annotated[int, Field(ge=1, description="height and width of an image in pixels")]
    num_classes: Annotated[int, Field(ge=2)]

    def at(self, resolution: int | None) -> "Problem":
        """Return the same problem with images of another size in pixels; None: of the same."""
        return self if resolution in (None, self.resolution) else self.model_copy(update={"resolution": resolution})

    def input_shape(self, batch: int) -> tuple[int, int, int, int]:
        """Return (batch, channels, height, width)."""
        return (batch, self.input_channels, self.resolution, self.resolution)


def derive_seed(*parts: Any) -> int:  # Any: whatever JSON can hold
    """Return a 63-bit seed that depends on nothing but `parts`, such as (run seed, 'weights', digest)."""
    return int(canonical_digest(list(parts))[:16], 16) >> 1
