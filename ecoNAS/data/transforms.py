"""From uint8 images to what a network sees: light augmentation and normalisation, on whole batches.

Shifts are drawn from the generator that the caller hands in, on the CPU, so that a device changes nothing; RandAugment
draws from torch's own, which the training seeds. Strong augmentation is off by default: on small networks it costs
accuracy in a dozen epochs.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms import v2

from ecoNAS.data.datasets import DataSet
from ecoNAS.data.images import Normalisation
from ecoNAS.errors import DataError
from ecoNAS.recipe import TrainingConfig

NEVER_MIRRORED: Final = frozenset({"digits"})
REACH: Final = 8  # images of this many pixels shift by one
# Shifting every image cost three hybrids 0.4 points of accuracy on the digits in 12 epochs, and gained nothing on
# flowers17 in 30 (0.573 and 0.567, where no shift at all reached 0.518).
SHIFTED_SHARE: Final = 0.5
RANDOM_CHANNELS: Final = (1, 3)
GROUP: Final = 8  # images that RandAugment draws the same operations for


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How training images are varied.

    Attributes:
        max_shift: Largest shift along each axis in pixels. Half of the images are shifted; the border is repeated where
            they leave a gap.
        mirrors: Whether half of the images are mirrored left to right.
        random: Operations that are drawn for a few images at a time; None for none.
    """

    max_shift: int = 0
    mirrors: bool = False
    random: v2.Transform | None = None


def choose_augmentation(recipe: TrainingConfig, data: DataSet) -> Augmentation:
    """Return the augmentation that a recipe names; `auto` shifts grey images and shifts and mirrors colour ones.

    Raises:
        DataError: if images would be mirrored whose mirror image means something else, or have too many channels.
    """
    problem, name, asked = data.problem(), recipe.augment, recipe.randaugment
    if asked is not None and problem.input_channels not in RANDOM_CHANNELS:
        raise DataError(
            f"training.randaugment works on images of 1 or 3 channels, and {data.name} has {problem.input_channels}; "
            "leave it out"
        )
    random = v2.RandAugment(asked.ops, asked.magnitude) if asked is not None else None
    if name == "auto":
        name = "crop_flip" if problem.input_channels > 1 and data.name not in NEVER_MIRRORED else "shift"
    if name == "crop_flip" and data.name in NEVER_MIRRORED:
        raise DataError(f"training.augment crop_flip mirrors images, and mirrored {data.name} are none; choose shift")
    if name == "none":
        return Augmentation(random=random)
    return Augmentation(max(1, problem.resolution // REACH), name == "crop_flip", random)


def augment(images_bhwc: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Return the batch (B, H, W, C) with each image shifted and mirrored on its own, then changed as `random` says.

    Args:
        images_bhwc: Images of any dtype on any device; uint8 where there is `random`.
        augmentation: How far they shift, and whether they are mirrored.
        generator: Where offsets are drawn, on the CPU.
    """
    if augmentation.max_shift or augmentation.mirrors:
        images_bhwc = _shift(images_bhwc, augmentation, generator)
    if augmentation.random is None:
        return images_bhwc
    # The operations work on whole batches: drawn for a few images at a time they are varied, and cost little each.
    groups = [augmentation.random(group.permute(0, 3, 1, 2)) for group in torch.split(images_bhwc, GROUP)]
    return torch.cat(groups).permute(0, 2, 3, 1).contiguous()


def shrink(images_bchw: Tensor, resolution: int) -> Tensor:
    """Return images of fewer pixels, averaged over areas, in the memory layout of the batch; the same ones for none."""
    if images_bchw.shape[-1] == resolution:
        return images_bchw
    small = interpolate(images_bchw, size=(resolution, resolution), mode="bilinear", antialias=True)
    return small.contiguous(memory_format=torch.channels_last)


class Normaliser:
    """Turns uint8 images into what a network sees: normalised, float, channels first in shape and last in memory."""

    def __init__(self, normalisation: Normalisation, resolution: int, device: torch.device | str = "cpu") -> None:
        # One factor for each number of an image: broadcasting over three channels only is three times slower on a CPU.
        shape = (resolution, resolution, len(normalisation.mean))
        mean = torch.tensor(normalisation.mean, dtype=torch.float64)
        std = torch.tensor(normalisation.std, dtype=torch.float64)
        self._scale_hwc = (1 / (255 * std)).float().expand(shape).contiguous().to(device)
        self._offset_hwc = (-mean / std).float().expand(shape).contiguous().to(device)

    def __call__(self, images_bhwc: Tensor) -> Tensor:
        """Return (pixel / 255 - mean) / std of uint8 images (B, H, W, C) as float32 (B, C, H, W)."""
        return torch.addcmul(self._offset_hwc, images_bhwc.float(), self._scale_hwc).permute(0, 3, 1, 2)


def _shift(images_bhwc: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    batch, height, width, channels = images_bhwc.shape
    reach = augmentation.max_shift
    shifts_b2 = torch.randint(-reach, reach + 1, (batch, 2), generator=generator)
    shifts_b2 *= torch.rand(batch, 1, generator=generator) < SHIFTED_SHARE
    rows_bh = (torch.arange(height) + shifts_b2[:, :1]).clamp_(0, height - 1)
    columns_bw = (torch.arange(width) + shifts_b2[:, 1:]).clamp_(0, width - 1)
    if augmentation.mirrors:
        mirrored_b1 = torch.rand(batch, 1, generator=generator) < 0.5
        columns_bw = torch.where(mirrored_b1, width - 1 - columns_bw, columns_bw)
    # One gather of whole pixels does shift and mirror at once, and keeps channels last.
    first_rows_b1 = torch.arange(0, batch * height, height)[:, None]
    pixels_bhw = ((first_rows_b1 + rows_bh) * width)[:, :, None] + columns_bw[:, None, :]
    gathered = images_bhwc.reshape(-1, channels).index_select(0, pixels_bhw.flatten().to(images_bhwc.device))
    return gathered.view(batch, height, width, channels)
