"""What a mini-batch says of an untrained network."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ecoNAS.architecture import Deployment, Problem
from ecoNAS.config import DataConfig
from ecoNAS.costs.counts import CostTable
from ecoNAS.data.datasets import load_data
from ecoNAS.models.network import build_network
from ecoNAS.search.surrogate import one_thread
from ecoNAS.space.search_space import SearchSpace
from ecoNAS.training.proxies import PROXIES, mini_batch, naswot, score, snip

SPACES = Path(__file__).parents[2] / "search_spaces"
LABELS = torch.arange(8) % 2


def net_of(width: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, width), nn.ReLU(), nn.Linear(width, 2))


def images(seed: int = 0) -> torch.Tensor:
    return torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(seed))


def test_codes_that_tell_images_apart_score_higher() -> None:
    distinct, alike = images(), images()[:1].expand(8, -1, -1, -1)
    assert naswot(net_of(64), distinct, LABELS) > naswot(net_of(64), alike, LABELS)
    assert naswot(net_of(64), distinct, LABELS) > naswot(net_of(2), distinct, LABELS)


def test_the_kernel_is_that_of_the_paper() -> None:
    """N_A minus the Hamming distance of the codes, image by image."""
    given = images()
    net = net_of(16)
    with torch.no_grad():
        codes = (net[1](net[0](given)) > 0).long()  # type: ignore[index, operator]
    kernel = np.array([[16 - int((a != b).sum()) for b in codes] for a in codes]) / 16
    expected = np.linalg.slogdet(kernel + 1e-6 * np.eye(8))[1] / 8
    assert naswot(net, given, LABELS) == pytest.approx(expected)


def test_the_loss_depends_on_weights_as_their_gradients_say() -> None:
    net, given = net_of(16), images()
    found = snip(net, given, LABELS)
    loss = nn.functional.cross_entropy(net(given), LABELS)
    loss.backward()
    total = sum(
        float((w.detach() * w.grad).abs().sum()) for w in net.parameters() if w.dim() > 1 and w.grad is not None
    )
    assert found == pytest.approx(math.log(total))


def test_a_network_that_hears_nothing_has_a_finite_score() -> None:
    net = net_of(4)
    with torch.no_grad():
        for weight in net.parameters():
            weight.zero_()
    assert score(net, (images(), LABELS), tuple(PROXIES)) == {
        "naswot": pytest.approx(naswot(net, images(), LABELS)),
        "snip": math.log(1e-12),
    }


def test_the_mini_batch_is_of_the_training_split_and_depends_on_the_seed() -> None:
    data = load_data(DataConfig(name="digits"))
    one, same, other = (mini_batch(data, seed)[0] for seed in (0, 0, 1))
    assert one.shape == (64, 1, 8, 8)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_every_network_of_the_shipped_space_is_scored_and_scores_differ() -> None:
    problem = Problem(input_channels=1, resolution=8, num_classes=10)
    space = SearchSpace.from_yaml(SPACES / "hybrid_tiny.yaml").bind(Deployment(), CostTable(problem).costs)
    batch, rng = mini_batch(load_data(DataConfig(name="digits")), 0), np.random.default_rng(0)
    with one_thread():
        networks = [build_network(space.random(rng).architecture, problem) for _ in range(8)]
        scores = [score(network, batch, tuple(PROXIES)) for network in networks]
    for name in PROXIES:
        assert len({found[name] for found in scores}) == 8
        assert all(math.isfinite(found[name]) for found in scores)
