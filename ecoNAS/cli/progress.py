"""What a search shows while it runs: a bar where there is a terminal, one line a trial where there is none."""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ecoNAS.energy.lane_files import LaneStatus
from ecoNAS.events import Event
from ecoNAS.records import Outcome

COUNTED = (Outcome.EVALUATED, Outcome.STOPPED)


class Progress:
    """Follows the events of a search; a context manager that owns the bar."""

    def __init__(self, trials: int, headline: str, before: Iterable[Event] = ()) -> None:
        """Prepare.

        Args:
            trials: How many are to be counted.
            headline: Shown once the run folder is taken.
            before: What earlier sessions of the run wrote.
        """
        self._headline = headline
        self._console = Console(file=sys.stderr, soft_wrap=True, highlight=False, markup=False, emoji=False)
        self._is_live = self._console.is_terminal
        self._trials = trials
        self._outcomes: Counter[Outcome] = Counter()
        self._num_first = 0
        self._stage = ""
        self._paused: set[int] = set()
        self._bar = Bar(
            TextColumn("trials"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("elapsed,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self._console,
            disable=not self._is_live,
        )
        for event in before:
            self._count(event)
        self._task = self._bar.add_task("starting workers", total=trials, completed=self._num_done)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def on_event(self, event: Event) -> None:
        """Take in one event of the search."""
        self._count(event)
        self._bar.update(self._task, completed=self._num_done, description=self._describe())
        line = self._said_always(event)
        if line is None and not self._is_live:
            line = self._said_without_bar(event)
        if line is not None:
            self._console.print(line)

    def _said_always(self, event: Event) -> str | None:
        """Return the line that an event gets even beside a bar."""
        line = None
        match event.type:
            case "run_started":
                line = self._headline
            case "data_looked_over":
                line = "\n".join(event.lines)
            case "trial_ended" if event.outcome in (Outcome.FAILED, Outcome.INFEASIBLE):
                line = f"trial {event.trial} {event.outcome}: {event.reason}"
            case "refinement_started":
                line = f"measuring again, more closely, what decides the front: {_trials(event.trials)}"
            case "replication_started":
                line = f"training again, with another seed, what may be luck: {_trials(event.trials)}"
            case "worker_lost":
                line = f"a worker died with trial {event.trial} and was replaced: {event.reason}"
            case "meter_failed":
                line = f"the joules of the whole search are a lower bound from here on: {event.reason}"
        return line

    def _said_without_bar(self, event: Event) -> str | None:
        """Return the line that an event gets where there is no bar to show it."""
        done = f"{self._num_done}/{self._trials}"
        line = None
        match event.type:
            case "trial_ended" if event.outcome is Outcome.EVALUATED:
                line = f"trial {event.trial} {event.outcome} in {event.duration_s:.1f} s ({done})"
            case "trial_ended" if event.outcome is Outcome.STOPPED:
                line = f"trial {event.trial} {event.outcome}: {event.reason} ({done})"
            case "rung_reached":
                waiting = f"{len(self._paused)} wait"
                line = f"trial {event.trial} paused after {event.at} in {event.duration_s:.1f} s ({waiting}, {done})"
            case "candidate_profiled":
                line = f"a candidate measured before any training ({self._num_first} so far)"
            case "profile_refined":
                line = f"trial {event.trial} measured again"
            case "training_replicated":
                line = f"trial {event.trial} trained again"
        return line

    def on_waiting(self, status: LaneStatus) -> None:
        """Say that another run measures on our device."""
        since_s = max(time.time() - status.since_s, 0.0) if status.since_s is not None else 0.0
        num_more = status.num_waiting - 1  # beside ours
        more = f"; {num_more} more wait{'s' if num_more == 1 else ''}" if num_more > 0 else ""
        who = f"{status.owner or 'another program'} (process {status.pid})"
        self._console.print(f"waiting for {status.device}: {who} measures since {since_s:.0f} s{more}")

    def on_stopping(self, num_running: int) -> None:
        """Say that a first Ctrl-C was taken."""
        self._console.print(f"finishing {num_running} candidates under way; press Ctrl-C again to give them up")

    @property
    def _num_done(self) -> int:
        return sum(self._outcomes[outcome] for outcome in COUNTED)

    def _count(self, event: Event) -> None:
        if event.type == "trial_ended":
            self._outcomes[event.outcome] += 1
            self._paused.discard(event.trial)
        elif event.type == "rung_reached":
            self._paused.add(event.trial)
        elif event.type == "trial_promoted":
            self._paused.discard(event.trial)
        elif event.type == "candidate_profiled":
            self._num_first += 1
        elif event.type == "run_started":
            self._stage = ""
        elif event.type == "refinement_started":
            self._stage = "measuring the front again"
        elif event.type == "replication_started":
            self._stage = "training the front again"

    def _describe(self) -> str:
        if self._stage:
            return self._stage
        others = [f"{count} {outcome}" for outcome, count in self._outcomes.items() if outcome not in COUNTED]
        others += [f"{len(self._paused)} paused"] if self._paused else []
        others += [f"{self._num_first} measured first"] if self._num_first else []
        return f"({', '.join(others)})" if others else ""


def _trials(numbers: Sequence[int]) -> str:
    return f"trial{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"
