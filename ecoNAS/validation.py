"""How a rule that pydantic found broken becomes one line for a user, in the words of YAML and without jargon.

A misspelt key comes first, since it usually explains another that is missing. Where a mistake stands in a file is
decided by `yaml_file`; what the rules are, by the models.
"""

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ecoNAS.errors import unknown_name

KeyPath = tuple[str | int, ...]

MAX_VALUE_LENGTH = 60

_A_MAPPING = "keys with values"
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")  # of a model, of a dataclass
# By the start of pydantic's error type (https://docs.pydantic.dev/latest/errors/validation_errors).
_WANTED: dict[str, Callable[[dict[str, Any]], str]] = {
    "int": lambda _: "a whole number",
    "float": lambda _: "a number",
    "finite_number": lambda _: "a finite number",
    "bool": lambda _: "true or false",
    "string_type": lambda _: "text",
    "tuple_type": lambda _: "a list",
    "list_type": lambda _: "a list",
    "path_type": lambda _: "a path",
    "dict_type": lambda _: _A_MAPPING,
    "model_type": lambda _: _A_MAPPING,
    "model_attributes_type": lambda _: _A_MAPPING,
    "greater_than_equal": lambda context: f"at least {context['ge']:g}",
    "greater_than": lambda context: f"above {context['gt']:g}",
    "less_than_equal": lambda context: f"at most {context['le']:g}",
    "less_than": lambda context: f"below {context['lt']:g}",
    "literal_error": lambda context: str(context["expected"]),
    "enum": lambda context: str(context["expected"]),
    "too_short": lambda context: f"at least {context['min_length']} long",
    "too_long": lambda context: f"at most {context['max_length']} long",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One broken rule: the keys that lead to the value, and what is wrong with it."""

    key: KeyPath
    message: str

    def __str__(self) -> str:
        """Return `key.path: message`."""
        return ": ".join(part for part in (".".join(map(str, self.key)), self.message) if part)


def explain(error: ValidationError, model: type[BaseModel] | None = None, data: object = None) -> list[Mistake]:
    """Return the mistakes behind `error`, misspelt keys first, each value once.

    Args:
        error: What pydantic raised.
        model: What `data` should have been; it knows the keys that a misspelt one may have meant.
        data: What was given; parts of a path that are pydantic's own (names of union members) are left out with it.
    """
    found = (detail for detail in error.errors() if not _is_echo(detail))
    details = sorted(found, key=lambda detail: detail["type"] not in _UNKNOWN_KEY)
    rules: dict[KeyPath, list[ErrorDetails]] = {}
    for detail in details:
        rules.setdefault(_own_keys(detail, data), []).append(detail)
    return [Mistake(key, _message(broken, model)) for key, broken in rules.items()]


def in_one_line(error: ValidationError, model: type[BaseModel] | None = None, data: object = None) -> str:
    """Return the first mistake as `key.path: message (and n more)`."""
    first, *others = explain(error, model, data)
    return f"{first} (and {len(others)} more)" if others else str(first)


def shorten(value: object) -> str:
    """Return `value` as a user would recognise it, on one line and not too long."""
    text = "nothing" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= MAX_VALUE_LENGTH else text[: MAX_VALUE_LENGTH - 3] + "..."


def _is_echo(detail: ErrorDetails) -> bool:
    """Return whether a list is called too short only because pydantic dropped its wrong entries."""
    return detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]


def _own_keys(detail: ErrorDetails, data: object) -> KeyPath:
    """Return the part of pydantic's path that the user wrote, with the missing key at its end."""
    loc = detail["loc"]
    if data is None:
        return loc
    keys: list[str | int] = []
    for part in loc:
        inside = dict(enumerate(data)) if isinstance(data, list | tuple) else data
        if isinstance(inside, dict) and part in inside:
            data = inside[part]
            keys.append(part)
    return (*keys, loc[-1]) if detail["type"] == "missing" else tuple(keys)


def _message(found: list[ErrorDetails], model: type[BaseModel] | None) -> str:
    """Return what is wrong with one value; where several forms were allowed, each of them is named."""
    first = found[0]
    if first["type"] in _UNKNOWN_KEY:
        return unknown_name("key", str(first["loc"][-1]), _fields_at(model, first["loc"][:-1]))
    if first["type"] == "missing":
        return f"this key is required and missing; add '{first['loc'][-1]}: ...'"
    if first["type"] == "json_invalid":
        return f"not JSON: {first['ctx']['error']}"
    if first["type"] in ("value_error", "assertion_error"):
        return first["msg"].partition(", ")[2]
    wanted = list(dict.fromkeys(_wanted(detail, model) for detail in found))
    return f"must be {' or '.join(wanted)}, got {shorten(first['input'])}{_hint(first)}"


def _wanted(detail: ErrorDetails, model: type[BaseModel] | None) -> str:
    kind = detail["type"]
    row = _WANTED.get(kind) or _WANTED.get(kind.partition("_")[0])
    if row is None:
        return detail["msg"].removeprefix("Input should be ")
    wanted = row(detail.get("ctx", {}))
    keys = _fields_at(model, detail["loc"]) if wanted == _A_MAPPING else []
    return f"{wanted} ({', '.join(keys)})" if keys else wanted


def _hint(detail: ErrorDetails) -> str:
    """Return which of the allowed names was probably meant."""
    given, expected = detail["input"], detail.get("ctx", {}).get("expected")
    if not isinstance(given, str) or not isinstance(expected, str):
        return ""
    close = difflib.get_close_matches(given, expected.replace(" or ", ", ").replace("'", "").split(", "), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _fields_at(model: type[BaseModel] | None, loc: KeyPath) -> list[str]:
    """Return the keys that may stand where `loc` leads, or none where that is not a model."""
    models: list[type] = [model] if model is not None else []
    for part in loc:
        if isinstance(part, int):
            continue
        named = [found for found in models if part == found.__name__]
        inside = [
            found.model_fields[part] for found in models if issubclass(found, BaseModel) and part in found.model_fields
        ]
        models = named or [inner for field in inside for inner in _models_in(field.annotation)]
    return list(dict.fromkeys(name for found in models for name in _names(found)))


def _names(model: type) -> Iterable[str]:
    """Return the keys of a model or of a dataclass."""
    if issubclass(model, BaseModel):
        return model.model_fields
    return [field.name for field in fields(model)] if is_dataclass(model) else []


def _models_in(annotation: Any) -> Iterable[type]:  # Any: a type annotation has no common type
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or is_dataclass(annotation)):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
