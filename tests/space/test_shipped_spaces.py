"""Every shipped space of stages holds what its file says: what is drawn builds, learns, is counted and fused."""

import re
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import randomise_statistics
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ecoNAS.architecture import Architecture, Candidate, Problem
from ecoNAS.costs.counts import CostTable
from ecoNAS.models.fused import RELATIVE_TOLERANCE, fused
from ecoNAS.models.network import build_network
from ecoNAS.space.search_space import SearchSpace

READY = "timm_zoo.yaml"  # its models have tests of their own: test_timm_zoo.py
SPACES = sorted(path for path in (Path(__file__).parents[2] / "search_spaces").glob("*.yaml") if path.name != READY)
NUM_DRAWS = 50
CLASSES = 5
BATCH = 2

on_every_space = pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def problem_of(space: SearchSpace, resolution: int) -> Problem:
    return Problem(input_channels=3, resolution=resolution, num_classes=CLASSES)


def draws(space: SearchSpace, count: int) -> list[Candidate]:
    rng = np.random.default_rng(11)
    return [space.random(rng) for _ in range(count)]


def extreme(space: SearchSpace, largest: bool) -> Architecture:
    """Return the network of all first or all last choices, with strides that make its maps small or large."""
    pick = max if largest else min
    values = {
        name: (min if largest else max)(choices) if name.endswith("stride") else choices[-1 if largest else 0]
        for name, choices in space.choices.items()
    }
    depths = {name: pick(choices) for name, choices in space.choices.items() if name.endswith("depth")}
    return space.from_parameters(values | depths).architecture


def macs_by_torch(network: nn.Module, x_bchw: torch.Tensor) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(x_bchw)
    return counter.get_total_flops() / 2


def check_learns(network: nn.Module, x_bchw: torch.Tensor) -> None:
    logits_bk = network.train()(x_bchw)
    assert logits_bk.shape == (BATCH, CLASSES)
    nn.functional.cross_entropy(logits_bk, torch.arange(BATCH)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert network.stem.conv.weight.grad.any()  # type: ignore[union-attr]


def check_counted(network: nn.Module, table: CostTable, architecture: Architecture, x_bchw: torch.Tensor) -> None:
    """The sums of parts, by fvcore, against another counter on the whole network."""
    costs = table.costs(architecture)
    assert costs.macs == macs_by_torch(network, x_bchw[:1])
    assert costs.params == sum(parameter.numel() for parameter in network.parameters())


def check_fused(network: nn.Module, x_bchw: torch.Tensor) -> None:
    randomise_statistics(network)
    deployed = fused(network.eval())
    with torch.no_grad():
        expected_bk, found_bk = network(x_bchw), deployed(x_bchw)
    assert float((expected_bk - found_bk).abs().max()) <= RELATIVE_TOLERANCE * float(expected_bk.abs().max())
    assert sum(p.numel() for p in deployed.parameters()) < sum(p.numel() for p in network.parameters())


def check_identity(space: SearchSpace, candidate: Candidate) -> None:
    back = Architecture.from_json(candidate.architecture.to_json())
    assert back == candidate.architecture
    assert back.digest == candidate.architecture.digest
    assert space.from_parameters(space.parameters(candidate)).digest == candidate.digest


@on_every_space
def test_whatever_is_drawn_builds_learns_is_counted_and_fused(path: Path) -> None:
    space = SearchSpace.from_yaml(path)
    problem = problem_of(space, space.file.resolution.min)
    table = CostTable(problem)
    torch.manual_seed(0)
    x_bchw = torch.randn(problem.input_shape(BATCH))
    for candidate in draws(space, NUM_DRAWS):
        network = build_network(candidate.architecture, problem)
        check_learns(network, x_bchw)
        check_counted(network, table, candidate.architecture, x_bchw)
        check_fused(network, x_bchw)
        check_identity(space, candidate)


@on_every_space
def test_every_kind_of_block_is_drawn_where_it_may_stand(path: Path) -> None:
    space = SearchSpace.from_yaml(path)
    seen = Counter(space.parameters(candidate).get(f"stage{number}.block", "")
                   for candidate in draws(space, 300) for number in range(1, len(space.stages) + 1))  # fmt: skip
    assert set(seen) - {""} == {kind for stage in space.stages if len(stage.block) > 1 for kind in stage.block}


@on_every_space
def test_its_head_comment_names_sources_and_its_size(path: Path) -> None:
    text, space = path.read_text(encoding="utf-8"), SearchSpace.from_yaml(path)
    assert space.file.name == path.stem
    if path.stem == "smoke":
        return
    head = text.partition("version:")[0]
    assert "arXiv" in head
    said = re.search(r"# Size: (\S+) networks", head)
    assert said is not None
    assert float(said[1]) == float(f"{space.size:.1e}")


@on_every_space
def test_images_of_the_largest_size_can_be_read(path: Path) -> None:
    space = SearchSpace.from_yaml(path)
    largest = space.file.resolution.max
    problem = problem_of(space, largest)
    torch.manual_seed(0)
    network = build_network(extreme(space, largest=False), problem).eval()
    with torch.no_grad():
        assert network(torch.randn(problem.input_shape(1))).isfinite().all()


@on_every_space
def test_the_largest_network_reads_images_of_the_largest_size(path: Path) -> None:
    space = SearchSpace.from_yaml(path)
    problem = problem_of(space, space.file.resolution.max)
    torch.manual_seed(0)
    with torch.no_grad():
        logits_bk = build_network(extreme(space, largest=True), problem).eval()(torch.randn(problem.input_shape(1)))
    assert logits_bk.isfinite().all()


@on_every_space
def test_the_cheap_end_trains_on_a_cpu_at_32_pixels(path: Path) -> None:
    space = SearchSpace.from_yaml(path)
    costs = partial(lambda table, largest: table.costs(extreme(space, largest)), CostTable(problem_of(space, 32)))
    assert costs(largest=False).macs < 0.5e6
    assert path.stem in ("smoke", "hybrid_tiny") or costs(largest=True).macs > 20e6
