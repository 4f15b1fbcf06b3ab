"""What Ctrl-C does to a search: the first lets the candidates under way finish, the second gives them up."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from ecoNAS.search.loop import SearchLoop


class Interrupt:
    """On a first Ctrl-C or SIGTERM lets the candidates under way finish; on a second one gives them up.

    The handler only notes the signal: an exception raised from it could surface anywhere, even in a library's clean-up.

    Args:
        on_stopping: Called when a first signal was taken, with the number of candidates under way.
    """

    def __init__(self, on_stopping: Callable[[int], None]) -> None:
        self._on_stopping = on_stopping
        self._loop: SearchLoop | None = None

    def check(self) -> None:
        """Raise KeyboardInterrupt if candidates under way are to be given up."""
        if self._loop is not None and self._loop.is_abandoning:
            raise KeyboardInterrupt

    def stops(self, loop: SearchLoop) -> None:
        """Say which loop a signal is meant for; until then it ends the program, since nothing is under way yet."""
        self._loop = loop

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Take signals until the block ends, the writing of the report included."""
        if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._loop is None:
            raise KeyboardInterrupt
        if self._loop.is_stopping:
            self._loop.abandon()
        else:
            self._loop.stop()
            self._on_stopping(self._loop.num_running)
