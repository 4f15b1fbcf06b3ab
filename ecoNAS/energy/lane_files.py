"""The lock files of one device: who is first in the queue, who has the gate, who is on the road.

All users of a machine share them in one folder, and a lock dies with its holder. What is done with them is decided by
`lane`.
"""

import fcntl
import hashlib
import itertools
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ecoNAS.errors import MeterError

FOLDER_VARIABLE: Final = "ECONAS_LANES"
NOTE_BYTES: Final = 8192
OWNER_CHARACTERS: Final = 1000  # each takes at most six bytes of a note

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """Who measures a device, and who waits.

    Attributes:
        device: Its identity.
        pid: Of the process that measures; None where nobody does.
        owner: What that process says of itself.
        since_s: Unix seconds at which it began.
        num_waiting: How many wait to measure.
    """

    device: str
    pid: int | None = None
    owner: str = ""
    since_s: float | None = None
    num_waiting: int = 0


def lanes_folder() -> Path:
    """Return the folder of all lanes of this machine: `$ECONAS_LANES`, else one in the system's temporary folder.

    Raises:
        MeterError: if it cannot be made or written.
    """
    folder = Path(os.environ.get(FOLDER_VARIABLE) or Path(tempfile.gettempdir()) / "econas-lanes")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise MeterError(
                f"{folder} is a link or a file where lanes need a folder; remove it, or set {FOLDER_VARIABLE}"
            )
        with suppress(PermissionError):  # another user made it
            folder.chmod(0o1777)
    except OSError as error:
        raise MeterError(
            f"{folder} cannot be made for lanes: {error.strerror}; set {FOLDER_VARIABLE} to a folder"
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise MeterError(f"{folder} cannot be written; set {FOLDER_VARIABLE} to a folder that all users may write")
    return folder


class LaneFiles:
    """The files of one device, opened by one training or measurement."""

    def __init__(self, device: str, folder: Path) -> None:
        self.device = device
        self._stem = folder / hashlib.sha256(device.encode()).hexdigest()[:24]
        self._files: dict[str, int] = {}

    def take(self, owner: str) -> Iterator[bool]:
        """Yield False while others are before, then True once the device is ours alone."""
        ticket = self._draw_ticket()
        while self._first_ticket() != ticket:
            yield False
        while not self._lock("gate", fcntl.LOCK_EX):
            yield False
        self._sign("")  # the one before may have died without a word
        while not self._lock("road", fcntl.LOCK_EX):
            yield False
        note = {"pid": os.getpid(), "owner": owner[:OWNER_CHARACTERS], "since_s": time.time()}
        self._sign(json.dumps(note))
        yield True

    def is_wanted(self) -> bool:
        """Whether somebody took the gate."""
        if not self._lock("gate", fcntl.LOCK_SH):
            return True
        fcntl.flock(self._file("gate"), fcntl.LOCK_UN)
        return False

    def try_enter(self) -> bool:
        """Take the road in common, if nobody wants to measure."""
        return not self.is_wanted() and self._lock("road", fcntl.LOCK_SH)

    def leave(self) -> None:
        """Let go of the road."""
        if "road" in self._files:
            fcntl.flock(self._files["road"], fcntl.LOCK_UN)

    def status(self) -> LaneStatus:
        """Return who measures, as the holder of the gate wrote it."""
        num_tickets = len(self._tickets())
        if self.is_wanted():
            with suppress(ValueError, KeyError, TypeError):  # not signed: trainings are about to stop for its owner
                note = json.loads(os.pread(self._file("gate"), NOTE_BYTES, 0))
                return LaneStatus(self.device, note["pid"], note["owner"], note["since_s"], max(num_tickets - 1, 0))
        return LaneStatus(self.device, num_waiting=num_tickets)

    def close(self) -> None:
        """Give back whatever is held."""
        for name, file in self._files.items():
            if name.startswith("ticket"):
                with suppress(OSError):
                    Path(f"{self._stem}.{name}").unlink()
            fcntl.flock(file, fcntl.LOCK_UN)  # a forked child, as of a data loader, has a copy that would keep it
            os.close(file)
        self._files.clear()

    def _draw_ticket(self) -> str:
        """Queue: a file whose name sorts by the time it was drawn, locked as long as its owner lives."""
        while True:
            name = f"ticket-{time.time_ns():020d}-{os.getpid()}-{next(_numbers)}"
            fcntl.flock(self._file(name), fcntl.LOCK_EX)
            if Path(f"{self._stem}.{name}").exists():
                return name
            os.close(self._files.pop(name))  # someone took it for a dead one's before it was locked

    def _first_ticket(self) -> str:
        return min(self._tickets())

    def _tickets(self) -> list[str]:
        """Return the tickets of the living; those of the dead are thrown away."""
        found = []
        for path in self._stem.parent.glob(f"{self._stem.name}.ticket-*"):
            name = path.name.partition(".")[2]
            if name in self._files or not _removed_if_dead(path):
                found.append(name)
        return found

    def _sign(self, note: str) -> None:
        os.pwrite(self._file("gate"), note.encode().ljust(NOTE_BYTES), 0)

    def _lock(self, name: str, how: int) -> bool:
        try:
            fcntl.flock(self._file(name), how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _file(self, name: str) -> int:
        if name not in self._files:
            self._files[name] = _open(Path(f"{self._stem}.{name}"))
        return self._files[name]


def _open(path: Path) -> int:
    """Open a lock file that every user may lock; programs that are started do not inherit it (PEP 446)."""
    how = os.O_RDWR | os.O_NOFOLLOW
    try:
        try:
            # Without O_CREAT, which is refused for the file of another user in such a folder (fs.protected_regular).
            file = os.open(path, how)
        except FileNotFoundError:
            file = os.open(path, how | os.O_CREAT, 0o666)
    except OSError as error:
        raise MeterError(
            f"lane {path} cannot be opened: {error.strerror}; remove it, or set {FOLDER_VARIABLE}"
        ) from None
    with suppress(OSError):  # another user's file: that user's umask was undone when it was made
        os.fchmod(file, 0o666)
    return file


def _removed_if_dead(path: Path) -> bool:
    """Remove a ticket that nobody holds; while it is locked, as its owner may just be about to lock it."""
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(OSError):
            path.unlink()
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True
