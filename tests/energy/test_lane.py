"""Who measures is alone and soon gets its turn, in the order of asking; whoever dies is not waited for."""

import fcntl
import os
import signal
import stat
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest

from ecoNAS.energy import lane_files
from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.lane import POLL_S, Lane
from ecoNAS.energy.lane_files import LaneStatus, lanes_folder
from ecoNAS.errors import MeterError

# Says when it asked for its turn, and when each stretch began and ended, by the clock that all processes share.
WORKER = """
import os, sys, time
from ecoNAS.energy.lane import Lane

role, device, stretch_s, count = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
lane = Lane(device, owner="of " + role)

def say(word):
    print(word, time.monotonic(), flush=True)

def run():
    say("began")
    time.sleep(stretch_s)
    say("ended")

if role == "trainer":
    with lane.training() as turn:
        for _ in range(count):
            run()
            turn.yield_()
if role == "measurer":
    for _ in range(count):
        say("asked")
        with lane.measuring():
            run()
        time.sleep(0.03)
if role == "forker":
    with lane.measuring():
        if not (child := os.fork()):
            time.sleep(60)
            os._exit(0)
    print(child, flush=True)
"""
BATCH_S = 0.02


class Worker:
    """A process that trains or measures."""

    def __init__(self, role: str, device: str = "gpu", stretch_s: float = 60.0, count: int = 1) -> None:
        command = [sys.executable, "-c", WORKER, role, device, str(stretch_s), str(count)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def say(self, word: str) -> float:
        """Return when it said a word, once it has."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(word):
                return float(line.split()[1])
        raise AssertionError(f"the worker ended before it said '{word}'")

    def times(self) -> dict[str, list[float]]:
        """Return when it said what, once it has ended."""
        found: dict[str, list[float]] = {"asked": [], "began": [], "ended": []}
        for line in self.process.communicate(timeout=60)[0].splitlines():
            word, time_s = line.split()
            found[word].append(float(time_s))
        assert self.process.returncode == 0
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


StartWorker = Callable[..., Worker]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ECONAS_LANES", str(tmp_path))
    return tmp_path


@pytest.fixture
def start() -> Iterator[StartWorker]:
    with ExitStack() as stack:

        def start_one(*arguments: Any, **named: Any) -> Worker:
            worker = Worker(*arguments, **named)
            stack.enter_context(worker.process)
            stack.callback(worker.kill)
            return worker

        yield start_one


def wait_for_status(is_there: Callable[[LaneStatus], bool]) -> None:
    until_s = time.monotonic() + 20
    while not is_there(Lane("gpu").status()):
        assert time.monotonic() < until_s, f"the lane stayed at {Lane('gpu').status()}"
        time.sleep(0.005)


def is_free(device: str) -> bool:
    """Whether a training may enter at once."""
    try:
        with Lane(device).training(while_paused=give_up):
            return True
    except InterruptedError:
        return False


def give_up() -> None:
    raise InterruptedError


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Interrupt what waits for a turn that never comes."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"no turn within {seconds} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@pytest.mark.slow
def test_who_measures_is_alone_and_waits_about_a_batch_while_trainings_share(start: StartWorker) -> None:
    trainers = [start("trainer", stretch_s=BATCH_S, count=100) for _ in range(2)]
    for trainer in trainers:
        trainer.say("began")
    measurers = [start("measurer", stretch_s=BATCH_S, count=8) for _ in range(2)]
    measured, trained = [worker.times() for worker in measurers], [worker.times() for worker in trainers]

    stretches = sorted(pair for times in measured for pair in zip(times["began"], times["ended"], strict=True))
    assert len(stretches) == 16
    assert all(one[1] <= other[0] for one, other in pairwise(stretches))
    # The first word of each trainer was read above.
    batches = [list(zip(times["began"], times["ended"][1:], strict=True)) for times in trained]
    assert not any(
        batch[0] < stretch[1] and stretch[0] < batch[1]
        for stretch in stretches
        for batch in chain.from_iterable(batches)
    )
    assert any(a[0] < b[1] and b[0] < a[1] for a in batches[0] for b in batches[1])  # while trainings share the road
    waits_s = [began - asked for times in measured for asked, began in zip(times["asked"], times["began"], strict=True)]
    assert statistics.median(waits_s) < 10 * BATCH_S


def test_those_who_measure_come_in_the_order_of_asking(start: StartWorker) -> None:
    with Lane("gpu").measuring():
        waiting = []
        for place in range(1, 4):
            waiting.append(start("measurer", stretch_s=0.0))
            wait_for_status(lambda status, place=place: status.num_waiting == place)  # type: ignore[misc]
    began_s = [worker.say("began") for worker in waiting]
    assert began_s == sorted(began_s)


def test_status_says_who_measures_since_when_and_who_waits(start: StartWorker) -> None:
    before_s = time.time()
    holder = start("measurer")
    holder.say("began")
    start("measurer")
    wait_for_status(lambda status: status.num_waiting == 1)

    status = Lane("gpu").status()
    assert (status.device, status.pid, status.owner) == ("gpu", holder.process.pid, "of measurer")
    assert status.since_s is not None
    assert before_s <= status.since_s <= time.time()
    assert Lane("other").status() == LaneStatus("other")


def test_whoever_is_killed_while_measuring_or_waiting_is_not_waited_for(start: StartWorker, folder: Path) -> None:
    holder = start("measurer")
    holder.say("began")
    first = start("measurer")
    wait_for_status(lambda status: status.num_waiting == 1)
    second = start("measurer", stretch_s=0.0)
    wait_for_status(lambda status: status.num_waiting == 2)

    first.kill()
    wait_for_status(lambda status: status.num_waiting == 1)
    holder.kill()
    second.times()
    assert Lane("gpu").status() == LaneStatus("gpu")
    assert not list(folder.glob("*.ticket-*"))


def test_a_killed_training_leaves_the_road(start: StartWorker) -> None:
    trainer = start("trainer")
    trainer.say("began")
    trainer.kill()
    with at_most(10), Lane("gpu").measuring():
        assert not is_free("gpu")


def test_a_child_forked_while_measuring_does_not_keep_the_lane(start: StartWorker) -> None:
    forker = start("forker", stretch_s=0.0)
    assert forker.process.stdout is not None
    child = int(forker.process.stdout.readline())
    try:
        assert is_free("gpu")
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_ticket_that_was_taken_for_a_dead_one_s_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    flock, unlink, drawn = fcntl.flock, Path.unlink, list[int]()

    def slow_flock(file: int, how: int) -> None:
        if how == fcntl.LOCK_EX:  # only tickets are waited for
            drawn.append(file)
            if len(drawn) == 1:
                Lane("gpu").status()  # sees a ticket that nobody holds
        flock(file, how)

    def unlink_locked(path: Path) -> None:
        if len(drawn) == 1:  # its owner must not come between, and hold a ticket that is gone
            with pytest.raises(BlockingIOError):
                flock(drawn[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        unlink(path)

    monkeypatch.setattr(fcntl, "flock", slow_flock)
    monkeypatch.setattr(Path, "unlink", unlink_locked)
    with at_most(10), Lane("gpu").measuring():
        assert len(drawn) == 2


def test_who_waits_for_trainings_is_told_every_second_and_keeps_its_claim() -> None:
    with Lane("gpu", owner="the one before").measuring():
        pass
    clock, told = VirtualClock(), list[tuple[LaneStatus, bool]]()
    with Lane("gpu").training() as turn:

        def on_wait(status: LaneStatus) -> None:
            told.append((status, is_free("gpu")))
            if len(told) == 3:
                turn.leave()

        with Lane("gpu", clock=clock).measuring(on_wait):
            assert clock.now_s() == pytest.approx(3.0, abs=4 * POLL_S)
            assert Lane("gpu").status().pid == os.getpid()
    assert told == [(LaneStatus("gpu", num_waiting=1), False)] * 3  # nobody measures yet


def test_who_waits_for_a_measurement_is_told_whose_it_is() -> None:
    with ExitStack() as holding:
        holding.enter_context(Lane("gpu", owner="é" * 3000).measuring())
        told = list[LaneStatus]()

        def on_wait(status: LaneStatus) -> None:
            told.append(status)
            holding.close()

        with Lane("gpu", clock=VirtualClock(), owner="next").measuring(on_wait):
            assert Lane("gpu").status().owner == "next"
    assert [(status.pid, status.owner, status.num_waiting) for status in told] == [(os.getpid(), "é" * 1000, 1)]


def test_a_training_pauses_while_somebody_measures_and_counts_the_seconds() -> None:
    clock, seen = VirtualClock(), list[str]()
    with ExitStack() as holding:

        def while_paused() -> None:
            seen.append("paused")
            if len(seen) == 4:
                holding.close()

        callbacks = (lambda: seen.append("pause"), lambda: seen.append("resume"), while_paused)
        with Lane("gpu", clock=clock).training(*callbacks) as turn:
            assert turn.yield_() == 0.0
            assert seen == []
            turn.leave()  # else nobody could measure in this process
            holding.enter_context(Lane("gpu").measuring())
            assert turn.yield_() == pytest.approx(3 * POLL_S)
            assert turn.yield_() == 0.0
            assert turn.paused_s == pytest.approx(3 * POLL_S)
    assert seen == ["pause", "paused", "paused", "paused", "resume"]


def test_a_paused_training_can_be_given_up() -> None:
    with Lane("gpu").measuring(), pytest.raises(InterruptedError), Lane("gpu").training(while_paused=give_up):
        pass
    with at_most(10), Lane("gpu").measuring():
        assert not is_free("gpu")


@pytest.mark.parametrize(
    ("measured", "free", "taken"),
    [("gpu0", ["gpu1", "cpu"], ["gpu0", "cpu+gpu0"]), ("gpu0+cpu", ["gpu1"], ["cpu", "gpu0", "cpu+gpu0", "gpu1+cpu"])],
)
def test_lanes_meet_where_they_share_a_device(measured: str, free: list[str], taken: list[str]) -> None:
    with Lane(measured).measuring():
        assert [device for device in free + taken if is_free(device)] == free
        with Lane("gpu1").measuring():
            assert Lane(measured).status().pid == os.getpid()
    assert all(is_free(device) for device in free + taken)


@pytest.mark.parametrize("kind", ["file", "within a file", "link", "closed"])
def test_a_folder_that_cannot_serve_is_refused_with_the_remedy(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").touch()
    (folder / "link").symlink_to(folder)
    (folder / "closed").mkdir()
    monkeypatch.setenv("ECONAS_LANES", str(folder / kind.replace("within a file", "file/lanes")))
    if kind == "closed":
        monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(MeterError, match=r"set ECONAS_LANES"):
        Lane("gpu")


def test_all_users_may_lock_and_none_may_remove_what_is_another_s(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECONAS_LANES", str(folder / "lanes"))
    previous = os.umask(0o077)
    try:
        with Lane("gpu").measuring():
            files = [path.stat() for path in lanes_folder().iterdir()]
    finally:
        os.umask(previous)
    assert stat.S_IMODE(lanes_folder().stat().st_mode) == 0o1777
    assert [stat.S_IMODE(file.st_mode) for file in files] == [0o666] * 3  # a ticket, the gate, the road


def test_files_of_another_user_are_opened_where_the_kernel_protects_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with Lane("gpu").measuring():
        pass
    real_open = os.open

    def protected_open(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT and path.exists():  # fs.protected_regular of Linux, for a file of another user
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, flags, mode)

    monkeypatch.setattr(lane_files.os, "open", protected_open)
    with Lane("gpu").measuring():
        assert not is_free("gpu")


def test_a_link_in_place_of_a_lock_is_not_followed(folder: Path) -> None:
    with Lane("gpu").measuring():
        pass
    victim = folder / "victim"
    victim.write_text("precious")
    (gate,) = folder.glob("*.gate")
    gate.unlink()
    gate.symlink_to(victim)
    with pytest.raises(MeterError, match=r"\.gate cannot be opened: .*; remove it, or set ECONAS_LANES"):
        is_free("gpu")
    assert victim.read_text() == "precious"
