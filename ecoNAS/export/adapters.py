"""The source of classes that an exported definition cannot import: ours, and those of blocks that users bring.

A definition may import torch, timm and the standard library. Any other class is copied into it, with the helpers of its
module that it names and the imports that these need.
"""

import ast
import inspect
import symtable
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from ecoNAS.errors import ExportError
from ecoNAS.models.constructor import IMPORTABLE

Target = Callable[..., Any]  # Any: a class makes its own type


@dataclass(slots=True)
class Copies:
    """Copied source by name, each after what it uses, and the imports that it needs."""

    sources: dict[str, str] = field(default_factory=dict)
    imports: set[str] = field(default_factory=set)
    _targets: dict[str, object] = field(default_factory=dict)

    def add(self, target: Target) -> None:
        """Copy a class or function, and before it what it names in its own module.

        Raises:
            ExportError: if it has no source, or needs a package that an export may not import.
        """
        name = target.__name__
        if name in self._targets:
            if self._targets[name] is not target:
                raise ExportError(f"two classes of the name {name} cannot be exported together; rename one")
            return
        self._targets[name] = target
        try:
            source = textwrap.dedent(inspect.getsource(target))
            module = sys.modules[target.__module__]
            statements = ast.parse(inspect.getsource(module)).body
        except (OSError, TypeError, KeyError):
            raise ExportError(f"{name} has no source file to copy into the export; move it into a module") from None
        used = _names_from_outside(symtable.symtable(source, name, "exec")) - {name}
        for statement in statements:
            self._add_statement(statement, used, module)
        self.sources[name] = source.rstrip() + "\n"

    def _add_statement(self, statement: ast.stmt, used: set[str], module: ModuleType) -> None:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in statement.names:
                bound = alias.asname or alias.name.partition(".")[0]
                if bound in used:
                    self._add_import(statement, alias, vars(module)[bound], module)
        elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
            if statement.name in used:
                self.add(vars(module)[statement.name])
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            for name in used.intersection(_names_assigned(statement)):
                self.sources.setdefault(name, ast.unparse(statement) + "\n")

    def _add_import(
        self, statement: ast.Import | ast.ImportFrom, alias: ast.alias, value: object, module: ModuleType
    ) -> None:
        origin = statement.module or "" if isinstance(statement, ast.ImportFrom) else alias.name
        package = origin.partition(".")[0]
        level = statement.level if isinstance(statement, ast.ImportFrom) else 0
        if level == 0 and (package in IMPORTABLE or package in sys.stdlib_module_names):
            single = type(statement)(**{**dict(ast.iter_fields(statement)), "names": [alias]})
            self.imports.add(ast.unparse(single))
        elif callable(value) and alias.asname is None and (level or package == module.__name__.partition(".")[0]):
            self.add(value)
        else:
            raise ExportError(
                f"{module.__name__} imports {alias.name} of '{package or '.'}'; what is exported may import torch and "
                "timm only, or plain functions and classes beside it"
            )


def copy_sources(targets: Iterable[Target]) -> Copies:
    """Return the source of `targets`, each once, with all that it needs."""
    copies = Copies()
    for target in targets:
        copies.add(target)
    return copies


def _names_from_outside(table: symtable.SymbolTable) -> set[str]:
    """Return the names that a piece of source takes from its module; its own arguments and variables are none."""
    found = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global() and symbol.is_referenced()}
    return found.union(*map(_names_from_outside, table.get_children()))


def _names_assigned(statement: ast.Assign | ast.AnnAssign) -> Iterator[str]:
    for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
        yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))
