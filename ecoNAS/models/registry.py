"""Block kinds by name: the one place where a kind of block joins the networks that are built, counted and exported.

A block is a function (spec, in_width, out_width, stride) -> Constructor of a module from (B, in_width, n, n) to
(B, out_width, m, m) with m = ceil(n / stride). To add one: a spec in `architecture.BLOCK_SPECS`, its function here, and
a row in the conformance suite (tests/models/test_block_conformance.py).
"""

from collections.abc import Callable
from typing import Any

from ecoNAS.architecture import BlockSpec
from ecoNAS.errors import ArchitectureError, unknown_name
from ecoNAS.models.attention_blocks import attention
from ecoNAS.models.constructor import Constructor
from ecoNAS.models.conv_blocks import convnext, fused_mbconv, mbconv

BlockFunction = Callable[[Any, int, int, int], Constructor]  # Any: each function takes the spec of its own kind

BLOCKS: dict[str, BlockFunction] = {
    "attention": attention,
    "convnext": convnext,
    "fused_mbconv": fused_mbconv,
    "mbconv": mbconv,
}


def block(spec: BlockSpec, in_width: int, out_width: int, stride: int) -> Constructor:
    """Return the constructor of one block.

    Raises:
        ArchitectureError: if the kind is unknown, or cannot have this width.
    """
    if spec.kind not in BLOCKS:
        raise ArchitectureError(unknown_name("block kind", spec.kind, BLOCKS))
    return BLOCKS[spec.kind](spec, in_width, out_width, stride)
