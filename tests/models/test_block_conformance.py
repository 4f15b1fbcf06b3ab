"""What every kind of block has to keep; a new kind adds a row to `networks.EXAMPLE_SPECS`."""

import pytest
import torch
from networks import EXAMPLE_SPECS
from torch import nn

from ecoNAS.block_conformance import check_block
from ecoNAS.block_kinds import BLOCK_SPECS
from ecoNAS.block_specs import BlockSpec, MobileAttentionSpec, UIBSpec
from ecoNAS.models.registry import BLOCKS, block

KINDS = sorted(BLOCKS)
# Specs whose block is put together otherwise than that of the example.
VARIANTS = [
    UIBSpec(start_kernel_size=0, mid_kernel_size=0, expansion=2.0),
    UIBSpec(start_kernel_size=5, mid_kernel_size=0, expansion=0.5),
    UIBSpec(start_kernel_size=0, mid_kernel_size=3, expansion=4.0),
    MobileAttentionSpec(num_heads=1, key_width=4, kv_stride=1, expansion=1.0),
]


def built(spec: BlockSpec, in_width: int, width: int, stride: int) -> nn.Module:
    torch.manual_seed(0)
    return block(spec, in_width, width, stride, 8).build()


def test_every_spec_has_its_block_and_its_row() -> None:
    assert set(BLOCKS) == set(BLOCK_SPECS) == set(EXAMPLE_SPECS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_keeps_what_every_block_must_keep(kind: str) -> None:
    check_block(EXAMPLE_SPECS[kind])


@pytest.mark.parametrize("spec", VARIANTS, ids=BlockSpec.describe)
def test_its_variants_do_as_well(spec: BlockSpec) -> None:
    check_block(spec)


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_learns(kind: str) -> None:
    module = built(EXAMPLE_SPECS[kind], 8, 12, 2)
    module(torch.randn(4, 8, 8, 8)).square().mean().backward()

    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_block_is_not_nearly_the_identity(kind: str) -> None:
    module = built(EXAMPLE_SPECS[kind], 8, 8, 1)
    x = torch.randn(4, 8, 8, 8)

    assert (module(x) - x).norm() / x.norm() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_positions_matter(kind: str) -> None:
    """A block that treats positions alike would give a moved image the moved answer everywhere, borders included."""
    module = built(EXAMPLE_SPECS[kind], 8, 8, 1).eval()
    x = torch.randn(1, 8, 8, 8)

    assert not torch.allclose(module(x.flip(-1)), module(x).flip(-1), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_constructors_are_hashable_and_importable_by_their_source(kind: str) -> None:
    constructor = block(EXAMPLE_SPECS[kind], 8, 12, 2, 8)

    assert hash(constructor) == hash(block(EXAMPLE_SPECS[kind], 8, 12, 2, 8))
    namespace = {target.__name__: target for target in constructor.targets()} | {"nn": nn}
    rebuilt = eval(constructor.source(), namespace)
    shapes = {name: value.shape for name, value in constructor.build().state_dict().items()}
    assert {name: value.shape for name, value in rebuilt.state_dict().items()} == shapes
