"""The floors of the house and the checker that holds them: imports point down only, never in a circle, never hidden.

The checker reads source (`ast`), so it needs nothing installed and sees imports that no test happens to run. What only
type checkers read (`if TYPE_CHECKING:`) is free.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

FACE = "ecoNAS"

# Top to bottom. A folder or file may import from floors below and, without a circle, from its own floor. In the middle
# one, events stand on records and run_folder on both; in the one below, the files stand on architecture and yaml_file.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("__main__", "cli"),
    ("experiment", "diagnosis", "measuring", "benchmark"),
    ("analysis", "export"),
    ("search",),
    ("evaluation",),
    ("training", "block_conformance"),
    ("costs", "energy"),
    ("space", "models", "data", "records", "events", "event_log", "run_folder", "refit_folder"),
    ("config", "recipe", "architecture", "block_kinds", "block_specs", "pareto", "joules", "yaml_file"),
    ("validation", "measurement", "energy_settings", "units", "frozen", "dotted_path"),
    ("errors",),
)
FLOOR_OF = {unit: len(FLOORS) - place for place, units in enumerate(FLOORS) for unit in units}

# Where an import may stand inside a function: a module with all it holds, or one function of it.
HIDDEN_IMPORTS_ALLOWED = {
    "ecoNAS": "the face is lazy: `import ecoNAS` must not import torch",
    "ecoNAS.benchmark.evolution": "pymoo is an extra, and slow to import",
    "ecoNAS.dotted_path:import_named": "a user's own module, by the dotted path in a file",
    "ecoNAS.cli": "each command imports what it needs: `econas front` must not wait for torch",
    "ecoNAS.analysis.run:Run.model": "only this method needs torch; reading a run does not",
    "ecoNAS.analysis.run:Run.front": "only notebooks need pandas, which is slow to import",
    "ecoNAS.data.huggingface:_import": "datasets is an extra, and slow to import",
    "ecoNAS.data.torchvision_sets:TorchvisionSet._open": "torchvision is slow to import, and one data set needs it",
    "ecoNAS.energy.measure:peak_rss_bytes": "the module `resource` is not on Windows",
    "ecoNAS.energy.meters.nvml": "nvidia-ml-py is asked for only where a GPU is meant",
    "ecoNAS.energy.onnx_runner": "onnxruntime is an extra, and NumPy comes with it",
    "ecoNAS.measuring.script:_runner": "where a bundle is measured there may be no torch",
    "ecoNAS.evaluation.ray_workers": "wraps ray, which is slow to import and not needed in process",
}


@dataclass(frozen=True)
class Import:
    """One import as it stands in the source."""

    module: str
    target: str
    line: int
    function: str

    @property
    def place(self) -> str:
        return f"{self.module}:{self.line}"

    @property
    def is_hidden(self) -> bool:
        return bool(self.function)

    @property
    def may_hide(self) -> bool:
        """Whether the list above names this function, its module, or a folder around it."""
        names = [f"{self.module}:{self.function}", self.module]
        names += [parent for parent in _parents(self.module) if parent != FACE]
        return any(name in HIDDEN_IMPORTS_ALLOWED for name in names)


class _Imports(ast.NodeVisitor):
    """Collects every import of a module that runs, with the function it stands in."""

    def __init__(self, module: str, is_package: bool, known: set[str]) -> None:
        self.found: list[Import] = []
        self._module = module
        self._package = module if is_package else module.rpartition(".")[0]
        self._known = known
        self._names: list[str] = []
        self._depth = 0

    def visit_If(self, node: ast.If) -> None:
        is_for_types = ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for inner in node.orelse if is_for_types else [*node.body, *node.orelse]:
            self.visit(inner)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._names.append(node.name)
        self.generic_visit(node)
        self._names.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._names.append(node.name)
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1
        self._names.pop()

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            parents = self._package.split(".")
            base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [node.module])])
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            if base == FACE and inner not in self._known and alias.name != "__version__":
                self._add(f"{FACE}:{alias.name}", node.lineno)
            else:
                self._add(inner if inner in self._known else base, node.lineno)

    def visit_Call(self, node: ast.Call) -> None:
        if ast.unparse(node.func) in ("import_module", "importlib.import_module", "__import__"):
            self._add("importlib", node.lineno)
        self.generic_visit(node)

    def _add(self, target: str, line: int) -> None:
        self.found.append(Import(self._module, target, line, ".".join(self._names) if self._depth else ""))


def _parents(module: str) -> list[str]:
    """Return the packages around a module, nearest first: `a.b.c` gives a.b, a."""
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]


def _modules(root: Path) -> dict[str, Path]:
    """Return the files of the package at `root` by dotted name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _unit(module: str) -> str:
    """Return the folder or file of the house that a module belongs to; the face has none."""
    return module.split(".")[1] if "." in module else ""


def read_imports(root: Path) -> list[Import]:
    """Return every import in the package at `root` that runs."""
    modules = _modules(root)
    found: list[Import] = []
    for name, path in modules.items():
        visitor = _Imports(name, path.name == "__init__.py", set(modules))
        visitor.visit(ast.parse(path.read_text(encoding="utf-8")))
        found += visitor.found
    return found


def find_violations(root: Path) -> list[str]:
    """Return what breaks the floors, one line each."""
    units = {_unit(name) for name in _modules(root)} - {""}
    strangers = [f"'{unit}' stands on no floor; give it one in FLOORS" for unit in sorted(units - set(FLOOR_OF))]
    if strangers:
        return strangers
    imports = read_imports(root)
    return list(dict.fromkeys([*_hidden(imports), *_upward(imports), *_circles(imports)]))


def _hidden(imports: list[Import]) -> Iterator[str]:
    for found in imports:
        if found.is_hidden and not found.may_hide:
            yield f"{found.place}: imports {found.target} inside {found.function}(); move it to the top of the file"


def _upward(imports: list[Import]) -> Iterator[str]:
    for found in imports:
        if found.target.startswith(f"{FACE}:"):
            yield f"{found.place}: imports {found.target[7:]} through the face; name its own module"
        elif found.target.startswith(f"{FACE}."):
            own, other = _unit(found.module), _unit(found.target)
            if not own and not found.is_hidden:
                yield f"{found.place}: the face imports {found.target} at once; make it lazy"
            elif own and FLOOR_OF[other] > FLOOR_OF[own]:
                yield f"{found.place}: {own} imports {other}, which stands above it"


def _circles(imports: list[Import]) -> Iterator[str]:
    """Find circles of modules, and of folders whose modules have none."""
    inside = [found for found in imports if found.target.startswith(f"{FACE}.") and found.module != FACE]
    modules: dict[str, set[str]] = defaultdict(set)
    units: dict[str, set[str]] = defaultdict(set)
    for found in inside:
        modules[found.module] |= {found.target} - {found.module}
        modules[found.module] |= set(_parents(found.target)[:-1]) - {found.module, *_parents(found.module)}
        if _unit(found.module) != _unit(found.target):
            units[_unit(found.module)].add(_unit(found.target))
    for graph in (modules, units):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            yield f"circle: {' -> '.join(reversed(error.args[1]))}"
