"""Training images on their way to the device: none is copied before its batch is due, but for small sets on a GPU.

On a CPU a batch is gathered from the split as it lies, which may be mapped from a file that all workers of a machine
share: a training adds nothing to its memory but a batch. To a GPU a set goes as a whole where it takes a small share of
the free memory, else batch by batch.
"""

from typing import Final

import numpy as np
import torch
from torch import Tensor

from ecoNAS.data.images import ImageSplit

RESIDENT_SHARE: Final = 0.25  # of a GPU's free memory: activations and further workers need the rest


class Feed:
    """The images of a split, given out batch by batch."""

    def __init__(self, split: ImageSplit, device: str) -> None:
        """Prepare, and move a small set to the GPU if that is the device.

        Args:
            split: Its images may be mapped from a file.
            device: 'cpu' or a CUDA device.
        """
        self._images, self._device = split.images, device
        self._labels_n = torch.tensor(split.labels, device=device)
        self._resident_nhwc: Tensor | None = None
        if torch.device(device).type == "cuda":
            free_bytes, _ = torch.cuda.mem_get_info(device)
            if split.images.nbytes <= RESIDENT_SHARE * free_bytes:
                self._resident_nhwc = torch.tensor(split.images, device=device)

    def __len__(self) -> int:
        return len(self._images)

    def take(self, indices_b: Tensor) -> tuple[Tensor, Tensor]:
        """Return the uint8 images (B, H, W, C) and labels (B,) at some positions, on the device.

        Args:
            indices_b: Positions in the split, on the CPU.
        """
        labels_b = self._labels_n[indices_b.to(self._device)]
        if self._resident_nhwc is not None:
            return self._resident_nhwc[indices_b.to(self._device)], labels_b
        gathered: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = self._images[indices_b.numpy()]
        return torch.from_numpy(gathered).to(self._device), labels_b
