"""What crosses a file or a process: immutable values with a canonical JSON form, and its digest.

Which fields they have is decided where they are defined; how they are read from YAML, by `yaml_file`.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """The base of everything that crosses a file or a process: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:  # Any: pydantic's own
        """Return a copy with other fields; what was computed from the old ones, such as a digest, does not go along."""
        copy = super().model_copy(update=update, deep=deep)
        for name in set(copy.__dict__) - set(type(self).model_fields):
            del copy.__dict__[name]
        return copy


def canonical_digest(value: object) -> str:
    """Return the SHA-256 (64 hex digits) of `value` as JSON with sorted keys and no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
