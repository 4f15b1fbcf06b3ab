"""The handwritten digits that ship with scikit-learn: 1,797 grey images of 8x8 pixels, nothing to download.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

import numpy as np
import sklearn
from sklearn.datasets import load_digits

from ecoNAS.config import DataConfig
from ecoNAS.data.images import Ints, Part, Pixels, numbered
from ecoNAS.data.paths import refuse_keys
from ecoNAS.errors import DataError

MAX_VALUE = 16  # each pixel counts the inked ones of a 4x4 square


class Digits:
    """The digits as one training part; validation and test are split off it."""

    class_names = tuple(str(digit) for digit in range(10))
    stamp = f"scikit-learn {sklearn.__version__}"

    def __init__(self, config: DataConfig) -> None:
        refuse_keys(config, "dataset", "download", "label")
        if config.path is not None:
            raise DataError(
                f"data set 'digits' ships with scikit-learn and takes no path; remove data.path {config.path}"
            )
        self._data = load_digits()
        self.num_images: dict[Part, int] = {"train": len(self._data.target)}

    def labels(self, part: Part) -> Ints:
        """Return the digits (1797,)."""
        assert part == "train", part
        return np.asarray(self._data.target, dtype=np.int64)

    def images(self, part: Part, indices: Ints) -> Pixels:
        """Return images (N, 8, 8, 1) with 0..16 scaled to 0..255."""
        assert part == "train", part
        scaled = np.rint(self._data.images[indices] * (255 / MAX_VALUE))
        return np.asarray(scaled[..., np.newaxis], dtype=np.uint8)

    def name(self, part: Part, index: int) -> str:
        """Return the number of an image."""
        return numbered(part, index)
