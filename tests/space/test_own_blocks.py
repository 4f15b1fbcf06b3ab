"""A user's own block by dotted path: it is searched, counted, exported and fused like ours, or refused in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import own_blocks
import pytest
import torch
from own_blocks import Ghost
from torch import nn

from ecoNAS.architecture import Architecture, Problem
from ecoNAS.block_conformance import check_architecture, check_block, check_space
from ecoNAS.block_kinds import parse_block
from ecoNAS.block_specs import BlockSpec
from ecoNAS.config import ExperimentConfig
from ecoNAS.costs.counts import CostTable, count_network
from ecoNAS.errors import ArchitectureError, BlockError, ConfigError, EcoNASError, ExportError
from ecoNAS.evaluation.ray_workers import RayWorkers
from ecoNAS.experiment.prepare import prepare
from ecoNAS.export.definition import render_definition
from ecoNAS.models.network import build_network
from ecoNAS.records import Costs
from ecoNAS.space.search_space import SearchSpace

GHOST = "own_blocks:ghost"
PROBLEM = Problem(input_channels=1, resolution=8, num_classes=10)
SPACE = """\
name: ghosts
resolution: {min: 8, max: 32}
stem: {width: 8}
stages:
  - width: [8, 12]
    depth: [1, 2]
    stride: [1, 2]
    block:
      BLOCK
      mbconv: {kernel_size: 3, expansion: 2, squeeze_excite: false}
