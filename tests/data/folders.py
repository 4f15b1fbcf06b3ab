"""Small folders of images, and data sets that forget what the process has loaded."""

from pathlib import Path

import numpy as np
from PIL import Image

from ecoNAS.config import DataConfig
from ecoNAS.data import datasets
from ecoNAS.data.datasets import DataSet, load_data


def write_folder(root: Path, num_images: int = 40, size: int = 12, part: str = "train") -> Path:
    """Write noise as colour images of two classes, `ant` and `bee`, in turn."""
    rng = np.random.default_rng(len(part))
    for number in range(num_images):
        path = root / part / ("ant", "bee")[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)
    return root


def load_afresh(config: DataConfig, digest: str = "") -> DataSet:
    """Load as another process would."""
    datasets._HELD.clear()
    return load_data(config, digest)
