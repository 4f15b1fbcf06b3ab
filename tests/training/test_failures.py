import numpy as np
import pytest
import torch

from ecoNAS.training.failures import InfeasibleTrainingError, MemoryExhaustedError, memory_checked

HUGE = 1 << 46  # numbers; 256 TiB as float32, more than a process can address


def test_a_tensor_too_large_for_the_machine_exhausts_memory() -> None:
    with (
        pytest.raises(MemoryExhaustedError, match=r"memory ran out in epoch 3: .*can't allocate memory") as caught,
        memory_checked("epoch 3"),
    ):
        torch.empty(HUGE)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, InfeasibleTrainingError)


def test_an_array_too_large_for_the_machine_exhausts_memory() -> None:
    with pytest.raises(MemoryExhaustedError, match="memory ran out in the start"), memory_checked("the start"):
        np.empty(HUGE, dtype=np.float32)


def test_a_full_gpu_exhausts_memory() -> None:
    with pytest.raises(MemoryExhaustedError, match="CUDA out of memory"), memory_checked("epoch 1"):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nSee documentation")


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes"), memory_checked("epoch 1"):
        torch.zeros(2, 3) @ torch.zeros(2, 3)
