"""The lane: whoever measures a device has it alone, across workers, runs and users of the machine.

A lane is three files of a folder that all users share, locked with `flock`, so that a lock dies with its holder.
Trainings hold `road` in common while they run a batch. Who wants to measure queues by a ticket, and the first of the
queue takes `gate`: trainings that find the gate taken let go of the road at their next batch boundary and wait at the
gate. A plain shared and exclusive lock would not do: trainings that re-take it every batch keep the one who waits out
for seconds.

That nobody else was on the device is verified by `exclusivity`; a lane only keeps our own processes apart.
"""

import fcntl
import hashlib
import itertools
import json
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.errors import MeterError

FOLDER_VARIABLE: Final = "ECONAS_LANES"
POLL_S: Final = 0.002
SAY_EVERY_S: Final = 1.0

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


class Turn:
    """A training's place on the road; `yield_` gives way to whoever wants to measure."""

    def __init__(
        self,
        lanes: "list[_Lane]",
        clock: Clock,
        on_pause: Callable[[], None],
        on_resume: Callable[[], None],
        while_paused: Callable[[], None],
    ) -> None:
        self.paused_s = 0.0
        self._lanes, self._clock = lanes, clock
        self._on_pause, self._on_resume, self._while_paused = on_pause, on_resume, while_paused

    def yield_(self) -> float:
        """Let others measure if they want to; return the seconds that took, 0 where nobody does."""
        if not any(lane.is_wanted() for lane in self._lanes):
            return 0.0
        started_s = self._clock.now_s()
        self._on_pause()
        try:
            self.leave()
            self.enter()
        finally:
            paused_s = self._clock.now_s() - started_s
            self.paused_s += paused_s
        self._on_resume()
        return paused_s

    def enter(self) -> None:
        """Take the road of every lane once its gate is open; waiting, nothing is held."""
        while not all(lane.try_enter() for lane in self._lanes):
            self.leave()
            self._while_paused()
            self._clock.sleep(POLL_S)

    def leave(self) -> None:
        """Let go of the roads."""
        for lane in self._lanes:
            lane.leave()


class Lane:
    """The lane of one device, or of several whose identities are joined by `+`.

    Args:
        device: Its identity, the same in every process.
        folder: Where lanes lie; None for that of the machine.
        clock: Whose seconds pass while waiting.
        owner: What others are told who measures, such as the run folder.
    """

    def __init__(self, device: str, folder: Path | None = None, clock: Clock = REAL_CLOCK, owner: str = "") -> None:
        self.device = "+".join(sorted(set(device.split("+"))))  # one order for all, so that nobody waits in a circle
        self._folder = folder or lanes_folder()
        self._clock, self._owner = clock, owner

    @contextmanager
    def measuring(self, on_wait: Callable[[LaneStatus], None] = lambda status: None) -> Iterator[None]:
        """Have the device alone until the block ends.

        Args:
            on_wait: Called about every second with who holds the device, while this waits.
        """
        with ExitStack() as stack:
            for lane in self._parts():
                stack.callback(lane.close)
                said_s = self._clock.now_s()
                attempts = lane.take(self._owner)
                while not next(attempts):
                    if self._clock.now_s() - said_s >= SAY_EVERY_S:
                        on_wait(lane.status())
                        said_s = self._clock.now_s()
                    self._clock.sleep(POLL_S)
            yield

    @contextmanager
    def training(
        self,
        on_pause: Callable[[], None] = lambda: None,
        on_resume: Callable[[], None] = lambda: None,
        while_paused: Callable[[], None] = lambda: None,
    ) -> Iterator[Turn]:
        """Share the device with other trainings until the block ends; `yield_` belongs at every batch boundary.

        Args:
            on_pause: Called before giving way: the device must have nothing left to do.
            on_resume: Called when the training may go on.
            while_paused: Called again and again while it waits; may raise to give the training up.
        """
        lanes = self._parts()
        turn = Turn(lanes, self._clock, on_pause, on_resume, while_paused)
        try:
            turn.enter()
            yield turn
        finally:
            for lane in lanes:
                lane.close()

    def status(self) -> LaneStatus:
        """Return who measures and how many wait, of the part that is most wanted; disturbs nobody."""
        lanes = self._parts()
        try:
            found = [lane.status() for lane in lanes]
        finally:
            for lane in lanes:
                lane.close()
        return max(found, key=lambda status: (status.pid is not None, status.num_waiting))

    def _parts(self) -> "list[_Lane]":
        return [_Lane(part, self._folder) for part in self.device.split("+")]


class _Lane:
    """The files of one device, opened by one training or measurement."""

    def __init__(self, device: str, folder: Path) -> None:
        self._device = device
        self._stem = folder / hashlib.sha256(device.encode()).hexdigest()[:24]
        self._files: dict[str, int] = {}

    def take(self, owner: str) -> Iterator[bool]:
        """Yield False while others are before, then True once the device is ours alone."""
        ticket = self._draw_ticket()
        while self._first_ticket() != ticket:
            yield False
        while not self._lock("gate", fcntl.LOCK_EX):
            yield False
        while not self._lock("road", fcntl.LOCK_EX):
            yield False
        note = json.dumps({"pid": os.getpid(), "owner": owner, "since_s": time.time()}).encode()
        os.pwrite(self._file("gate"), note.ljust(1024), 0)
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
        tickets = self._tickets()
        if not self.is_wanted():
            return LaneStatus(self._device, num_waiting=len(tickets))
        try:
            note = json.loads(os.pread(self._file("gate"), 1024, 0))
            holder = LaneStatus(self._device, note["pid"], note["owner"], note["since_s"], max(len(tickets) - 1, 0))
        except (ValueError, KeyError):  # taken, and not yet signed
            holder = LaneStatus(self._device, 0, "unknown", time.time(), max(len(tickets) - 1, 0))
        return holder

    def close(self) -> None:
        """Give back whatever is held."""
        for name, file in self._files.items():
            if name.startswith("ticket"):
                with suppress(OSError):
                    Path(f"{self._stem}.{name}").unlink()
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
            if name in self._files or _is_locked(path):
                found.append(name)
            else:
                with suppress(OSError):
                    path.unlink()
        return found

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
    """Open a lock file that every user may lock; children do not inherit it (PEP 446)."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise MeterError(
            f"lane {path} cannot be opened: {error.strerror}; remove it, or set {FOLDER_VARIABLE}"
        ) from None
    with suppress(OSError):  # another user's file: that user's umask was undone when it was made
        os.fchmod(file, 0o666)
    return file


def _is_locked(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
