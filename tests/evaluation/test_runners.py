"""Runners compute what the plain network computes, on inputs that rotate, and say how to get what is missing."""

import copy
import sys
from collections.abc import Callable
from functools import partial

import pytest
import torch
from networks import one_of_every_kind, small_hybrid
from torch import nn

from ecoNAS.architecture import Deployment, Problem
from ecoNAS.energy.onnx_runner import NUM_BUFFERS, OnnxRunner
from ecoNAS.errors import ArchitectureError, EcoNASError
from ecoNAS.evaluation.runners import TorchRunner, build_runner, to_onnx
from ecoNAS.models.network import build_network

SHAPE = (2, 3, 16, 16)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def network() -> nn.Module:
    torch.manual_seed(0)
    return build_network(small_hybrid(), Problem(input_channels=3, resolution=16, num_classes=4)).eval()


def plain() -> nn.Module:
    """Return a small one, for what does not depend on the network."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def batch_and_outputs(runner: TorchRunner | OnnxRunner) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the next batch of a runner and what it computes of it."""
    if isinstance(runner, OnnxRunner):
        feed = next(runner._feeds)
        (images,) = feed.values()
        return torch.from_numpy(images), torch.from_numpy(runner._session.run(None, feed)[0])
    images_bchw = next(runner._inputs)
    with torch.inference_mode():
        return images_bchw, runner._network(images_bchw)


@pytest.mark.parametrize(
    ("runtime", "layout"),
    [
        ("eager", "contiguous"),
        ("eager", "channels_last"),
        pytest.param("onnxruntime", "contiguous", marks=pytest.mark.slow),
        pytest.param("compiled", "contiguous", marks=pytest.mark.slow),
    ],
)
def test_every_runtime_computes_what_the_plain_network_computes(runtime: str, layout: str) -> None:
    own = plain() if runtime == "compiled" else network()  # compiling the other takes half a minute
    how = Deployment.model_validate({"runtime": runtime, "batch": 2, "layout": layout})

    runner = build_runner(copy.deepcopy(own), SHAPE, how, "cpu")

    assert isinstance(runner, TorchRunner | OnnxRunner)
    assert (runner.name, runner.batch) == (runtime, 2)
    images_bchw, outputs_bk = batch_and_outputs(runner)
    with torch.inference_mode():
        expected_bk = own(images_bchw.contiguous())
    assert images_bchw.shape == SHAPE
    assert torch.allclose(outputs_bk, expected_bk, rtol=1e-3, atol=1e-5)
    assert expected_bk.abs().max() > 1e-2  # else anything would be close


def test_the_deployment_decides_data_type_layout_and_threads() -> None:
    runner = TorchRunner(plain(), SHAPE, Deployment(dtype="bf16", layout="channels_last", threads=2), "cpu")
    images_bchw, outputs_bk = batch_and_outputs(runner)
    assert images_bchw.dtype == outputs_bk.dtype == torch.bfloat16
    assert images_bchw.is_contiguous(memory_format=torch.channels_last)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_every_kind_of_block_runs_in_bf16_in_either_layout(layout: str) -> None:
    torch.manual_seed(0)
    own = build_network(one_of_every_kind(), Problem(input_channels=3, resolution=16, num_classes=4)).eval()
    how = Deployment.model_validate({"dtype": "bf16", "layout": layout, "batch": 2})
    runner = build_runner(copy.deepcopy(own), SHAPE, how, "cpu")
    images_bchw, outputs_bk = batch_and_outputs(runner)  # type: ignore[arg-type]
    assert outputs_bk.dtype == torch.bfloat16
    with torch.inference_mode():
        expected_bk = own(images_bchw.float().contiguous())
    # bf16 has 8 bits of precision, and some thirty layers add up their roundings.
    assert (outputs_bk.float() - expected_bk).abs().max() < 0.1 * expected_bk.abs().max()


def test_a_process_compiles_every_network_however_many_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = list[torch.fx.GraphModule]()

    def count(graph: torch.fx.GraphModule, examples: list[torch.Tensor]) -> Callable[..., object]:
        compiled.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=count))
    for width in range(4, 16):  # torch's limit is 8 for one piece of code
        network = nn.Sequential(nn.Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        TorchRunner(network, (width, 3, 8, 8), Deployment(runtime="compiled", batch=width), "cpu")
    assert len(compiled) == 12


@pytest.mark.parametrize("make", [TorchRunner, build_runner])
def test_the_same_seed_gives_the_same_inputs(make: Callable[..., TorchRunner]) -> None:
    def first(seed: int) -> torch.Tensor:
        return batch_and_outputs(make(plain(), SHAPE, Deployment(), "cpu", seed))[0]

    assert torch.equal(first(3), first(3))
    assert not torch.equal(first(3), first(4))


def test_inputs_rotate_over_four_buffers() -> None:
    seen = list[int]()

    class Spy(nn.Module):
        def forward(self, images_bchw: torch.Tensor) -> torch.Tensor:
            seen.append(images_bchw.data_ptr())
            return images_bchw

    runner = TorchRunner(Spy(), SHAPE, Deployment(), "cpu")
    warm_up = len(seen)
    for _ in range(8):
        runner.run()

    assert NUM_BUFFERS == 4
    assert len(set(seen[warm_up : warm_up + 4])) == 4
    assert seen[warm_up : warm_up + 4] == seen[warm_up + 4 :]


def test_what_no_runtime_can_do_is_refused() -> None:
    with pytest.raises(ArchitectureError, match="ONNX Runtime has no bf16 on the CPU"):
        build_runner(plain(), SHAPE, Deployment(runtime="onnxruntime", dtype="bf16"), "cpu")


def test_the_fused_form_runs_fused_and_leaves_the_network_as_it_is() -> None:
    own = network()
    runner = build_runner(own, SHAPE, Deployment(form="fused", batch=2), "cpu")

    assert isinstance(runner, TorchRunner)
    ran = runner._network
    assert isinstance(ran, nn.Module)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in ran.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in own.modules())
    images_bchw, outputs_bk = batch_and_outputs(runner)
    with torch.inference_mode():
        assert torch.allclose(outputs_bk, own(images_bchw), rtol=1e-3, atol=1e-5)


def test_a_network_whose_fusion_is_wrong_is_refused() -> None:
    class Wrong(nn.Conv2d):
        def fuse(self) -> nn.Module:
            return nn.Conv2d(3, 4, 3)

    wrong = nn.Sequential(Wrong(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ArchitectureError, match="fused form of this network computes something else: outputs"):
        build_runner(wrong, SHAPE, Deployment(form="fused"), "cpu")


def test_a_network_that_fails_says_how_it_was_run_in_one_line() -> None:
    class Broken(nn.Module):
        def forward(self, images_bchw: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no kernel\nfor this")

    with pytest.raises(ArchitectureError) as caught:
        TorchRunner(Broken(), SHAPE, Deployment(dtype="fp16"), "cpu")
    assert str(caught.value) == (
        "the network does not run eager in fp16 on cpu: no kernel; choose another runtime or dtype"
    )


def test_a_missing_exporter_yields_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: __import__("onnxscript"))
    with pytest.raises(EcoNASError, match=r"pip install 'econas\[onnx\]'"):
        to_onnx(plain(), torch.zeros(SHAPE))


def test_a_network_that_cannot_be_written_as_onnx_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("operator aten::odd is unknown\nmany more lines")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(EcoNASError, match=r"cannot be written as ONNX: operator aten::odd is unknown$"):
        to_onnx(plain(), torch.zeros(SHAPE))
