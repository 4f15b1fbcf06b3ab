"""Small tables whose truth is arithmetic."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecoNAS.evaluation.table_spec import TableSpec
from ecoNAS.evaluation.tabular import Table, make_table

SPEC: dict[str, Any] = {
    "table": "t.csv",
    "decisions": ["kernel", "width", "depth"],
    "objectives": [
        {"name": "error", "column": "accuracy", "offset": 100, "scale": -1, "direction": "minimize"}
        | {"known": "after_training"},
        {"name": "energy", "column": "joules", "direction": "minimize", "known": "measurable", "cost": 0.01},
    ],
    "features": ["macs"],
}


def frame(missing: int = 0, seed: int = 0) -> pd.DataFrame:
    """Return 4 x 5 x 5 networks; larger is better with falling returns, and joules depend on the kernel too."""
    rows = []
    for kernel, width, depth in product(("none", "pool", "conv", "attention"), (8, 16, 24, 32, 48), (1, 2, 3, 4, 5)):
        worth = {"none": 0.0, "pool": 1.0, "conv": 3.0, "attention": 4.0}[kernel]
        macs = width * width * depth * (1 + worth)
        accuracy = 60 + 8 * np.log(width) + 3 * depth - 0.3 * depth**2 + 2 * worth - 25 * (kernel == "none")
        joules = 1e-6 * macs**0.9 * (1.5 if kernel == "attention" else 1.0) + 1e-4
        rows.append((kernel, width, depth, macs, accuracy, joules))
    found = pd.DataFrame(rows, columns=["kernel", "width", "depth", "macs", "accuracy", "joules"])
    keep = np.random.default_rng(seed).permutation(len(found))[: len(found) - missing]
    return found.iloc[np.sort(keep)].reset_index(drop=True)


def table(missing: int = 0, **changes: Any) -> Table:
    """Return such networks as a table that lacks some of them."""
    return make_table(TableSpec.model_validate({**SPEC, **changes}), frame(missing))


def write(folder: Path, spec: str, data: pd.DataFrame | None = None) -> Path:
    """Write a specification and its table; return where the specification lies."""
    (frame() if data is None else data).to_csv(folder / "t.csv", index=False)
    path = folder / "spec.yaml"
    path.write_text(spec)
    return path
