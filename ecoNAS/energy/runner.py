"""What is measured: anything that runs a batch, on this device, behind one protocol.

Which runners there are (eager, compiled, ONNX Runtime) is decided by who measures; here is the seam and the plainest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Runner(Protocol):
    """A network, ready to run on buffers that it holds."""

    @property
    def name(self) -> str:
        """What runs it, such as `eager`; kept in the record."""
        ...

    @property
    def batch(self) -> int:
        """Images per call of `run`."""
        ...

    def run(self) -> None:
        """Run one batch; may return before a device that works on its own is done."""
        ...

    def synchronise(self) -> None:
        """Return once everything that was run is done."""
        ...


@dataclass(frozen=True, slots=True)
class CallableRunner:
    """A function that runs one batch and returns when it is done."""

    name: str
    batch: int
    function: Callable[[], object]

    def run(self) -> None:
        """Call it."""
        self.function()

    def synchronise(self) -> None:
        """Return at once: the function waits by itself."""
