"""What a search says of another run's measurement: once a wait, and nothing of its own."""

import pytest

from ecoNAS.cli.progress import Progress
from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.lane_files import LaneStatus
from ecoNAS.experiment.lane_notice import LaneNotice

OURS, OTHERS = "the run in /runs/mine", "the run in /runs/theirs"
FREE, QUEUE = LaneStatus("cpu:1"), LaneStatus("cpu:1", num_waiting=1)


def held(owner: str, num_waiting: int = 1) -> LaneStatus:
    return LaneStatus("cpu:1", pid=123, owner=owner, since_s=0.0, num_waiting=num_waiting)


class Statuses:
    """A lane that shows one status after the other, then the last one for ever."""

    def __init__(self, *shown: LaneStatus) -> None:
        self.shown = list(shown)

    def status(self) -> LaneStatus:
        return self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]


@pytest.mark.parametrize(
    ("shown", "num_said"),
    [
        ([held(OTHERS)] * 5, 1),
        ([held(OTHERS), QUEUE, held(OTHERS)], 1),
        ([held(OTHERS), held(OURS), held(OTHERS)], 2),
        ([held(OTHERS), FREE, held(OTHERS)], 2),
        ([held(OTHERS, num_waiting=0)], 0),
        ([held(OURS)], 0),
        ([QUEUE], 0),
    ],
    ids=[
        "a long one",
        "one after the other",
        "ours between",
        "nobody between",
        "nobody waits",
        "ours",
        "not taken yet",
    ],
)
def test_another_runs_measurement_is_told_once_a_wait(shown: list[LaneStatus], num_said: int) -> None:
    said, clock = list[LaneStatus](), VirtualClock()
    notice = LaneNotice(Statuses(*shown), OURS, said.append)  # type: ignore[arg-type]
    with notice.watching(clock):
        clock.sleep(9.5)
    assert len(said) == num_said


@pytest.mark.parametrize(
    ("num_waiting", "more"), [(1, ""), (2, "; 1 more waits"), (3, "; 2 more wait")], ids=["1", "2", "3"]
)
def test_the_line_names_device_holder_and_queue(
    num_waiting: int, more: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("time.time", lambda: 12.3)
    progress = Progress(1, "")
    progress.on_waiting(held("the run in /runs/[b]theirs", num_waiting))
    expected = f"waiting for cpu:1: the run in /runs/[b]theirs (process 123) measures since 12 s{more}\n"
    assert capsys.readouterr().err == expected
