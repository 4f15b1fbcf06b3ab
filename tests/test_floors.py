"""Imports point down only, never in a circle, and are not hidden inside functions; the table is in `floors.py`."""

from pathlib import Path

import pytest
from floors import find_violations, read_imports

ROOT = Path(__file__).parents[1] / "ecoNAS"


def test_imports_point_down_only() -> None:
    assert find_violations(ROOT) == []


def test_the_checker_sees_the_package() -> None:
    targets = {(found.module, found.target) for found in read_imports(ROOT)}

    assert ("ecoNAS.records", "ecoNAS.architecture") in targets
    assert ("ecoNAS.energy.estimate", "ecoNAS.records") in targets


def plant(folder: Path, **files: str) -> Path:
    """Write a package; `records` stands for records.py and `energy__meter` for energy/meter.py."""
    root = folder / "ecoNAS"
    root.mkdir()
    for name, text in {"__init__": "", **files}.items():
        path = root / (name.replace("__", "/", 1) if not name.startswith("__") else name)
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".py").write_text(text)
        if path.parent != root:
            (path.parent / "__init__.py").touch()
    return root


@pytest.mark.parametrize(
    "text",
    [
        "from ecoNAS.search.loop import run",
        "from ecoNAS.search import loop",
        "import ecoNAS.search.loop",
        "from ..search.loop import run",
        "from ecoNAS import search",
        "if True:\n    from ecoNAS.search.loop import run",
        "try:\n    import ecoNAS.search.loop\nexcept ImportError:\n    pass",
    ],
)
def test_an_upward_import_is_found_however_it_is_written(tmp_path: Path, text: str) -> None:
    root = plant(tmp_path, energy__meter=text, search__loop="run = 1")

    assert find_violations(root)[0].endswith("energy imports search, which stands above it")


@pytest.mark.parametrize(
    ("files", "violation"),
    [
        (
            {"records": "import ecoNAS.events", "events": "import ecoNAS.records"},
            "circle: ecoNAS.events -> ecoNAS.records -> ecoNAS.events",
        ),
        (
            {
                "space__a": "import ecoNAS.models.a",
                "models__a": "",
                "models__b": "from ecoNAS.space import b",
                "space__b": "",
            },
            "circle: models -> space -> models",
        ),
        (
            {"energy__a": "from ecoNAS.energy import b", "energy__b": "from .a import x"},
            "circle: ecoNAS.energy.a -> ecoNAS.energy.b -> ecoNAS.energy.a",
        ),
    ],
)
def test_circles_of_files_and_of_folders_are_found(tmp_path: Path, files: dict[str, str], violation: str) -> None:
    found = find_violations(plant(tmp_path, **files))

    turns = violation.removeprefix("circle: ").split(" -> ")
    assert found
    assert set(turns) == set(found[0].removeprefix("circle: ").split(" -> "))


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    import torch",
        "class A:\n    def f(self):\n        from ecoNAS import errors",
        "async def f():\n    import json",
        "def f():\n    return __import__('torch')",
        "from importlib import import_module\ndef f():\n    return import_module('torch')",
    ],
)
def test_an_import_inside_a_function_is_found(tmp_path: Path, text: str) -> None:
    (violation,) = find_violations(plant(tmp_path, energy__meter=text, errors=""))

    assert violation.endswith("move it to the top of the file")


def test_listed_places_may_hide_imports(tmp_path: Path) -> None:
    hidden = "def f():\n    import torch"
    root = plant(
        tmp_path,
        __init__=hidden,
        cli__search=hidden,
        analysis__run="class Run:\n    def model(self):\n        import torch",
    )

    assert find_violations(root) == []


def test_only_the_listed_function_of_a_file_may_hide_imports(tmp_path: Path) -> None:
    root = plant(tmp_path, analysis__run="class Run:\n    def other(self):\n        import torch")

    assert len(find_violations(root)) == 1


def test_imports_for_type_checkers_are_free(tmp_path: Path) -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ecoNAS.search.loop import run"

    assert find_violations(plant(tmp_path, energy__meter=text, search__loop="run = 1")) == []


@pytest.mark.parametrize(
    ("files", "violation"),
    [
        ({"helpers": ""}, "'helpers' stands on no floor; give it one in FLOORS"),
        ({"energy__a": "from ecoNAS import load_run"}, "ecoNAS.energy.a:1: imports load_run through the face"),
        ({"__init__": "from ecoNAS.errors import X", "errors": "X = 1"}, "ecoNAS:1: the face imports ecoNAS.errors at"),
    ],
)
def test_strangers_and_the_face_are_watched(tmp_path: Path, files: dict[str, str], violation: str) -> None:
    (found,) = find_violations(plant(tmp_path, **files))

    assert found.startswith(violation)


def test_the_version_may_be_read_from_anywhere(tmp_path: Path) -> None:
    root = plant(
        tmp_path, __init__="__version__ = '1'", export__definition="from ecoNAS import __version__, errors", errors=""
    )

    assert find_violations(root) == []
