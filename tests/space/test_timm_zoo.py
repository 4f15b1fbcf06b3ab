"""Every ready model of the shipped zoo is a candidate like any other: built, trained, counted, fused and told apart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from networks import randomise_statistics
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ecoNAS.architecture import Candidate, Problem, ReadyArchitecture, parse_architecture
from ecoNAS.costs.counts import CostTable
from ecoNAS.errors import ArchitectureError, ConfigError
from ecoNAS.models.fused import RELATIVE_TOLERANCE, fused
from ecoNAS.models.network import build_network
from ecoNAS.space.search_space import SearchSpace

SPACES = Path(__file__).parents[2] / "search_spaces"
ZOO = SearchSpace.from_yaml(SPACES / "timm_zoo.yaml")
SMALLEST = Problem(input_channels=3, resolution=ZOO.file.resolution.min, num_classes=5)
LARGEST = Problem(input_channels=1, resolution=ZOO.file.resolution.max, num_classes=5)
BATCH = 2
NOTHING_TO_FOLD = {"convnext_atto"}  # layer norms alone

on_every_model = pytest.mark.parametrize("name", ZOO.models)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@on_every_model
def test_a_model_builds_learns_is_counted_and_fused(name: str) -> None:
    architecture = ReadyArchitecture(timm=name)
    torch.manual_seed(0)
    network = build_network(architecture, SMALLEST)
    x_bchw = torch.randn(SMALLEST.input_shape(BATCH))
    check_learns(network, x_bchw)
    check_counted(network, architecture, x_bchw)
    check_fused(network, x_bchw, folds=name not in NOTHING_TO_FOLD)


def check_learns(network: nn.Module, x_bchw: torch.Tensor) -> None:
    assert network.training
    logits_bk = network(x_bchw)
    assert logits_bk.shape == (BATCH, SMALLEST.num_classes)
    nn.functional.cross_entropy(logits_bk, torch.arange(BATCH)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert next(network.parameters()).grad.any()


def check_counted(network: nn.Module, architecture: ReadyArchitecture, x_bchw: torch.Tensor) -> None:
    costs = CostTable(SMALLEST).costs(architecture)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(x_bchw[:1])
    assert costs.macs == counter.get_total_flops() / 2
    assert costs.params == sum(parameter.numel() for parameter in network.parameters())
    assert costs.activation_memory_bytes > 0


def check_fused(network: nn.Module, x_bchw: torch.Tensor, folds: bool) -> None:
    randomise_statistics(network)
    deployed = fused(network.eval())
    with torch.no_grad():
        expected_bk, found_bk = network(x_bchw), deployed(x_bchw)
    assert float((expected_bk - found_bk).abs().max()) <= RELATIVE_TOLERANCE * float(expected_bk.abs().max())
    before, after = (sum(p.numel() for p in module.parameters()) for module in (network, deployed))
    assert after < before if folds else after == before


@on_every_model
def test_a_model_reads_one_channel_at_the_largest_size(name: str) -> None:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        logits_bk = build_network(ReadyArchitecture(timm=name), LARGEST).eval()(torch.zeros(LARGEST.input_shape(1)))
    assert logits_bk.shape == (1, LARGEST.num_classes)


def test_every_model_is_listed_once_and_keeps_its_identity() -> None:
    found = ZOO.listing(limit=100)

    assert found is not None
    assert [item.architecture.name for item in found] == list(ZOO.models)
    assert ZOO.size == len(ZOO.models) == 10
    for candidate in found:
        assert ZOO.parameters(candidate) == {"model": candidate.architecture.name}
        assert ZOO.from_parameters(ZOO.parameters(candidate)) == candidate
        assert parse_architecture(candidate.architecture.to_json()) == candidate.architecture


def test_all_others_are_the_neighbours_of_a_model_and_a_child_is_one_of_its_parents() -> None:
    rng = np.random.default_rng(0)
    a, b = (Candidate(architecture=ReadyArchitecture(timm=name)) for name in ZOO.models[:2])

    assert {other.architecture.name for other in ZOO.neighbours(a, rng)} == set(ZOO.models[1:])
    assert {ZOO.crossover(a, b, rng).digest for _ in range(20)} == {a.digest, b.digest}
    assert ZOO.encode(a).tolist() == [1.0] + 9 * [0.0]  # one-hot: no model is between two others


def test_deployments_can_be_chosen_beside_models() -> None:
    space = SearchSpace(ZOO.file.model_copy(update={"deployment": {"form": ("training", "fused"), "batch": (1, 8)}}))

    assert space.size == 40
    assert len(space.listing(100) or []) == 40
    assert space.parameters(space.from_parameters({"deployment.batch": 8}))["deployment.batch"] == 8


def test_the_head_comment_names_sources() -> None:
    assert "arXiv" in (SPACES / "timm_zoo.yaml").read_text(encoding="utf-8").partition("version:")[0]


def test_stages_and_ready_models_are_not_of_one_space() -> None:
    staged = SearchSpace.from_yaml(SPACES / "smoke.yaml")
    drawn = staged.random(np.random.default_rng(0))

    with pytest.raises(ArchitectureError, match="not of the space 'timm_zoo'"):
        ZOO.parameters(drawn)
    with pytest.raises(ArchitectureError, match="not of the space 'smoke'"):
        staged.parameters(Candidate(architecture=ReadyArchitecture(timm=ZOO.models[0])))
    with pytest.raises(ArchitectureError, match="model 'resnet18' is not of the space; it lists mobilenetv3_small_050"):
        ZOO.parameters(Candidate(architecture=ReadyArchitecture(timm="resnet18")))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("models: [resnet10t, mobilenetv3_smal_050]", r":3: models.1: unknown timm model 'mobilenetv3_smal_050'.*"
         r"did you mean 'mobilenetv3_small_050'"),
        ("models:\n  - resnet10t\n  - resnet18.a1_in1k", r":5: models.1: 'resnet18.a1_in1k' names weights"),
        ("models: [resnet10t, resnet10t]", r":3: models: 'resnet10t' stands twice among the models; keep one"),
        ("models: [resnet10t]", r":3: models: must be at least 2 long"),
        ("models: resnet10t", r":3: models: must be a list, got 'resnet10t'"),
        ("models: [resnet10t, lcnet_050]\nstem: {width: 8}", r":4: stem: unknown key 'stem'; known: deployment"),
        ("models: [resnet10t, lcnet_050]\ndeployment: {thraeds: [1]}", r"deployment: .*did you mean 'threads'"),
        ("modles: [resnet10t, lcnet_050]", r":3: modles: unknown key 'modles'"),
    ],
)  # fmt: skip
def test_a_wrong_zoo_is_refused_in_one_line(tmp_path: Path, lines: str, message: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(f"name: x\nresolution: {{min: 8, max: 8}}\n{lines}\n")
    with pytest.raises(ConfigError, match=message) as caught:
        SearchSpace.from_yaml(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}:")


def test_a_model_that_cannot_read_such_images_is_refused_when_it_is_built_or_counted() -> None:
    inception = ReadyArchitecture(timm="inception_v3")
    for refuse in (CostTable(SMALLEST).costs, lambda ready: build_network(ready, SMALLEST)):
        with pytest.raises(ArchitectureError, match="timm model 'inception_v3' cannot read images of 3x32x32: "):
            refuse(inception)
