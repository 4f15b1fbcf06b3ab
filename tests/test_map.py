"""The map of the house in CONTRIBUTING.md names every module, and only those that are there."""

from pathlib import Path

TOP = Path(__file__).parents[1]


def modules_in_the_tree() -> set[str]:
    package = TOP / "ecoNAS"
    return {str(path.relative_to(package)) for path in package.rglob("*.py") if path.name != "__init__.py"}


def modules_on_the_map() -> list[str]:
    """Return the paths that the map lists: files at the left margin, or indented below their folder."""
    drawing = (TOP / "CONTRIBUTING.md").read_text().partition("## The map of the house")[2].split("```")[1]
    found, folder = [], ""
    for line in drawing.splitlines():
        name = line.split()[0] if line.strip() else ""
        if name.endswith("/"):
            folder = name
        elif name:
            found.append((folder if line.startswith(" ") else "") + name)
    return found


def test_the_map_is_true() -> None:
    mapped, there = modules_on_the_map(), modules_in_the_tree()

    assert there - set(mapped) == set(), "not on the map"
    assert set(mapped) - there == set(), "on the map and not there"
    assert len(mapped) == len(set(mapped))
