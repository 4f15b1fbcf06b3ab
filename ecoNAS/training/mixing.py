"""What changes a batch after its images were normalised: two images mixed, a part of one put into another, or erased.

Everything is drawn from torch's generators, which the training seeds for each epoch.
"""

from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor
from torchvision.transforms import v2

from ecoNAS.recipe import TrainingConfig

ERASED_AREA: Final = (0.02, 1 / 3)  # of the image; Zhong et al., "Random erasing data augmentation", arXiv 1708.04896
ERASED_ASPECT: Final = (0.3, 1 / 0.3)


@dataclass(slots=True)
class Mixing:
    """Mixup (arXiv 1710.09412), cutmix (arXiv 1905.04899) and random erasing, as a recipe asks for them.

    Attributes:
        num_classes: Targets of mixed images are shares of so many classes.
    """

    recipe: TrainingConfig
    num_classes: int
    _mixers: list[v2.Transform] = field(init=False)

    def __post_init__(self) -> None:
        recipe, mixers = self.recipe, list[v2.Transform]()
        if recipe.mixup is not None:
            mixers.append(v2.MixUp(alpha=recipe.mixup, num_classes=self.num_classes))
        if recipe.cutmix is not None:
            mixers.append(v2.CutMix(alpha=recipe.cutmix, num_classes=self.num_classes))
        self._mixers = mixers

    def __call__(self, images_bchw: Tensor, labels_b: Tensor) -> tuple[Tensor, Tensor]:
        """Return images and targets: labels (B,), or where images are mixed the shares of all classes (B, K).

        Args:
            images_bchw: Normalised, so that 0 is the mean of the training images.
            labels_b: Classes.
        """
        if self.recipe.erase is not None:
            images_bchw = erase(images_bchw, self.recipe.erase)
        if not self._mixers:
            return images_bchw, labels_b
        mixer = self._mixers[int(torch.randint(len(self._mixers), ()))]
        mixed_bchw, shares_bk = mixer(images_bchw, labels_b)
        return mixed_bchw.contiguous(memory_format=_layout(images_bchw)), shares_bk


def erase(images_bchw: Tensor, share: float) -> Tensor:
    """Return the batch with a rectangle of some images set to 0, each image's its own.

    Args:
        images_bchw: Any.
        share: Of the images.
    """
    batch, _, height, width = images_bchw.shape
    drawn_5b = torch.rand(5, batch)
    area_b = (ERASED_AREA[0] + drawn_5b[0] * (ERASED_AREA[1] - ERASED_AREA[0])) * height * width
    low, high = (torch.tensor(end).log() for end in ERASED_ASPECT)
    aspect_b = (low + drawn_5b[1] * (high - low)).exp()
    heights_b = (area_b * aspect_b).sqrt().round().clamp(1, height)
    widths_b = (area_b / aspect_b).sqrt().round().clamp(1, width)
    tops_b = (drawn_5b[2] * (height - heights_b + 1)).floor()
    lefts_b = (drawn_5b[3] * (width - widths_b + 1)).floor()
    rows_bh = _within(torch.arange(height), tops_b, heights_b)
    columns_bw = _within(torch.arange(width), lefts_b, widths_b)
    is_erased_bhw = rows_bh[:, :, None] & columns_bw[:, None, :] & (drawn_5b[4] < share)[:, None, None]
    return images_bchw.masked_fill(is_erased_bhw[:, None].to(images_bchw.device), 0.0)


def _within(places_n: Tensor, starts_b: Tensor, lengths_b: Tensor) -> Tensor:
    """Return which places lie in each stretch, (B, N)."""
    return (places_n >= starts_b[:, None]) & (places_n < (starts_b + lengths_b)[:, None])


def _layout(images_bchw: Tensor) -> torch.memory_format:
    is_last = images_bchw.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format
