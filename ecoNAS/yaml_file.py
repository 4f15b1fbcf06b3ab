"""YAML files read with the line of every key, so that an error can say where it is.

This module decides how a file becomes plain data (environment variables, floats, duplicate keys) and where a mistake
stands in it. What the keys mean is decided by the models that it validates; how a broken rule reads, by `validation`.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ecoNAS.errors import ConfigError
from ecoNAS.validation import KeyPath, explain, shorten

ModelT = TypeVar("ModelT", bound=BaseModel)

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads `5e6` as a float, as YAML 1.2 does; PyYAML's own rule makes it a string."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


@dataclass(frozen=True, slots=True)
class YamlFile:
    """The content of one YAML file and the line (from 1) of each of its keys."""

    path: Path
    data: dict[str, Any]
    lines: dict[KeyPath, int]

    def error(self, key: KeyPath, message: str) -> ConfigError:
        """Return the error for `key`, opening with file, line and key path."""
        known = key
        while known and known not in self.lines:
            known = known[:-1]
        line = self.lines.get(known, 1)
        name = ".".join(str(part) for part in key)
        return ConfigError(f"{self.path}:{line}: {name + ': ' if name else ''}{message}")

    def validate(self, model: type[ModelT]) -> ModelT:
        """Return the file as a `model`.

        Raises:
            ConfigError: with file, line, key, value and rule of the first mistake.
        """
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            first, *others = explain(error, model, self.data)
            more = f" (and {len(others)} more)" if others else ""
            raise self.error(first.key, first.message + more) from None

    def resolve(self, path: str | Path) -> Path:
        """Return the absolute path that is meant: beside this file or, where that is missing, in the current folder."""
        path = Path(path).expanduser()
        beside = (self.path.parent / path).resolve()
        return beside if beside.exists() else path.resolve()


def read_yaml(path: str | Path) -> YamlFile:
    """Read a YAML file whose top level is a mapping, with `${NAME:-default}` replaced from the environment.

    Raises:
        ConfigError: if the file is missing, empty, not YAML, holds a key twice, or names an unset variable.
    """
    path = Path(path)
    text = _read_text(path)
    lines: dict[KeyPath, int] = {}
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is None:
            raise ConfigError(f"{path}: the file is empty; it must hold keys such as those in experiments/digits.yaml")
        _note_lines(node, (), path, lines)
        data = _Loader("").construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {_problem(error)}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2026-13-45
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise ConfigError(
            f"{path}:1: the top level must be keys with values, such as 'name: value', got {shorten(data)}"
        )
    file = YamlFile(path, data, lines)
    return YamlFile(path, expand(data, (), file), lines)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file (looked in {path.parent.resolve()})") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not text in UTF-8; save it as UTF-8") from None


def _problem(error: yaml.MarkedYAMLError) -> str:
    """Return what PyYAML found wrong, with the remedy for the mistake that is made most often."""
    said = ", ".join(part for part in (error.context, error.problem) if part)
    return f"{said}; indent with spaces, not with tabs" if "'\\t'" in said else said


def _note_lines(node: yaml.Node, key: KeyPath, path: Path, lines: dict[KeyPath, int]) -> None:
    if len(key) > 100:  # an alias that holds itself has no end
        raise ConfigError(f"{path}:{node.start_mark.line + 1}: nested too deeply; does an alias hold itself?")
    lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            line = name.start_mark.line + 1
            if not isinstance(name, yaml.ScalarNode):
                raise ConfigError(f"{path}:{line}: a key must be plain text, not a list or keys with values")
            if name.tag != "tag:yaml.org,2002:merge":
                name.tag = "tag:yaml.org,2002:str"  # a key is what was written: YAML 1.1 reads `on` and `1` otherwise
            inner = (*key, name.value)
            if inner in lines:
                where = ".".join(map(str, key))
                raise ConfigError(
                    f"{path}:{line}: {where + ': ' if where else ''}key '{name.value}' stands twice "
                    f"(first on line {lines[inner]}); keep one"
                )
            lines[inner] = line
            _note_lines(value, inner, path, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _note_lines(value, (*key, index), path, lines)


def expand(value: Any, key: KeyPath, file: YamlFile) -> Any:  # Any: YAML holds whatever the user wrote
    """Return a value with its environment variables replaced.

    Raises:
        ConfigError: if one is not set and has no default.
    """
    if isinstance(value, dict):
        return {name: expand(inner, (*key, name), file) for name, inner in value.items()}
    if isinstance(value, list):
        return [expand(inner, (*key, index), file) for index, inner in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        found = os.environ.get(match["name"]) or match["default"]
        if found is None:
            raise file.error(
                key, f"environment variable {match['name']} is not set; set it or give ${{{match['name']}:-default}}"
            )
        return found

    return _VARIABLE.sub(replace, value)
