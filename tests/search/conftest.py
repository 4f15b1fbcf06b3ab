from pathlib import Path

import pytest
from search_bench import Bench

from ecoNAS.run_folder import RunFolder


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    return Bench(folder)
