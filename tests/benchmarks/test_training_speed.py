"""The comparison of training speeds compares like with like: the same network, images and epochs learn in each way."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments" / "benchmarks" / "training_speed.py"


@pytest.mark.parametrize(
    "way", ["ecoNAS", *(pytest.param(way, marks=pytest.mark.long) for way in ("loader", "tensor"))]
)
def test_each_way_learns_the_digits(tmp_path: Path, way: str) -> None:
    command = [sys.executable, str(SCRIPT), "--work", "digits", way, "--folder", str(tmp_path)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=300).stdout)

    assert found["accuracy"] > 0.9
    assert found["images_per_s"] > 0
    assert found["memory_mb"] > 100
    assert ("data" in found) == (way == "ecoNAS")
    if way == "ecoNAS":
        assert 0 < found["data"] < 0.5
