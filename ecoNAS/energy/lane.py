"""The lane: whoever measures a device has it alone, across workers, runs and users of the machine.

A lane is three files of a folder that all users share, locked with `flock`, so that a lock dies with its holder.
Trainings hold `road` in common while they run a batch. Who wants to measure queues by a ticket, and the first of the
queue takes `gate`: trainings that find the gate taken let go of the road at their next batch boundary and wait at the
gate. A plain shared and exclusive lock would not do: trainings that re-take it every batch keep the one who waits out
for seconds.

That nobody else was on the device is verified by `exclusivity`; a lane only keeps our own processes apart.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.lane_files import LaneFiles, LaneStatus, lanes_folder

POLL_S: Final = 0.002
SAY_EVERY_S: Final = 1.0


class Turn:
    """A training's place on the road; `yield_` gives way to whoever wants to measure."""

    def __init__(
        self,
        lanes: list[LaneFiles],
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
        return self._pause()

    def begin(self) -> None:
        """Take the road for the first time; to wait for it is a pause like any other."""
        if not all(lane.try_enter() for lane in self._lanes):
            self._pause()

    def _pause(self) -> float:
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
                # Whoever asks opens the files anew: to try a lock that one holds is to change it, even to lose it.
                part = Lane(lane.device, self._folder)
                said_s = self._clock.now_s()
                attempts = lane.take(self._owner)
                while not next(attempts):
                    if self._clock.now_s() - said_s >= SAY_EVERY_S:
                        on_wait(part.status())
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
            turn.begin()
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

    def _parts(self) -> list[LaneFiles]:
        return [LaneFiles(part, self._folder) for part in self.device.split("+")]
