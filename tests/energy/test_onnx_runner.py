"""ONNX files in ONNX Runtime: four random batches in turn, and one line for whatever is missing or does not fit."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ecoNAS.energy.onnx_runner import OnnxRunner
from ecoNAS.errors import EcoNASError

SHAPE = (2, 3, 4, 4)


def model(*names: str, dtype: int = TensorProto.FLOAT, operator: str = "Identity") -> bytes:
    """Return a model that applies one operator to the inputs of these names."""
    inputs = [helper.make_tensor_value_info(name, dtype, SHAPE) for name in names]
    output = helper.make_tensor_value_info("output", dtype, None)
    graph = helper.make_graph([helper.make_node(operator, list(names), ["output"])], "graph", inputs, [output])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(made.SerializeToString())


class Spy:
    """Stands in for a session and keeps what it is fed."""

    def __init__(self) -> None:
        self.fed = list[np.ndarray[Any, Any]]()

    def run(self, _: None, feed: dict[str, np.ndarray[Any, Any]]) -> None:
        self.fed += feed.values()


def fed(runner: OnnxRunner, count: int) -> list[np.ndarray[Any, Any]]:
    runner._session = spy = Spy()
    for _ in range(count):
        runner.run()
    return spy.fed


def test_inputs_rotate_over_four_random_buffers_of_the_seed() -> None:
    first, same, other = (fed(OnnxRunner(model("images"), 2, seed=seed), 8) for seed in (1, 1, 2))
    assert [image.shape for image in first] == [SHAPE] * 8
    assert len({image.tobytes() for image in first}) == 4
    assert all(np.array_equal(one, two) for one, two in zip(first[:4], first[4:], strict=True))
    assert all(np.array_equal(one, two) for one, two in zip(first, same, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize(
    ("dtype", "expected"), [(TensorProto.FLOAT, "f4"), (TensorProto.FLOAT16, "f2"), (TensorProto.DOUBLE, "f8")]
)
def test_inputs_have_the_data_type_that_the_file_wants(dtype: int, expected: str) -> None:
    (image,) = fed(OnnxRunner(model("images", dtype=dtype), 2), 1)
    assert image.dtype == np.dtype(expected)


def test_a_file_and_its_bytes_run_alike(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(model("images"))
    runner = OnnxRunner(tmp_path / "a.onnx", 2, threads=2)
    assert (runner.name, runner.batch, runner.shape) == ("onnxruntime", 2, SHAPE)
    runner.run()
    runner.synchronise()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"not a network", "is not run: "),
        (model("images", dtype=TensorProto.BFLOAT16), "takes images: tensor(bfloat16); only files with one input of"),
        (model("left", "right", operator="Add"), "takes left: tensor(float), right: tensor(float); only files with"),
        (model("images", operator="Sigmoidal"), "is not run: "),
    ],
)
def test_what_cannot_run_is_one_line_that_names_the_file(tmp_path: Path, content: bytes, part: str) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    with pytest.raises(EcoNASError) as caught:
        OnnxRunner(path, 2)
    assert str(caught.value).startswith(f"{path} {part}")
    assert "\n" not in str(caught.value)


def test_a_model_that_fails_as_it_runs_is_refused_before_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    class Failing(onnxruntime.InferenceSession):  # type: ignore[misc]
        def run(self, *_: object) -> None:
            raise RuntimeError("out of memory\nin node 3")

    monkeypatch.setattr(onnxruntime, "InferenceSession", Failing)
    with pytest.raises(EcoNASError, match="the model is not run: out of memory in node 3"):
        OnnxRunner(model("images"), 2)


def test_a_missing_runtime_yields_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EcoNASError, match=r"needs onnxruntime: pip install 'econas\[onnx\]'"):
        OnnxRunner(model("images"), 2)


def test_a_gpu_needs_the_runtime_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(EcoNASError, match="pip install onnxruntime-gpu, or run on the CPU"):
        OnnxRunner(model("images"), 2, device="cuda")


def test_onnx_is_not_needed_to_run_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    made = model("images")
    monkeypatch.setitem(sys.modules, onnx.__name__, None)
    OnnxRunner(made, 2).run()
