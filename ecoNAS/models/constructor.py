"""Calls that make modules, as values: one source of truth for building a network and for writing it down.

A `Constructor` names a class and its arguments. It makes the module, and it shows itself as the Python that makes the
module, so that an exported definition cannot drift from what was searched. Which calls a network consists of is decided
by the block functions and `plan`; how a whole file is laid out by `ecoNAS.export`.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from torch import nn

# What an exported definition may import; any other class is written out in it.
IMPORTABLE: Final = frozenset({"torch", "timm", "functools"})

LINE_LENGTH: Final = 120


@dataclass(frozen=True, slots=True)
class Constructor:
    """A call that makes a module, not yet made.

    Attributes:
        target: The class (or `functools.partial`) to call.
        args: Numbers, text, None, tuples of these, classes, or further constructors.
        kwargs: Pairs of name and such a value, in the order in which they are written.
    """

    target: Callable[..., Any]  # Any: a class makes its own type
    args: tuple[object, ...] = ()
    kwargs: tuple[tuple[str, object], ...] = ()

    def build(self) -> nn.Module:
        """Return a new module; its weights are drawn from torch's global generator."""
        module = self._call()
        assert isinstance(module, nn.Module), f"{self.source()} is no module"
        return module

    def source(self, indent: int = 0) -> str:
        """Return the call as Python source.

        Args:
            indent: Column of the line that the call starts in; further lines are indented relative to it.
        """
        inner = indent + 4
        parts = [_source(value, inner) for value in self.args]
        parts += [f"{name}={_source(value, inner)}" for name, value in self.kwargs]
        name, joined = expression(self.target), ", ".join(parts)
        fits = inner + len(name) + len(joined) <= LINE_LENGTH - len("(),")
        if self.target is not nn.Sequential and fits and "\n" not in joined:
            return f"{name}({joined})"
        # Modules stand on lines of their own; plain arguments share lines as long as they fit.
        lines = [f"{part}," for part in parts] if self._holds_modules() else _filled(parts, LINE_LENGTH - inner)
        margin = " " * inner
        return "\n".join([f"{name}(", *(margin + line for line in lines), f"{' ' * indent})"])

    def targets(self) -> Iterator[Callable[..., Any]]:
        """Yield every class and function that the source names, outermost first."""
        yield self.target
        for value in (*self.args, *(value for _, value in self.kwargs)):
            if isinstance(value, Constructor):
                yield from value.targets()
            elif callable(value):
                yield value

    def imports(self) -> frozenset[str]:
        """Return the import statements that the source needs, for what comes with torch or timm."""
        return frozenset(import_statement(target) for target in self.targets() if is_importable(target))

    def _holds_modules(self) -> bool:
        return any(isinstance(value, Constructor) for value in self.args)

    def _call(self) -> object:
        args = [_value(value) for value in self.args]
        return self.target(*args, **{name: _value(value) for name, value in self.kwargs})


def call(target: Callable[..., Any], *args: object, **kwargs: object) -> Constructor:
    """Return the constructor that is written like the call itself: `call(nn.Linear, 8, 10, bias=False)`."""
    return Constructor(target, args, tuple(kwargs.items()))


def sequence(*parts: Constructor) -> Constructor:
    """Return the constructor of modules that run one after the other."""
    return Constructor(nn.Sequential, parts)


def is_importable(target: Callable[..., Any]) -> bool:
    """Return whether an export imports `target`, rather than holding its source."""
    return target.__module__.partition(".")[0] in IMPORTABLE


def import_statement(target: Callable[..., Any]) -> str:
    """Return the import that makes `expression(target)` mean `target`."""
    home = _home(target)
    return "from torch import nn" if home == "torch.nn" else f"from {home} import {target.__name__}"


def expression(target: Callable[..., Any]) -> str:
    """Return how source names `target`: `nn.SiLU`, otherwise the bare name."""
    return f"nn.{target.__name__}" if _home(target) == "torch.nn" else target.__name__


def _home(target: Callable[..., Any]) -> str:
    """Return the shortest package that offers `target` under its own name: where a person would import it from."""
    parts = target.__module__.split(".")
    for length in range(1, len(parts) + 1):
        home = ".".join(parts[:length])
        if getattr(sys.modules.get(home), target.__name__, None) is target:
            return home
    return target.__module__


def _value(value: object) -> object:
    return value._call() if isinstance(value, Constructor) else value


def _source(value: object, indent: int) -> str:
    if isinstance(value, Constructor):
        return value.source(indent)
    return expression(value) if callable(value) else repr(value)


def _filled(parts: list[str], width: int) -> list[str]:
    """Return the parts, each followed by a comma, on as few lines of at most `width` columns as they need."""
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]} {part},".lstrip()
        if lines[-1] and len(longer) > width:
            lines.append(f"{part},")
        else:
            lines[-1] = longer
    return lines
