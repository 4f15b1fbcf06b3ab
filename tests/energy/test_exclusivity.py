"""A device counts as ours alone only where /proc and the driver say so, and who else was there is named."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from fake_nvml import FakeGpu, FakeNvml
from power_trace import PowerTrace

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.exclusivity import AllWatches, CpuWatch, GpuWatch, Verdict, watch_for
from ecoNAS.energy.meters.nvml import NvmlMeter

# Beyond every real process id. Two CPUs are watched for 10 s: of these 20 s, 2 % are 0.4 s, and the resolution of
# /proc adds a tick of 0.01 s for each CPU and two more: others may have up to 0.44 s.
DRIVER, SHELL, STRANGER = 9_000_001, 9_000_000, 9_500_000


class FakeProc:
    """A /proc that holds `stat` of the machine and of its processes; ticks are those of this system."""

    def __init__(self, root: Path) -> None:
        self.root, self.busy_s = root, 1000.0
        self.spend(0.0)
        self.run(DRIVER, "python", parent=SHELL)
        self.run(STRANGER, "cc1plus (very) odd", parent=1)

    def run(self, pid: int, name: str, parent: int, cpu_s: float = 0.0) -> None:
        folder = self.root / "proc" / str(pid)
        folder.mkdir(parents=True, exist_ok=True)
        # pid (comm) state ppid pgrp session, eight more, utime stime cutime cstime (proc(5)).
        before = " ".join(["R", str(parent), str(pid), str(pid), *["0"] * 7])
        times = " ".join(str(ticks(share * cpu_s)) for share in (0.5, 0.25, 0.25, 0.0))
        (folder / "stat").write_text(f"{pid} ({name}) {before} {times} 20 0 1 0\n")

    def spend(self, busy_s: float) -> None:
        self.busy_s += busy_s
        # user nice system idle iowait irq softirq steal guest guest_nice
        half = ticks(self.busy_s / 2)
        text = f"cpu  {half} 0 {half} {ticks(9e3)} {ticks(5e3)} 0 0 {ticks(7e3)} {half} 0\ncpu0 0 0\ncpu1 0 0\nintr 5\n"
        (self.root / "proc").mkdir(parents=True, exist_ok=True)
        (self.root / "proc/stat").write_text(text)


def ticks(seconds: float) -> int:
    return round(seconds * os.sysconf("SC_CLK_TCK"))


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path)


def watch_cpu(proc: FakeProc, busy_s: float, **cpu_s_by_name: float) -> Verdict:
    """Watch for 10 s in which the machine was busy for `busy_s`; of that, `stranger` and `driver` took their part."""
    clock = VirtualClock()
    watch = CpuWatch(proc.root, DRIVER, clock=clock)
    watch.begin()
    clock.sleep(10.0)
    proc.spend(busy_s)
    proc.run(DRIVER, "python", SHELL, cpu_s_by_name.get("driver", 0.0))
    proc.run(STRANGER, "cc1plus (very) odd", 1, cpu_s_by_name.get("stranger", 0.0))
    return watch.verdict()


def test_a_busy_stranger_is_named_with_its_share(proc: FakeProc) -> None:
    found = watch_cpu(proc, busy_s=10.0, driver=8.0, stranger=2.0)

    assert found.state == "violated"
    assert found.reason == (
        f"others took 10.0% of the CPU time, at most 2% may be theirs: cc1plus (very) odd ({STRANGER})"
    )


@pytest.mark.parametrize(("others_s", "state"), [(0.0, "exclusive"), (0.42, "exclusive"), (0.46, "violated")])
def test_others_may_take_two_percent_and_the_resolution_of_proc(proc: FakeProc, others_s: float, state: str) -> None:
    assert watch_cpu(proc, busy_s=15.0 + others_s, driver=15.0, stranger=others_s).state == state


def test_time_that_no_visible_process_took_is_foreign_without_a_name(proc: FakeProc) -> None:
    found = watch_cpu(proc, busy_s=10.0, driver=8.0)

    assert found == Verdict("violated", "others took 10.0% of the CPU time, at most 2% may be theirs")


def test_the_three_busiest_strangers_are_named_busiest_first(proc: FakeProc) -> None:
    clock = VirtualClock()
    watch = CpuWatch(proc.root, DRIVER, clock=clock)
    watch.begin()
    clock.sleep(10.0)
    proc.spend(10.0)
    for place, cpu_s in enumerate([1.0, 4.0, 2.0, 3.0]):
        proc.run(STRANGER + place, f"job{place}", 1, cpu_s)

    named = watch.verdict().reason.partition("theirs: ")[2]
    assert named == f"job1 ({STRANGER + 1}), job3 ({STRANGER + 3}), job2 ({STRANGER + 2})"


def test_the_driver_its_workers_and_what_ray_started_are_ours(proc: FakeProc) -> None:
    raylet, worker, loader, logger = range(DRIVER + 1, DRIVER + 5)
    clock = VirtualClock()
    watch = CpuWatch(proc.root, DRIVER, clock=clock)
    watch.begin()
    clock.sleep(10.0)
    proc.spend(12.0)
    proc.run(DRIVER, "python", SHELL, 2.0)
    proc.run(raylet, "raylet", DRIVER, 2.0)
    proc.run(worker, "ray::Worker", raylet, 4.0)
    proc.run(loader, "pt_data_worker", worker, 2.0)
    proc.run(logger, "gcs_server", DRIVER, 2.0)

    assert watch.verdict() == Verdict("exclusive")
    assert watch.own_pids() == {DRIVER, raylet, worker, loader, logger, os.getpid()}


def test_the_node_of_a_cluster_that_the_search_joined_is_ours_too(proc: FakeProc) -> None:
    raylet, worker, other = range(DRIVER + 1, DRIVER + 4)
    proc.run(raylet, "raylet", 1)
    proc.run(worker, "ray::Worker", raylet)
    proc.run(other, "ray::Worker", raylet)

    assert CpuWatch(proc.root, DRIVER, own_pid=worker).own_pids() == {DRIVER, raylet, worker, other}


def test_what_else_was_started_from_the_same_shell_is_foreign(proc: FakeProc) -> None:
    proc.run(STRANGER, "stress", SHELL)

    assert CpuWatch(proc.root, DRIVER, own_pid=DRIVER).own_pids() == {DRIVER}


def test_a_proc_without_figures_is_unverifiable(proc: FakeProc) -> None:
    for text in ("intr 5\n", "cpu 1 2 3\n", "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0\n"):
        (proc.root / "proc/stat").write_text(text)
        watch = CpuWatch(proc.root, DRIVER)
        watch.begin()
        assert watch.verdict().state == "unverifiable"
    (proc.root / "proc/stat").unlink()
    assert "does not say how busy" in CpuWatch(proc.root, DRIVER).verdict().reason


def test_containers_that_show_less_than_the_machine_are_unverifiable(proc: FakeProc) -> None:
    assert watch_cpu(proc, busy_s=1.0, driver=8.0).state == "unverifiable"

    (proc.root / "proc/mounts").write_text("overlay / overlay rw 0 0\nlxcfs /proc/stat fuse.lxcfs rw 0 0\n")
    found = watch_cpu(proc, busy_s=10.0, driver=10.0)
    assert (found.state, "counts this container alone" in found.reason) == ("unverifiable", True)


def test_this_process_is_its_own_driver_where_none_is_named() -> None:
    assert os.getpid() in CpuWatch().own_pids()


def watch_gpu(proc: FakeProc, first: list[int] | None, last: list[int] | None, gone: int | None = None) -> Verdict:
    """Watch a GPU that lists `first` and later `last`; `gone` is a process that ends meanwhile."""
    clock = VirtualClock()
    gpu = FakeGpu(PowerTrace(100.0), process_ids=first)
    with NvmlMeter(nvml=FakeNvml(clock, gpu), clock=clock) as meter:
        watch = GpuWatch(meter, proc.root, DRIVER)
        watch.begin()
        gpu.process_ids = last
        if gone is not None:
            (proc.root / f"proc/{gone}/stat").unlink()
            (proc.root / f"proc/{gone}").rmdir()
        return watch.verdict()


CHILD, ELSEWHERE = DRIVER + 1, [9_900_001, 9_900_002, 9_900_003, 9_900_004]


@pytest.mark.parametrize(
    ("first", "last", "gone", "state", "reason"),
    [
        ([DRIVER], [DRIVER, CHILD], None, "exclusive", ""),
        ([CHILD], [DRIVER], CHILD, "exclusive", ""),
        ([DRIVER], [DRIVER, STRANGER], None, "violated", f"others are on the GPU: processes {STRANGER}"),
        ([STRANGER], [DRIVER], None, "violated", f"others are on the GPU: processes {STRANGER}"),
        ([STRANGER], [DRIVER], STRANGER, "violated", f"others are on the GPU: processes {STRANGER}"),
        (None, None, None, "unverifiable", "does not list"),
        ([DRIVER], None, None, "unverifiable", "does not list"),
        ([], [], None, "unverifiable", "not even ours"),
        (ELSEWHERE, ELSEWHERE, None, "unverifiable", "9900001, 9900002, 9900003 and 1 more on the GPU are not of this"),
    ],
    ids=["ours", "our-child-ended", "came", "left", "ended", "no-list", "list-lost", "empty-list", "ids-of-elsewhere"],
)
def test_a_gpu_is_ours_if_its_processes_are(
    proc: FakeProc, *, first: list[int] | None, last: list[int] | None, gone: int | None, state: str, reason: str
) -> None:
    proc.run(CHILD, "ray::Worker", DRIVER)

    found = watch_gpu(proc, first, last, gone)
    assert (found.state, reason in found.reason) == (state, True)


class Fixed:
    """A watch that was told what to say."""

    def __init__(self, verdict: Verdict) -> None:
        self._verdict, self.has_begun = verdict, False

    def begin(self) -> None:
        self.has_begun = True

    def verdict(self) -> Verdict:
        return self._verdict


GOOD, DOUBT = Fixed(Verdict("exclusive")), Fixed(Verdict("unverifiable", "no list"))
BAD, WORSE = Fixed(Verdict("violated", "cc1plus")), Fixed(Verdict("violated", "blender"))


@pytest.mark.parametrize(
    ("watches", "verdict"),
    [
        ([], Verdict("exclusive")),
        ([GOOD, GOOD], Verdict("exclusive")),
        ([GOOD, DOUBT], Verdict("unverifiable", "no list")),
        ([BAD, DOUBT, GOOD, WORSE], Verdict("violated", "cc1plus; blender")),
    ],
)
def test_of_several_watches_the_worst_verdict_counts(watches: list[Fixed], verdict: Verdict) -> None:
    together = AllWatches(watches)
    together.begin()

    assert all(watch.has_begun for watch in watches)
    assert together.verdict() == verdict


def test_a_meter_is_watched_on_all_that_it_counts(proc: FakeProc) -> None:
    clock = VirtualClock()
    gpu = FakeGpu(PowerTrace(100.0), process_ids=[DRIVER])
    with NvmlMeter(nvml=FakeNvml(clock, gpu), clock=clock) as meter:
        assert isinstance(watch_for(meter, proc.root, DRIVER, 0.02, clock=clock), GpuWatch)

        meter.info = replace(meter.info, scope="gpu+cpu")
        both = watch_for(meter, proc.root, DRIVER, 0.02, clock=clock)
        both.begin()
        clock.sleep(10.0)
        proc.spend(5.0)
        assert both.verdict().reason.startswith("others took 25.0% of the CPU time")  # the GPU is ours

        meter.info = replace(meter.info, scope="cpu")
        assert isinstance(watch_for(meter, proc.root, DRIVER, 0.02, clock=clock), CpuWatch)
        for_gpu = watch_for(meter, proc.root, DRIVER, 0.02, clock=clock, computes_on="GPU-1+cpu:a")
        for_gpu.begin()
        assert for_gpu.verdict() == Verdict(
            "unverifiable", f"meter '{meter.info.name}' does not say who else is on the GPU"
        )


def test_a_name_that_was_cut_within_a_letter_is_read(proc: FakeProc) -> None:
    stat = proc.root / "proc" / str(STRANGER) / "stat"
    stat.write_bytes(stat.read_bytes().replace(b"odd", "odd中".encode()[:-1]))
    assert CpuWatch(proc.root, DRIVER).own_pids() >= {DRIVER}
    assert watch_cpu(proc, busy_s=0.0).state == "exclusive"
