"""`events.jsonl`: what happened in a run, one JSON object a line, append-only, on disk before anybody is told.

A line that was torn by a sudden death is recognised, since it is the last one and does not end in a newline; readers
leave it out, and `repair` cuts it off before a run goes on. What an event says is decided by `events`.
"""

import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ecoNAS.errors import RunFolderError, why_not_written
from ecoNAS.events import Event
from ecoNAS.validation import in_one_line

_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)


class EventLog:
    """The events of one run, in order; appends reach the disk before `append` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self) -> None:
        """Make the file, empty; a folder that has one can be resumed."""
        try:
            self.path.touch()
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be written: {why_not_written(error)}") from None

    def append(self, event: Event) -> None:
        """Write one event as one line, whole or not at all.

        Raises:
            RunFolderError: if the disk is full or the file cannot be written.
        """
        line = event.model_dump_json().encode() + b"\n"
        try:
            with self.path.open("ab", buffering=0) as file:
                _append(file, line)
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be written: {why_not_written(error)}") from None

    def repair(self) -> None:
        """Cut off a last line that a sudden death tore."""
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with self.path.open("r+b") as file:
                file.truncate(whole)

    def __iter__(self) -> Iterator[Event]:
        """Yield the events; a torn last line is left out.

        Raises:
            RunFolderError: if a whole line is no event.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as file:  # bytes: a torn line may end within a character
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield _ADAPTER.validate_json(line)
                except ValidationError as error:
                    raise RunFolderError(
                        f"{self.path}:{number}: not an event of this version: {in_one_line(error)}; "
                        "restore the file, or start a new run"
                    ) from None


def _append(file: FileIO, line: bytes) -> None:
    """Write `line` at the end of `file` and wait for the disk; on failure the file is as it was."""
    end = file.seek(0, os.SEEK_END)
    try:
        while line:  # a nearly full disk takes a part and refuses the rest
            line = line[file.write(line) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(end)
        raise
