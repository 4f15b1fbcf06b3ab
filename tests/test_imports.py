"""What must start at once does not load what is slow: torch, optuna and ray take seconds."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = {"torch", "torchvision", "timm", "fvcore", "optuna", "ray"}
ECONAS = Path(sys.executable).with_name("econas")


def imported_by(*arguments: str) -> set[str]:
    """Return the top-level packages that a fresh Python imports while it runs `arguments`."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    lines = re.findall(r"^import time:\s+\d+ \|\s+\d+ \|\s+([\w.]+)$", done.stderr, flags=re.MULTILINE)
    assert done.returncode == 0, "\n".join(line for line in done.stderr.splitlines() if "import time:" not in line)
    assert "ecoNAS" in {line.partition(".")[0] for line in lines}
    return {line.partition(".")[0] for line in lines}


def test_importing_the_package_is_fast() -> None:
    assert imported_by("-c", "import ecoNAS") & SLOW == set()


def test_the_face_loads_torch_only_for_a_name_that_needs_it() -> None:
    assert imported_by("-c", "import ecoNAS; ecoNAS.ExperimentConfig, ecoNAS.Architecture") & SLOW == set()


@pytest.mark.parametrize("arguments", [["--help"], ["front", "--help"], ["search", "--help"], ["export", "--help"]])
def test_help_is_fast(arguments: list[str]) -> None:
    assert imported_by("-m", "ecoNAS", *arguments) & SLOW == set()


def test_the_installed_command_is_that_of_the_package() -> None:
    done = subprocess.run([str(ECONAS), "--help"], capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0
    assert "search" in done.stdout


@pytest.mark.parametrize(
    "module",
    ["config", "architecture", "records", "events", "run_folder", "yaml_file", "energy.select", "energy.latency"],
)
def test_the_lower_floors_need_no_torch(module: str) -> None:
    assert imported_by("-c", f"import ecoNAS.{module}") & SLOW == set()
