import torch
from torch.nn import functional

from ecoNAS.training.seeding import seeded


def test_what_is_drawn_inside_depends_on_the_seed_alone() -> None:
    with seeded(5):
        first = functional.dropout(torch.ones(50))
    torch.rand(3)
    with seeded(5):
        assert torch.equal(functional.dropout(torch.ones(50)), first)
    with seeded(6):
        assert not torch.equal(functional.dropout(torch.ones(50)), first)


def test_nothing_outside_notices() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)

    with seeded(5):
        torch.rand(10)

    assert torch.equal(torch.rand(3), expected)
