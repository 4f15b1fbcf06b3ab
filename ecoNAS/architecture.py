"""Architectures, deployments and candidates as data: frozen, JSON, with a digest that is their identity.

Nothing here knows torch: an architecture travels as JSON through workers, storage, notebooks and git, and only
`ecoNAS.models` turns it into a module. Which values a search may try is decided by `ecoNAS.space`.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, field_validator

from ecoNAS.errors import ArchitectureError, unknown_name
from ecoNAS.validation import in_one_line

ARCHITECTURE_VERSION: Final = 1

Width = Annotated[int, Field(ge=1, le=8192)]
OddKernel = Annotated[int, Field(ge=1, le=31)]


class Frozen(BaseModel):
    """The base of everything that crosses a file or a process: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:  # Any: pydantic's own
        """Return a copy with other fields; what was computed from the old ones, such as a digest, does not go along."""
        copy = super().model_copy(update=update, deep=deep)
        for name in set(copy.__dict__) - set(type(self).model_fields):
            del copy.__dict__[name]
        return copy


def canonical_digest(value: object) -> str:
    """Return the SHA-256 (64 hex digits) of `value` as JSON with sorted keys and no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


class BlockSpec(Frozen):
    """One decided block; each kind is a child with choices of its own."""

    kind: str

    def check(self, width: int) -> None:
        """Raise ArchitectureError if a block of this kind cannot have `width` output channels."""

    def describe(self) -> str:
        """Return the block in a few words, for tables and drawings."""
        choices = ", ".join(f"{name} {value}" for name, value in self.model_dump().items() if name != "kind")
        return f"{self.kind} ({choices})" if choices else self.kind


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"kernel_size {value} is even; choose an odd one, such as {value + 1}")
    return value


class _ConvBlockSpec(BlockSpec):
    """What convolution blocks share: an odd kernel and the ratio of inner to outer width."""

    kernel_size: OddKernel
    expansion: Annotated[float, Field(gt=0, le=16)]

    _kernel_is_odd = field_validator("kernel_size")(_odd)


class MBConvSpec(_ConvBlockSpec):
    """Inverted bottleneck with a depthwise convolution (MobileNetV2, arXiv 1801.04381)."""

    kind: Literal["mbconv"] = "mbconv"
    squeeze_excite: bool


class FusedMBConvSpec(_ConvBlockSpec):
    """Inverted bottleneck whose first two convolutions are one (EfficientNetV2, arXiv 2104.00298)."""

    kind: Literal["fused_mbconv"] = "fused_mbconv"


class ConvNeXtSpec(_ConvBlockSpec):
    """Depthwise convolution, layer norm and a two-layer perceptron (arXiv 2201.03545)."""

    kind: Literal["convnext"] = "convnext"


class AttentionSpec(BlockSpec):
    """Pre-norm transformer block over all positions, with a convolutional position encoding (arXiv 2102.10882)."""

    kind: Literal["attention"] = "attention"
    num_heads: Annotated[int, Field(ge=1)]
    mlp_ratio: Annotated[float, Field(gt=0, le=16)]

    def check(self, width: int) -> None:
        """Raise ArchitectureError unless the heads divide the width."""
        if width % self.num_heads:
            works = ", ".join(str(n) for n in range(1, 17) if width % n == 0)
            raise ArchitectureError(
                f"width {width} is not divisible by num_heads {self.num_heads}; choose heads from {works}"
            )


BLOCK_SPECS: dict[str, type[BlockSpec]] = {
    "attention": AttentionSpec,
    "convnext": ConvNeXtSpec,
    "fused_mbconv": FusedMBConvSpec,
    "mbconv": MBConvSpec,
}


def parse_block(value: object) -> BlockSpec:
    """Return the block spec that a mapping with a `kind` describes.

    Raises:
        ArchitectureError: if the kind is unknown or a choice of it is missing or wrong.
    """
    if isinstance(value, BlockSpec):
        return value
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise ArchitectureError(f"a block is a mapping with a 'kind', got {value!r}")
    if value["kind"] not in BLOCK_SPECS:
        raise ArchitectureError(unknown_name("block kind", value["kind"], BLOCK_SPECS))
    spec = BLOCK_SPECS[value["kind"]]
    try:
        return spec.model_validate(value)
    except ValidationError as error:
        raise ArchitectureError(f"{value['kind']}: {in_one_line(error, spec, value)}") from None


class StemSpec(Frozen):
    """The first convolution, from the image to `width` channels."""

    width: Width
    kernel_size: OddKernel = 3
    stride: Literal[1, 2] = 1

    _kernel_is_odd = field_validator("kernel_size")(_odd)


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


class Architecture(Frozen):
    """One fully decided network: stem, stages from first to last, head."""

    version: Literal[1] = ARCHITECTURE_VERSION
    stem: StemSpec
    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1, max_length=16)]
    head: HeadSpec = HeadSpec()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical spec and its version: equal digests mean equal state-dict shapes and trace."""
        return canonical_digest(self.model_dump(mode="json"))

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
        parts = [f"stem {self.stem.width}" + (" /2" if self.stem.stride == 2 else "")]
        for stage in self.stages:
            parts.append(f"{stage.block.kind} {stage.width}x{stage.depth}" + (" /2" if stage.stride == 2 else ""))
        if self.head.width:
            parts.append(f"head {self.head.width}")
        return " | ".join(parts)

    def to_json(self) -> str:
        """Return the architecture as indented JSON, ending in a newline."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Architecture":
        """Read an architecture from JSON and check its rules.

        Raises:
            ArchitectureError: if the text is no architecture.
        """
        try:
            architecture = cls.model_validate_json(text)
        except ValidationError as error:
            raise ArchitectureError(f"not an architecture: {in_one_line(error, cls)}") from None
        architecture.check()
        return architecture

    @classmethod
    def load(cls, path: str | Path) -> "Architecture":
        """Read an architecture from a JSON file; raises ArchitectureError naming the file."""
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
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
    """An architecture together with how it will run, on its way through the search."""

    architecture: Architecture
    deployment: Deployment = Deployment()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over both parts; the name of the candidate's files in a run folder."""
        return canonical_digest([self.architecture.digest, self.deployment.digest])


class Problem(Frozen):
    """What every network of a study must fit: the shape of its images, its classes, its task."""

    task: Literal["classification"] = "classification"
    input_channels: Annotated[int, Field(ge=1)]
    resolution: Annotated[int, Field(ge=1, description="height and width of an image in pixels")]
    num_classes: Annotated[int, Field(ge=2)]

    def input_shape(self, batch: int) -> tuple[int, int, int, int]:
        """Return (batch, channels, height, width)."""
        return (batch, self.input_channels, self.resolution, self.resolution)


def derive_seed(*parts: Any) -> int:  # Any: whatever JSON can hold
    """Return a 63-bit seed that depends on nothing but `parts`, such as (run seed, 'weights', digest)."""
    return int(canonical_digest(list(parts))[:16], 16) >> 1
