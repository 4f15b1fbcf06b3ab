"""Runners: a network as it will be deployed, ready to run batch after batch while it is measured.

Inputs are random and rotate over several buffers, so that no cache holds the whole of them. Everything that a runtime
does once (compilation, the choice of kernels) is done before a runner is handed out.
"""

import logging
import warnings
from collections.abc import Callable
from itertools import cycle
from typing import Any, Final

import torch
from torch import nn

from ecoNAS.architecture import Deployment
from ecoNAS.energy.onnx_runner import NUM_BUFFERS, OnnxRunner
from ecoNAS.energy.runner import Runner
from ecoNAS.errors import ArchitectureError, EcoNASError
from ecoNAS.models.fused import fused_alike

logger = logging.getLogger(__name__)

DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchRunner:
    """A module on random inputs, eager or compiled.

    Args:
        network: Moved, cast and laid out as the deployment says; it is changed in place.
        shape: Of one batch: (batch, channels, height, width).
        how: Runtime, data type, threads and layout.
        device: "cpu" or a CUDA device.
        seed: Of the inputs.

    Raises:
        ArchitectureError: if the network does not run this way, with the reason.
    """

    def __init__(
        self, network: nn.Module, shape: tuple[int, int, int, int], how: Deployment, device: str, seed: int = 0
    ) -> None:
        self.name, self.batch = how.runtime, shape[0]
        self._device, self._threads = device, how.threads
        dtype = DTYPES[how.dtype]
        layout = torch.channels_last if how.layout == "channels_last" else torch.contiguous_format
        network = network.to(device, dtype).to(memory_format=layout).eval()
        generator = torch.Generator().manual_seed(seed)
        images = [torch.randn(shape, generator=generator) for _ in range(NUM_BUFFERS)]
        self._inputs = cycle([image.to(device=device, dtype=dtype, memory_format=layout) for image in images])
        self._network: Callable[[torch.Tensor], Any] = _compiled(network) if how.runtime == "compiled" else network
        self._first_run(how)

    def run(self) -> None:
        """Run one batch; on a GPU it may still be under way afterwards."""
        with torch.inference_mode():
            self._network(next(self._inputs))

    def synchronise(self) -> None:
        """Wait for the GPU."""
        if self._device != "cpu":
            torch.cuda.synchronize(self._device)

    def _first_run(self, how: Deployment) -> None:
        torch.set_num_threads(self._threads)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of compilers, about what they try
                for _ in range(NUM_BUFFERS):
                    self.run()
            self.synchronise()
        except Exception as error:  # whatever a compiler or a missing kernel raises: it does not run this way
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ArchitectureError(
                f"the network does not run {how.runtime} in {how.dtype} on {self._device}: {reason[:200]}; choose "
                "another runtime or dtype"
            ) from None


def _compiled(network: nn.Module) -> Callable[[torch.Tensor], Any]:
    """Return a network compiled for its own shapes, whatever this process compiled before.

    torch compiles code, not objects: after eight networks of one class (`torch._dynamo.config.recompile_limit`) it
    would run the ninth eagerly, with a warning only, and a second batch size would make it compile for any size.
    """
    torch.compiler.reset()
    compiled: Callable[[torch.Tensor], Any] = torch.compile(network, dynamic=False)
    return compiled


def build_runner(
    network: nn.Module, shape: tuple[int, int, int, int], how: Deployment, device: str, seed: int = 0
) -> Runner:
    """Return the runner that a deployment asks for; the network may be changed.

    Raises:
        EcoNASError: if the network does not run this way here.
    """
    network = in_form(network, shape, how)
    if how.runtime != "onnxruntime":
        return TorchRunner(network, shape, how, device, seed)
    if how.dtype == "bf16":
        raise ArchitectureError("ONNX Runtime has no bf16 on the CPU; choose deployment.dtype fp32 or fp16")
    dtype = DTYPES[how.dtype]
    network = network.to(device="cpu", dtype=dtype).eval()
    return OnnxRunner(to_onnx(network, torch.zeros(shape, dtype=dtype)), shape[0], how.threads, device, seed)


def in_form(network: nn.Module, shape: tuple[int, ...], how: Deployment) -> nn.Module:
    """Return the network in the form of a deployment: itself, or a fused copy that was held against it.

    Args:
        network: In float32, on the CPU.
        shape: Of a batch; one image of it is compared.
        how: Says the form.

    Raises:
        ArchitectureError: if the fused form computes something else.
    """
    return fused_alike(network, (1, *shape[1:])) if how.form == "fused" else network


def to_onnx(network: nn.Module, images_bchw: torch.Tensor) -> bytes:
    """Return a network as ONNX, for batches of exactly this shape.

    Raises:
        EcoNASError: if the exporter's packages are missing, with the command that installs them, or it fails.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter, about its own future
            program = torch.onnx.export(network, (images_bchw,), dynamo=True, verbose=False)
    except ImportError:
        raise EcoNASError("writing ONNX needs onnx and onnxscript: pip install 'econas[onnx]'") from None
    except Exception as error:  # the exporter raises errors of many kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EcoNASError(f"the network cannot be written as ONNX: {reason[:200]}") from None
    assert program is not None
    return bytes(program.model_proto.SerializeToString())
