"""ONNX files in ONNX Runtime, ready to be measured; NumPy and ONNX Runtime are all that this needs."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from ecoNAS.errors import EcoNASError

NUM_BUFFERS: Final = 4  # inputs rotate over so many, so that no cache holds the whole of them
DTYPES: Final = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}


class OnnxRunner:
    """An ONNX file in ONNX Runtime, on the CPU or, with onnxruntime-gpu, on a GPU.

    Args:
        model: The file, or its bytes.
        batch: Images per call; a file with a fixed batch must have this one.
        threads: Of the session.
        device: "cpu" or "cuda".
        seed: Of the inputs.
        resolution: Height and width, where the file leaves them open; where it does not, the same as there.

    Raises:
        EcoNASError: if ONNX Runtime is missing, with the command that installs it, or refuses the file, or the file
            is not made for such images.
    """

    name = "onnxruntime"

    def __init__(
        self,
        model: Path | bytes,
        batch: int,
        threads: int = 1,
        device: str = "cpu",
        seed: int = 0,
        *,
        resolution: int | None = None,
    ) -> None:
        try:
            import numpy as np  # noqa: PLC0415  comes with onnxruntime, and a bundle may have neither
            import onnxruntime  # noqa: PLC0415  optional, and only this class wraps it
        except ImportError:
            raise EcoNASError("running ONNX files needs onnxruntime: pip install 'econas[onnx]'") from None
        self.batch = batch
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        provider = "CPUExecutionProvider" if device == "cpu" else "CUDAExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise EcoNASError(f"this ONNX Runtime has no {provider}; pip install onnxruntime-gpu, or run on the CPU")
        name = str(model) if isinstance(model, Path) else "the model"
        try:
            source = str(model) if isinstance(model, Path) else model
            self._session: Any = onnxruntime.InferenceSession(source, options, providers=[provider])
        except Exception as error:  # ONNX Runtime's errors share no base class
            reason = " ".join(str(error).split())[:200]
            raise EcoNASError(f"{name} is not run: {reason}") from None
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in DTYPES:
            given = ", ".join(f"{item.name}: {item.type}" for item in inputs)
            raise EcoNASError(f"{name} takes {given or 'nothing'}; only files with one input of images can be run")
        wanted = inputs[0]
        self.shape = _fixed_shape(wanted.shape, batch, resolution, name)
        if self.shape[0] != batch:
            raise EcoNASError(f"{name} is made for batches of {self.shape[0]}, not of {batch}; choose --batch to match")
        rng = np.random.default_rng(seed)
        images = [rng.standard_normal(self.shape).astype(DTYPES[wanted.type]) for _ in range(NUM_BUFFERS)]
        self._feeds = cycle([{wanted.name: image} for image in images])
        try:
            self.run()
        except Exception as error:  # as above
            raise EcoNASError(f"{name} is not run: {' '.join(str(error).split())[:200]}") from None

    def run(self) -> None:
        """Run one batch."""
        self._session.run(None, next(self._feeds))

    def synchronise(self) -> None:
        """Return at once: a session waits by itself."""


def _fixed_shape(shape: Sequence[object], batch: int, resolution: int | None, name: str) -> tuple[int, ...]:
    """Return the shape of one batch, with what a file leaves open filled in."""
    if not shape:
        raise EcoNASError(f"{name} takes single numbers, not images")
    free = [axis for axis, size in enumerate(shape) if axis and not isinstance(size, int)]
    if free and (resolution is None or min(free) < 2):
        remedy = "give --resolution" if min(free) >= 2 else "write it with a fixed number of channels"
        raise EcoNASError(f"{name} leaves open which size its inputs have, {list(shape)}; {remedy}")
    fixed = [size for size in shape[2:] if isinstance(size, int)]
    if resolution is not None and any(size != resolution for size in fixed):
        size = " x ".join(str(size) for size in shape[2:])
        raise EcoNASError(f"{name} is made for images of {size}, not of {resolution}; leave out --resolution")
    first = shape[0] if isinstance(shape[0], int) else batch
    return (first, *(size if isinstance(size, int) else resolution or 0 for size in shape[1:]))
