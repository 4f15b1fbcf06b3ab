"""How a training can fail on account of the network itself: it diverges, or it does not fit into memory.

Neither is a mistake of the user or a fault of the machine: the candidate is infeasible, and the search learns from it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

# The words of torch's CPU allocators (alloc_cpu.cpp), which raise a plain RuntimeError, and of other devices' ones.
_MEMORY_WORDS: Final = ("can't allocate memory", "not enough memory", "out of memory")


class InfeasibleTrainingError(Exception):
    """A network that cannot be trained with this recipe on this device; the message is one line."""


class DivergedError(InfeasibleTrainingError):
    """The loss is no longer a finite number."""


class MemoryExhaustedError(InfeasibleTrainingError):
    """The network with its batch does not fit into the memory of the device; replace the process if it is a GPU's."""


@contextmanager
def memory_checked(what: str) -> Iterator[None]:
    """Turn the errors of all allocators into one.

    Args:
        what: What was under way, for the message.

    Raises:
        MemoryExhaustedError: if memory ran out inside the block.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise MemoryExhaustedError(_describe(what, error)) from None
    except RuntimeError as error:
        if not any(words in str(error) for words in _MEMORY_WORDS):
            raise
        raise MemoryExhaustedError(_describe(what, error)) from None


def _describe(what: str, error: BaseException) -> str:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return f"memory ran out in {what}: {reason}"