"""


def space_with(tmp_path: Path, block: str = "own_blocks:ghost: {ratio: [2, 4]}") -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE.replace("BLOCK", block))
    return path


def with_ghosts(space: SearchSpace) -> Architecture:
    drawn = (space.random(np.random.default_rng(seed)).architecture for seed in range(100))
    return next(architecture for architecture in drawn if GHOST in architecture.block_kinds)


def broken(name: str) -> BlockSpec:
    return parse_block({"kind": f"own_blocks:{name}"})


def test_it_keeps_what_every_block_must_keep() -> None:
    for ratio in (2, 4):
        check_block(parse_block({"kind": GHOST, "ratio": ratio}))


def test_it_is_drawn_built_counted_and_comes_back_from_json(tmp_path: Path) -> None:
    space = SearchSpace.from_yaml(space_with(tmp_path))
    architecture = with_ghosts(space)
    check_space(space.file)
    check_architecture(architecture)

    torch.manual_seed(0)
    network = build_network(architecture, PROBLEM)
    assert any(isinstance(module, Ghost) for module in network.modules())
    assert CostTable(PROBLEM).costs(architecture) == count_network(network, PROBLEM)
    back = Architecture.from_json(architecture.to_json())
    assert back.digest == architecture.digest
    assert f'"kind": "{GHOST}"' in architecture.to_json()


def test_its_parameters_round_trip(tmp_path: Path) -> None:
    space, rng = SearchSpace.from_yaml(space_with(tmp_path)), np.random.default_rng(0)
    assert f"stage1.{GHOST}.ratio" in space.choices
    for _ in range(50):
        candidate = space.random(rng)
        assert space.from_parameters(space.parameters(candidate)).digest == candidate.digest


def test_an_export_holds_its_source(tmp_path: Path) -> None:
    architecture = with_ghosts(SearchSpace.from_yaml(space_with(tmp_path)))
    source = render_definition(architecture, PROBLEM, CostTable(PROBLEM).costs(architecture))
    torch.manual_seed(0)
    searched = build_network(architecture, PROBLEM).eval()
    namespace: dict[str, Any] = {"__name__": "model"}
    exec(compile(source, "model.py", "exec"), namespace)
    exported = namespace["build_model"]().eval()
    exported.load_state_dict(searched.state_dict())

    x_bchw = torch.randn(PROBLEM.input_shape(2))
    assert "class Ghost(nn.Module)" in source
    assert "import own_blocks" not in source
    with torch.no_grad():
        torch.testing.assert_close(exported(x_bchw), searched(x_bchw))


def test_a_class_that_cannot_be_copied_is_refused_by_the_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = with_ghosts(SearchSpace.from_yaml(space_with(tmp_path)))
    monkeypatch.setattr("own_blocks.Ghost", type("Typed", (nn.Module,), {"__module__": "nowhere"}))
    with pytest.raises(ExportError, match="Typed has no source file to copy"):
        render_definition(architecture, PROBLEM, Costs(params=1, macs=1, activation_memory_bytes=1))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "stride",
            r"check 'shape' at width 8 to 8, stride 2, 2x2 positions: it makes \(4, 8, 2, 2\), not \(4, 8, 1, 1\)",
        ),
        ("too_small", r"'shape' .* 1x1 positions: it raised RuntimeError: kernel size can't be greater$"),
        (
            "unused",
            r"'gradients' .*: unused.weight gets no gradient; use it in forward and do not detach it",
        ),
        ("detached", r"'gradients' .*: its input gets no gradient"),
        ("batch", r"'state' .*: in evaluation mode an image alone gives another output than in a batch"),
        ("forgets", r"'state' .*: with the weights of a trained one it computes something else; keep all state in"),
        ("uncounted", r"'count' .*: it raised UncountedOperatorError: cannot count the MACs of operator aten::"),
        ("fused", r"'fused' .*: its fused form differs by .*; mend its reparameterize\(\) or fuse\(\)"),
        ("no_constructor", r"block 'own_blocks:no_constructor' gave a Identity; return .*constructor.call\(Class"),
        ("anew", r"'constructor' .*: two calls of the function give different constructors; use plain arguments"),
    ],
)
def test_a_block_that_breaks_a_promise_is_refused_with_the_check_and_the_remedy(name: str, said: str) -> None:
    random_state = torch.random.get_rng_state()
    with pytest.raises(BlockError, match=said) as caught:
        check_block(broken(name))
    assert "\n" not in str(caught.value)
    assert f"own_blocks:{name}" in str(caught.value)
    assert torch.equal(torch.random.get_rng_state(), random_state)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            "own_blokcs:ghost",
            r"cannot be imported: No module named 'own_blokcs'; write package.module:name",
        ),
        ("own_blocks:gohst", r"cannot be imported: .*no attribute 'gohst'; write package.module:name"),
        (":ghost", r"block ':ghost' cannot be imported"),
        (
            "own_blocks:no_block",
            r"is a ModelMetaclass; it must be an ecoNAS.block_kinds.UserBlock\(spec",
        ),
        ("own_blocks:no_spec", r"its spec must be a child of ecoNAS.block_specs.BlockSpec"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_where_it_is_read(kind: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BlockError, match=said):
        parse_block({"kind": kind})
    with pytest.raises(ConfigError, match=said) as caught:
        SearchSpace.from_yaml(space_with(tmp_path, f'"{kind}": {{}}'))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("own_blocks:ghost: {ratoi: [2]}", "unknown choice 'ratoi'; known: ratio .did you mean 'ratio'"),
        ("own_blocks:ghost: {}", "the choice 'ratio' is missing; a own_blocks:ghost block decides ratio"),
        ("own_blocks:ghost: {ratio: 3}", "ratio 3 must be 2 or 4"),
    ],
)
def test_wrong_choices_of_an_own_block_are_refused_like_ours(block: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        SearchSpace.from_yaml(space_with(tmp_path, block))


def experiment(tmp_path: Path, block: str) -> ExperimentConfig:
    space_with(tmp_path, block)
    path = tmp_path / "experiment.yaml"
    path.write_text(
        "search_space: space.yaml\ndata: {name: digits}\nobjectives: [accuracy, macs]\n"
        "energy: {meter: estimate}\nworkers: {kind: in_process}\n"
    )
    return ExperimentConfig.from_yaml(path)


def test_an_experiment_refuses_a_broken_block_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"search_space.*block 'own_blocks:stride' fails the check 'shape'") as caught:
        prepare(experiment(tmp_path, "own_blocks:stride: {}"))
    assert "\n" not in str(caught.value)


def test_an_experiment_takes_one_that_keeps_its_promises(tmp_path: Path) -> None:
    setup = prepare(experiment(tmp_path, "own_blocks:ghost: {ratio: [2, 4]}"))
    assert setup.space.costs(setup.space.random(np.random.default_rng(0))).macs > 0


def test_an_architecture_with_a_broken_block_is_refused() -> None:
    stage = '{"width": 8, "depth": 1, "stride": 2, "block": {"kind": "own_blocks:stride"}}'
    architecture = Architecture.from_json(f'{{"stem": {{"width": 8}}, "stages": [{stage}]}}')
    with pytest.raises(ArchitectureError, match="fails the check 'shape'"):
        check_architecture(architecture)


def one_stage(kind: str) -> Architecture:
    stage = f'{{"width": 8, "depth": 1, "stride": 2, "block": {{"kind": "{kind}", "ratio": 2}}}}'
    return Architecture.from_json(f'{{"stem": {{"width": 8}}, "stages": [{stage}]}}')


@pytest.mark.slow
def test_ray_workers_find_it_or_say_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = one_stage(GHOST)
    with RayWorkers[Architecture, Costs](CostTable(PROBLEM).costs, count=1) as workers:
        workers.submit(architecture)
        finished = workers.next_finished(timeout_s=300)
        assert finished is not None
        assert finished.result == CostTable(PROBLEM).costs(architecture)
        # A module that is only here, as one that was forgotten on the other machines of a cluster.
        (tmp_path / "only_here.py").write_text(Path(own_blocks.__file__).read_text(encoding="utf-8"))
        monkeypatch.syspath_prepend(tmp_path)
        workers.submit(one_stage("only_here:ghost"))
        with pytest.raises(
            EcoNASError, match=r"cannot read its task: .*No module named 'only_here'; install"
        ) as caught:
            workers.next_finished(timeout_s=300)
        assert "\n" not in str(caught.value)
