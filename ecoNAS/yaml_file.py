"""YAML files read with the line of every key, so that an error can say where it is.

This module decides how a file becomes plain data (environment variables, floats, duplicate keys) and how a rule that
pydantic found broken becomes one line for the user. What the keys mean is decided by the models that it validates.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ecoNAS.errors import ConfigError, unknown_name

KeyPath = tuple[str | int, ...]
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
            details = error.errors()
            more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
            first = details[0]
            raise self.error(first["loc"], _explain(first, model) + more) from None

    def resolve(self, path: str | Path) -> Path:
        """Return `path` as it is meant: absolute, beside this file, or (where that does not exist) in the current folder."""
        beside = (self.path.parent / path).resolve()
        return beside if beside.exists() else Path(path).resolve()


def read_yaml(path: str | Path) -> YamlFile:
    """Read a YAML file whose top level is a mapping, with `${NAME:-default}` replaced from the environment.

    Raises:
        ConfigError: if the file is missing, empty, not YAML, holds a key twice, or names an unset variable.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file (looked in {path.parent.resolve()})") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text: {error}") from None
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if node is None:
        raise ConfigError(f"{path}: the file is empty; it must hold keys such as those in experiments/digits.yaml")
    lines: dict[KeyPath, int] = {}
    _note_lines(node, (), path, lines)
    constructor = _Loader("")
    try:
        data = constructor.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: the top level must be keys with values, not {type(data).__name__} {data!r}")
    file = YamlFile(path, data, lines)
    return YamlFile(path, _expand(data, (), file), lines)


def _note_lines(node: yaml.Node, key: KeyPath, path: Path, lines: dict[KeyPath, int]) -> None:
    lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            inner = (*key, name.value)
            if inner in lines:
                raise ConfigError(f"{path}:{name.start_mark.line + 1}: key '{name.value}' stands twice; keep one")
            lines[inner] = name.start_mark.line + 1
            _note_lines(value, inner, path, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _note_lines(value, (*key, index), path, lines)


def _expand(value: Any, key: KeyPath, file: YamlFile) -> Any:  # Any: YAML holds whatever the user wrote
    if isinstance(value, dict):
        return {name: _expand(inner, (*key, name), file) for name, inner in value.items()}
    if isinstance(value, list):
        return [_expand(inner, (*key, index), file) for index, inner in enumerate(value)]
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


def _explain(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """Turn one pydantic error into `rule, got value`."""
    loc = detail["loc"]
    if detail["type"] == "extra_forbidden":
        return unknown_name("key", str(loc[-1]), _fields_at(model, loc[:-1]))
    if detail["type"] == "missing":
        return "this key is required and missing"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ").rstrip(".")
    given = detail["input"]
    if detail["type"] == "value_error":
        return message
    return f"must be {message[0].lower() + message[1:]}, got {type(given).__name__} {given!r}"


def _fields_at(model: type[BaseModel], loc: KeyPath) -> list[str]:
    """Return the field names of the nested model that `loc` leads to."""
    for part in loc:
        field = model.model_fields.get(str(part))
        if field is None:
            break
        inner = _model_in(field.annotation)
        if inner is None:
            break
        model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:  # Any: a type annotation has no common type
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
