"""Two thousand random architectures of the shipped space: what holds for the parts holds for whatever they make."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ecoNAS.architecture import Architecture, Deployment, Problem
from ecoNAS.costs.counts import CostTable, count_network
from ecoNAS.models.network import build_network
from ecoNAS.space.search_space import SearchSpace

SPACE = Path(__file__).parents[2] / "search_spaces" / "hybrid_tiny.yaml"
# Most at 8 pixels, where feature maps shrink to 1x1 and a network costs little time; the other sizes in every tenth.
PROBLEMS = [Problem(input_channels=1, resolution=8, num_classes=10)] * 9
OTHERS = [Problem(input_channels=3, resolution=size, num_classes=5) for size in (9, 15, 16, 28, 32)]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.long
@pytest.mark.parametrize("part", range(4))
def test_random_architectures_build_run_forward_and_backward_count_and_round_trip(part: int) -> None:
    space = SearchSpace.from_yaml(SPACE)
    rng = np.random.default_rng(part)
    tables = {problem: CostTable(problem) for problem in {*PROBLEMS, *OTHERS}}
    torch.manual_seed(part)
    for index in range(500):
        problem = PROBLEMS[0] if index % 10 else OTHERS[index // 10 % len(OTHERS)]
        bound = space.bind(Deployment(), tables[problem].costs)
        candidate = bound.random(rng)
        network = build_network(candidate.architecture, problem)
        logits = network(torch.randn(problem.input_shape(batch=2)))
        assert logits.shape == (2, problem.num_classes)
        logits.square().sum().backward()
        gradients = [parameter.grad for parameter in network.parameters()]
        assert all(gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients)
        assert bound.costs(candidate).params == sum(parameter.numel() for parameter in network.parameters())
        if index % 10 == 0:
            assert bound.costs(candidate) == count_network(network, problem)
        assert Architecture.from_json(candidate.architecture.to_json()).digest == candidate.architecture.digest
        assert bound.from_parameters(bound.parameters(candidate)).digest == candidate.digest


def test_a_warm_table_screens_three_thousand_without_counting_anything_again(monkeypatch: pytest.MonkeyPatch) -> None:
    space, table = SearchSpace.from_yaml(SPACE), CostTable(PROBLEMS[0])
    rng = np.random.default_rng(0)
    pool = [space.random(rng) for _ in range(300)]
    first = [table.costs(candidate.architecture) for candidate in pool]

    def refuse(*_: object) -> None:
        raise AssertionError("counted again")

    monkeypatch.setattr("ecoNAS.costs.counts._count", refuse)
    assert [table.costs(candidate.architecture) for _ in range(10) for candidate in pool] == first * 10
