"""Block kinds by name: the one place where a kind of block joins the networks that are built, counted and exported.

A block is a function (spec, in_width, out_width, stride, in_size) -> Constructor of a module from (B, in_width, n, n)
to (B, out_width, m, m), where n = in_size and m = ceil(n / stride); only blocks whose weights belong to positions look
at the size. To add one: a spec in `block_specs`, its name in `block_kinds.BLOCK_SPECS`, its function here, and a row in
the conformance suite (tests/models/test_block_conformance.py). A user's own needs none of these: see `block_kinds`.
"""

from collections.abc import Callable
from typing import Any

from ecoNAS.block_kinds import is_users, user_block
from ecoNAS.block_specs import BlockSpec
from ecoNAS.errors import ArchitectureError, BlockError, unknown_name
from ecoNAS.models.attention_blocks import attention, linear_attention, mobile_attention, relative_attention
from ecoNAS.models.constructor import Constructor
from ecoNAS.models.conv_blocks import convnext, fused_mbconv, mbconv, uib
from ecoNAS.models.mixer_blocks import mixer
from ecoNAS.models.reparam_blocks import mobileone, repmixer

BlockFunction = Callable[[Any, int, int, int, int], Constructor]  # Any: each function takes the spec of its own kind

BLOCKS: dict[str, BlockFunction] = {
    "attention": attention,
    "convnext": convnext,
    "fused_mbconv": fused_mbconv,
    "linear_attention": linear_attention,
    "mbconv": mbconv,
    "mixer": mixer,
    "mobile_attention": mobile_attention,
    "mobileone": mobileone,
    "relative_attention": relative_attention,
    "repmixer": repmixer,
    "uib": uib,
}


def block(spec: BlockSpec, in_width: int, out_width: int, stride: int, in_size: int) -> Constructor:
    """Return the constructor of one block.

    Args:
        spec: What is decided of it.
        in_width: Channels that enter.
        out_width: Channels that leave.
        stride: 1 or 2.
        in_size: Height and width of what enters, in positions.

    Raises:
        ArchitectureError: if the kind is unknown, or cannot have this width.
        BlockError: if it is a user's own and gives no constructor.
    """
    if is_users(spec.kind):
        constructor = user_block(spec.kind).constructor(spec, in_width, out_width, stride, in_size)
        if not isinstance(constructor, Constructor):
            raise BlockError(
                f"block '{spec.kind}' gave a {type(constructor).__name__}; return "
                "ecoNAS.models.constructor.call(Class, ...), which makes the module later"
            )
        return constructor
    if spec.kind not in BLOCKS:
        raise ArchitectureError(unknown_name("block kind", spec.kind, BLOCKS))
    return BLOCKS[spec.kind](spec, in_width, out_width, stride, in_size)
