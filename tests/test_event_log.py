"""The event log: whole lines in order, whatever dies or fills up while one is written."""

import errno
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import FileIO
from pathlib import Path

import pytest

from ecoNAS.errors import RunFolderError
from ecoNAS.event_log import EventLog
from ecoNAS.events import (
    Event,
    Phase,
    RunEnded,
    RunStarted,
    ScaleFixed,
    TrialEnded,
    TrialProposed,
    WorkerLost,
    untold,
)
from ecoNAS.joules import EstimatedJoules
from ecoNAS.records import Outcome, now


def one_of_each() -> list[Event]:
    joules = EstimatedJoules(value_j=2, low_j=1, high_j=6, method="m", scope="s", device="d")
    phase = Phase(name="training", started=now(), ended=now(), device="d", energy=joules)
    return [
        RunStarted(resumed=False, trials=4, sampler="tpe", energy="macs_and_bytes"),
        TrialProposed(trial=0, digest="a", parameters={"stem.width": 8, "stage1.block": "mbconv", "x": True, "y": 0.5}),
        WorkerLost(trial=0, reason="killed: é ü 日本"),
        TrialEnded(trial=0, digest="a", outcome=Outcome.EVALUATED, phases=(phase,), violations={"params": -0.5}),
        ScaleFixed(source="bounds and first evaluations", objectives={"accuracy": (1.0, 0.5)}),
        RunEnded(reason="trials"),
    ]


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path / "events.jsonl")


def test_events_come_back_in_order_as_they_were(log: EventLog) -> None:
    events = one_of_each()
    for event in events:
        log.append(event)

    assert list(log) == events
    assert log.path.read_bytes().count(b"\n") == len(events)


def test_a_log_without_a_file_holds_nothing(log: EventLog) -> None:
    log.repair()

    assert list(log) == []
    assert not log.path.exists()


@pytest.mark.parametrize("value", [True, 1, 1.0, "1"])
def test_parameters_keep_their_type(log: EventLog, value: object) -> None:
    log.append(TrialProposed(trial=0, digest="a", parameters={"x": value}))

    (event,) = log
    assert isinstance(event, TrialProposed)
    assert type(event.parameters["x"]) is type(value)


def test_a_log_torn_anywhere_keeps_every_whole_line(log: EventLog) -> None:
    events = one_of_each()
    for event in events:
        log.append(event)
    content = log.path.read_bytes()

    for cut in range(len(content)):  # in the middle of a character too
        log.path.write_bytes(content[:cut])
        assert list(log) == events[: content[:cut].count(b"\n")]


def test_a_torn_log_goes_on_after_repair(log: EventLog) -> None:
    events = one_of_each()
    for event in events:
        log.append(event)
    with log.path.open("r+b") as file:
        file.truncate(log.path.stat().st_size - 1)

    log.repair()
    log.append(events[0])

    assert list(log) == [*events[:-1], events[0]]


def test_repair_leaves_a_whole_log_alone(log: EventLog) -> None:
    for event in one_of_each():
        log.append(event)
    before = log.path.read_bytes()

    log.repair()

    assert log.path.read_bytes() == before


@pytest.mark.parametrize("line", ["not json", '{"type": "run_walked"}', '{"type": "run_ended", "reason": "bored"}', ""])
def test_a_whole_line_that_is_no_event_is_named(log: EventLog, line: str) -> None:
    log.append(one_of_each()[0])
    with log.path.open("a") as file:
        file.write(line + "\n")

    with pytest.raises(RunFolderError, match=r"events\.jsonl:2: not an event of this version: ") as caught:
        list(log)
    assert "\n" not in str(caught.value)


def test_a_disk_that_fills_up_leaves_no_torn_line(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third, *_ = one_of_each()
    log.append(first)

    class NearlyFull(FileIO):
        """Takes ten bytes, as a nearly full disk does, and refuses the rest."""

        taken = 0

        def write(self, content: bytes) -> int:
            if self.taken:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.taken = super().write(content[:10])
            return self.taken

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode, buffering: NearlyFull(path, mode))
        with pytest.raises(RunFolderError, match="No space left on device; free space and go on with --resume"):
            log.append(second)
    log.append(third)

    assert list(log) == [first, third]


def test_events_of_several_processes_do_not_tear_each_other(log: EventLog) -> None:
    program = (
        "import sys; from pathlib import Path; from ecoNAS.event_log import EventLog\n"
        "from ecoNAS.events import WorkerLost\n"
        "log = EventLog(Path(sys.argv[1]))\n"
        "for trial in range(50): log.append(WorkerLost(trial=trial, reason=sys.argv[2] * 500))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(log.path), name]) for name in "ab"]
    for writer in writers:
        assert writer.wait(60) == 0

    events = list(log)

    assert len(events) == 100
    for name in "ab":
        own = [event.trial for event in events if isinstance(event, WorkerLost) and event.reason[0] == name]
        assert own == list(range(50))


def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"events\.jsonl cannot be written: No such file or directory$"):
        EventLog(tmp_path / "nowhere" / "events.jsonl").append(RunEnded(reason="trials"))


def test_a_training_of_many_parts_is_told_part_by_part() -> None:
    begun = datetime(2026, 1, 1, tzinfo=UTC)

    def phase(start_s: float, end_s: float, value_j: float, paused_s: float = 0.0, name: str = "training") -> Phase:
        energy = EstimatedJoules(
            value_j=value_j, low_j=value_j / 2, high_j=value_j * 2, method="m", scope="s", device="d"
        )
        ends = {"started": begun + timedelta(seconds=start_s), "ended": begun + timedelta(seconds=end_s)}
        return Phase(name=name, device="d", paused_s=paused_s, energy=energy, **ends)

    told = [phase(0, 10, 30, 1), phase(50, 60, 10)]
    (rest,) = untold([phase(0, 100, 100, 3)], told)
    assert (rest.started - begun).total_seconds() == 60
    assert rest.paused_s == 2
    assert rest.energy is not None
    assert rest.energy.value_j == pytest.approx(60)
    last = phase(70, 100, 60)
    assert untold([last, phase(0, 5, 1, name="profiling")], told) == (last, phase(0, 5, 1, name="profiling"))
