"""Kinds of blocks by name: ours in one dict, a user's own by the dotted path to it.

A spec says what a block decides. A user's own block is named in a search space as `package.module:name`, in the place
of a kind; what stands there is a `UserBlock`. The path is the kind in JSON as well, so that whoever reads an
architecture elsewhere imports the same module. That such a block keeps what every block must keep is checked on its
first use, by `ecoNAS.block_conformance`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pydantic import ValidationError

from ecoNAS.block_specs import (
    AttentionSpec,
    BlockSpec,
    ConvNeXtSpec,
    FusedMBConvSpec,
    LinearAttentionSpec,
    MBConvSpec,
    MixerSpec,
    MobileAttentionSpec,
    MobileOneSpec,
    RelativeAttentionSpec,
    RepMixerSpec,
    UIBSpec,
)
from ecoNAS.dotted_path import import_named
from ecoNAS.errors import ArchitectureError, BlockError, unknown_name
from ecoNAS.validation import in_one_line

BLOCK_SPECS: Final[dict[str, type[BlockSpec]]] = {
    "attention": AttentionSpec,
    "convnext": ConvNeXtSpec,
    "fused_mbconv": FusedMBConvSpec,
    "linear_attention": LinearAttentionSpec,
    "mbconv": MBConvSpec,
    "mixer": MixerSpec,
    "mobile_attention": MobileAttentionSpec,
    "mobileone": MobileOneSpec,
    "relative_attention": RelativeAttentionSpec,
    "repmixer": RepMixerSpec,
    "uib": UIBSpec,
}


@dataclass(frozen=True, slots=True)
class UserBlock:
    """A user's own kind of block: what a dotted path in a search space must name.

    In `my_package/blocks.py`, for `my_package.blocks:ghost: {ratio: [2, 4]}` in the space:

        class GhostSpec(BlockSpec):
            ratio: int

        def make_ghost(spec: GhostSpec, in_width: int, out_width: int, stride: int, in_size: int) -> Constructor:
            return call(GhostModule, in_width, out_width, ratio=spec.ratio, stride=stride)

        ghost = UserBlock(GhostSpec, make_ghost)

    The path and the choices are the block's identity in every digest: give it another name when its code changes, or
    what was trained and measured with the old code counts for the new.

    Attributes:
        spec: A child of `BlockSpec` with the block's choices; its `kind` is set to the dotted path.
        constructor: A function (spec, in_width, out_width, stride, in_size) that returns a `Constructor` of
            `ecoNAS.models.constructor`, of a module from (B, in_width, n, n) to (B, out_width, m, m), where n = in_size
            and m = ceil(n / stride). For an export the module's class may use torch, timm, and what stands beside it
            in its own package.
    """

    spec: type[BlockSpec]
    constructor: Callable[[Any, int, int, int, int], Any]  # Any: each function takes its own spec; models stands above


def is_users(kind: str) -> bool:
    """Return whether a kind is a dotted path to a user's own block."""
    return ":" in kind


@cache
def user_block(kind: str) -> UserBlock:
    """Import a user's own block.

    Args:
        kind: Such as `my_package.blocks:ghost`.

    Raises:
        BlockError: if nothing is there to import, or it is no `UserBlock`.
    """
    found = import_named(kind, "block", BlockError)
    if not isinstance(found, UserBlock):
        raise BlockError(
            f"block '{kind}' is a {type(found).__name__}; it must be an ecoNAS.block_kinds.UserBlock(spec, constructor)"
        )
    if not (isinstance(found.spec, type) and issubclass(found.spec, BlockSpec) and callable(found.constructor)):
        raise BlockError(
            f"block '{kind}': its spec must be a child of ecoNAS.block_specs.BlockSpec, its constructor a function"
        )
    return found


def spec_of(kind: str) -> type[BlockSpec]:
    """Return the spec class of a kind.

    Raises:
        ArchitectureError: if nobody knows it, with the nearest name.
        BlockError: if it is a dotted path and cannot be imported.
    """
    if is_users(kind):
        return user_block(kind).spec
    if kind not in BLOCK_SPECS:
        raise ArchitectureError(unknown_name("block kind", kind, BLOCK_SPECS))
    return BLOCK_SPECS[kind]


def parse_block(value: object) -> BlockSpec:
    """Return the block spec that a mapping with a `kind` describes.

    Raises:
        ArchitectureError: if the kind is unknown or a choice of it is missing or wrong.
    """
    if isinstance(value, BlockSpec):
        return value
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise ArchitectureError(f"a block is a mapping with a 'kind', got {value!r}")
    spec = spec_of(value["kind"])
    try:
        return spec.model_validate(value)
    except ValidationError as error:
        raise ArchitectureError(f"{value['kind']}: {in_one_line(error, spec, value)}") from None
