"""What model.py says; that it computes the same is also tried here in process, and in a clean one in test_folder.py."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from bottleneck_block import Bottleneck, NeedsMore
from hypothesis import given, settings
from networks import EXAMPLE_SPECS, architectures, problems, small_hybrid
from torch import nn

from ecoNAS.architecture import Architecture, Problem, StageSpec, StemSpec
from ecoNAS.errors import ExportError
from ecoNAS.export.definition import render_definition
from ecoNAS.models import registry
from ecoNAS.models.constructor import Constructor, call
from ecoNAS.models.network import build_network
from ecoNAS.records import Costs

CIFAR = Problem(input_channels=3, resolution=32, num_classes=10)
COSTS = Costs(params=12345, macs=6789012, activation_memory_bytes=1)
CONVNEXT = Architecture(
    stem=StemSpec(width=9), stages=(StageSpec(width=16, depth=2, stride=2, block=EXAMPLE_SPECS["convnext"]),)
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny networks on several threads mostly wait, the more so where other tests run beside these."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def executed(source: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "model"}
    exec(compile(source, "model.py", "exec"), namespace)
    return namespace


def use(monkeypatch: pytest.MonkeyPatch, block: type[nn.Module]) -> None:
    """Let `block` stand behind the kind 'convnext'."""

    def made(spec: Any, in_width: int, out_width: int, stride: int, in_size: int) -> Constructor:
        return call(block, in_width, out_width, stride)

    monkeypatch.setitem(registry.BLOCKS, "convnext", made)


def imported_packages(source: str) -> set[str]:
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name for node in nodes]
    return {name.partition(".")[0] for name in names}


@given(architecture=architectures(), problem=problems())
@settings(max_examples=25, deadline=None)
def test_any_definition_computes_the_same_with_the_same_weights(architecture: Architecture, problem: Problem) -> None:
    torch.manual_seed(0)
    searched = build_network(architecture, problem)
    x_bchw = torch.randn(problem.input_shape(batch=3))
    searched(x_bchw * 2 + 1)  # so that the statistics of batch norm are no longer 0 and 1
    exported = executed(render_definition(architecture, problem, COSTS))["build_model"]()

    assert exported.training
    assert list(exported.state_dict()) == list(searched.state_dict())
    exported.load_state_dict(searched.state_dict())
    torch.testing.assert_close(exported.eval()(x_bchw), searched.eval()(x_bchw), rtol=1e-5, atol=1e-5)


def test_it_imports_torch_and_timm_only() -> None:
    source = render_definition(small_hybrid(), CIFAR, COSTS)

    assert imported_packages(source) == {"functools", "pathlib", "torch", "timm", "safetensors"}
    assert "import ecoNAS" not in source


def test_it_says_what_it_is() -> None:
    source = render_definition(small_hybrid(), CIFAR, COSTS)
    docstring = ast.get_docstring(ast.parse(source))

    assert docstring is not None
    assert "12,345 parameters, 6,789,012 multiply-adds (MACs) per image" in docstring
    assert "float32 (B, 3, 32, 32) -> (B, 10)" in docstring
    assert "# 2 blocks of attention, width 24, 8x8 -> 4x4\n        self.stage4 = nn.Sequential(" in source


def test_it_passes_a_linter(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(render_definition(small_hybrid(), CIFAR, COSTS), encoding="utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length=120", "--select=E,F,I,B,D1,UP"]
    done = subprocess.run([*command, "--ignore=D107", str(path)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_only_the_adapters_that_are_used_are_copied() -> None:
    assert "class TokenBlock" in render_definition(small_hybrid(), CIFAR, COSTS)
    assert "class TokenBlock" not in render_definition(CONVNEXT, CIFAR, COSTS)


def test_a_users_block_is_copied_with_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Bottleneck)
    source = render_definition(CONVNEXT, CIFAR, COSTS)

    assert source.index("LEAST = 2") < source.index("def narrowed") < source.index("class Bottleneck")
    assert "import math as maths" in source
    assert "class NeedsMore" not in source
    assert executed(source)["build_model"]()(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_a_block_that_needs_another_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, NeedsMore)

    with pytest.raises(ExportError, match=r"imports hypothesis.strategies of 'hypothesis'; .* torch and timm only"):
        render_definition(CONVNEXT, CIFAR, COSTS)


def test_a_class_without_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, type("Typed", (nn.Module,), {"__module__": "nowhere"}))

    with pytest.raises(ExportError, match="Typed has no source file to copy"):
        render_definition(CONVNEXT, CIFAR, COSTS)


def test_two_classes_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, type("Network", (nn.Module,), {"__module__": Bottleneck.__module__}))

    with pytest.raises(ExportError, match="a second class of the name Network"):
        render_definition(CONVNEXT, CIFAR, COSTS)
