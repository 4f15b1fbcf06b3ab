"""Whether a device was ours alone while it was measured: verified, not assumed.

On a CPU the busy time of the whole machine is held against that of our own processes; on a GPU the list of processes
that use it. What is done with a verdict (measure again, refuse) is decided by `profile`.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.meter import EnergyMeter
from ecoNAS.measurement import Exclusivity

# `ticks` of /proc are USER_HZ, 100 per second on every Linux that matters (proc(5)).
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
MAX_NAMED: Final = 3
RAY_NODE: Final = "raylet"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a device was ours alone, and what speaks against it."""

    state: Exclusivity
    reason: str = ""


class Watch(Protocol):
    """Looks whether others were on a device between two moments."""

    def begin(self) -> None:
        """Start to look."""
        ...

    def verdict(self) -> Verdict:
        """Return what was seen since `begin`."""
        ...


@dataclass(frozen=True, slots=True)
class _Process:
    """One process: CPU seconds with those of the children that it waited for."""

    name: str
    parent: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class _Seen:
    """CPU seconds of the machine and of its processes at one moment."""

    time_s: float
    busy_s: float
    num_cpus: int
    processes: Mapping[int, _Process]


class CpuWatch:
    """Holds the busy time of all CPUs against that of our processes.

    Ours are the driver and the Ray node that this process works for, with all that descend from them. Where the search
    started Ray its processes are the driver's; where it joined a cluster they are not.

    Args:
        root: Where `proc` lies.
        driver_pid: The process that runs the search; None for this one.
        share: What others may take of the CPU time.
        clock: Whose seconds pass.
        own_pid: This process.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        driver_pid: int | None = None,
        share: float = 0.02,
        clock: Clock = REAL_CLOCK,
        *,
        own_pid: int | None = None,
    ) -> None:
        self._proc = root / "proc"
        self._own_pid = own_pid or os.getpid()
        self._driver_pid = driver_pid or self._own_pid
        self._share, self._clock = share, clock
        self._first: _Seen | None = None

    def begin(self) -> None:
        """Note what was spent so far."""
        self._first = self._look()

    def verdict(self) -> Verdict:
        """Return whether others took more than their share since `begin`; `unverifiable` where /proc does not say."""
        first, last = self._first, self._look()
        if first is None or last is None:
            return Verdict("unverifiable", f"{self._proc / 'stat'} does not say how busy the CPUs are")
        if self._is_of_container():
            return Verdict("unverifiable", f"{self._proc / 'stat'} counts this container alone")
        busy_s, own_s = last.busy_s - first.busy_s, self._own_s(last) - self._own_s(first)
        capacity_s = last.num_cpus * (last.time_s - first.time_s)
        resolution_s = (last.num_cpus + 2) / TICKS_PER_S
        if own_s - busy_s > self._share * capacity_s + resolution_s:
            return Verdict("unverifiable", f"{self._proc / 'stat'} counts less than our own processes took")
        others_s = busy_s - own_s
        if others_s <= self._share * capacity_s + resolution_s:
            return Verdict("exclusive")
        return Verdict(
            "violated",
            f"others took {others_s / capacity_s:.1%} of the CPU time, at most {self._share:.0%} may be theirs"
            f"{self._name_others(first, last)}",
        )

    def own_pids(self) -> set[int]:
        """Return the ids of our processes, right now."""
        seen = self._look()
        return self._own(seen) if seen is not None else {self._driver_pid, os.getpid()}

    def _own(self, seen: _Seen) -> set[int]:
        """Return the process ids that are ours."""
        processes, own = seen.processes, {self._driver_pid, self._own_pid}
        above = processes.get(self._own_pid)
        while above is not None:
            if processes.get(above.parent) is not None and processes[above.parent].name == RAY_NODE:
                own.add(above.parent)
            above = processes.get(above.parent)
        while found := {pid for pid, process in processes.items() if process.parent in own} - own:
            own |= found
        return own

    def _own_s(self, seen: _Seen) -> float:
        own = self._own(seen)
        return sum(process.cpu_s for pid, process in seen.processes.items() if pid in own)

    def _name_others(self, first: _Seen, last: _Seen) -> str:
        """Return the busiest of the others, by name and process id, as far as they can be seen from here."""
        own = self._own(last)
        spent = {
            pid: process.cpu_s - (first.processes[pid].cpu_s if pid in first.processes else 0.0)
            for pid, process in last.processes.items()
            if pid not in own
        }
        busiest = sorted(spent, key=lambda pid: -spent[pid])[:MAX_NAMED]
        named = [f"{last.processes[pid].name} ({pid})" for pid in busiest if spent[pid] > 1 / TICKS_PER_S]
        return f": {', '.join(named)}" if named else ""

    def _is_of_container(self) -> bool:
        """Whether something was mounted over /proc/stat, as lxcfs does in containers."""
        try:
            lines = (self._proc / "mounts").read_text(errors="replace").splitlines()
        except OSError:
            return False
        return any(line.split()[1:2] == ["/proc/stat"] for line in lines)

    def _look(self) -> _Seen | None:
        try:
            lines = (self._proc / "stat").read_text().splitlines()
        except OSError:
            return None
        # cpu user nice system idle iowait irq softirq steal guest guest_nice; guests are within user, nice (proc(5)).
        fields = next((line.split()[1:] for line in lines if line.startswith("cpu ")), [])
        if len(fields) < 7 or not any(int(field) for field in fields):  # some sandboxes show zeros
            return None
        user, nice, system, _, _, irq, softirq = (int(field) for field in fields[:7])
        num_cpus = sum(line.startswith("cpu") for line in lines) - 1
        busy_s = (user + nice + system + irq + softirq) / TICKS_PER_S
        return _Seen(self._clock.now_s(), busy_s, max(num_cpus, 1), self._processes())

    def _processes(self) -> dict[int, _Process]:
        found = {}
        for path in self._proc.iterdir():
            if path.name.isdigit() and (process := _read_process(path)) is not None:
                found[int(path.name)] = process
        return found


class GpuWatch:
    """Looks who else uses a GPU, at both ends of each stretch.

    Args:
        meter: Of the GPU, open.
        root: Where `proc` lies.
        driver_pid: The process that runs the search; None for this one.
    """

    def __init__(self, meter: EnergyMeter, root: Path = Path("/"), driver_pid: int | None = None) -> None:
        self._meter = meter
        self._tree = CpuWatch(root, driver_pid)
        self._proc = root / "proc"
        self._first: frozenset[int] | None = None
        self._first_own = set[int]()
        self._first_visible = set[int]()

    def begin(self) -> None:
        """Note who is there, and what is known of them, as they may be gone at the end."""
        self._first = self._meter.state().process_ids
        self._first_own = self._tree.own_pids()
        self._first_visible = {pid for pid in self._first or () if self._is_visible(pid)}

    def verdict(self) -> Verdict:
        """Return whether all processes on the GPU were ours; `unverifiable` where their ids are of elsewhere."""
        last = self._meter.state().process_ids
        found = None if last is None or self._first is None else last | self._first
        if found is None:
            return Verdict("unverifiable", "the driver does not list the processes on the GPU")
        if not found:
            return Verdict("unverifiable", "the driver lists no process on the GPU, not even ours: a container")
        foreign = sorted(found - self._first_own - self._tree.own_pids())
        if not foreign:
            return Verdict("exclusive")
        if not any(pid in self._first_visible or self._is_visible(pid) for pid in foreign):
            return Verdict("unverifiable", f"processes {_listed(foreign)} on the GPU are not of this container")
        return Verdict("violated", f"others are on the GPU: processes {_listed(foreign)}")

    def _is_visible(self, pid: int) -> bool:
        return (self._proc / str(pid)).exists()


class AllWatches:
    """Several watches as one: the worst verdict counts."""

    def __init__(self, watches: Sequence[Watch]) -> None:
        self._watches = watches

    def begin(self) -> None:
        """Begin all."""
        for watch in self._watches:
            watch.begin()

    def verdict(self) -> Verdict:
        """Return the worst verdict, with the reasons of all that are as bad."""
        verdicts = [watch.verdict() for watch in self._watches]
        for state in ("violated", "unverifiable"):
            reasons = [verdict.reason for verdict in verdicts if verdict.state == state]
            if reasons:
                return Verdict("violated" if state == "violated" else "unverifiable", "; ".join(reasons))
        return Verdict("exclusive")


class Blind:
    """Stands where nobody can look: what it says is never that a device was ours alone.

    Args:
        reason: Why nobody can.
    """

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def begin(self) -> None:
        """Do nothing."""

    def verdict(self) -> Verdict:
        """Return that it could not be verified."""
        return Verdict("unverifiable", self._reason)


def watch_for(
    meter: EnergyMeter,
    root: Path,
    driver_pid: int | None,
    share: float,
    *,
    clock: Clock = REAL_CLOCK,
    computes_on: str = "",
) -> Watch:
    """Return what watches over everything that a meter counts, and over the GPU that computes.

    Args:
        meter: Open, or about to be.
        root: Where `proc` lies.
        driver_pid: The process that runs the search; None for this one.
        share: What others may take of the CPU time.
        clock: Whose seconds pass.
        computes_on: Identities of the devices that compute, joined by `+`.
    """
    parts = meter.info.scope.split("+")
    watches: list[Watch] = [GpuWatch(meter, root, driver_pid)] if "gpu" in parts else []
    if parts != ["gpu"]:
        watches.append(CpuWatch(root, driver_pid, share, clock))
    if "gpu" not in parts and "GPU-" in computes_on:
        watches.append(Blind(f"meter '{meter.info.name}' does not say who else is on the GPU"))
    return watches[0] if len(watches) == 1 else AllWatches(watches)


def _read_process(path: Path) -> _Process | None:
    """Return what /proc/<pid>/stat says; None for a process that has gone (fields by number in proc(5))."""
    try:
        text = (path / "stat").read_text(errors="replace")  # a name is cut after 15 bytes, maybe within a letter
    except OSError:
        return None
    name, _, rest = text.rpartition(")")  # a name may hold spaces and brackets
    fields = rest.split()
    cpu_s = sum(int(field) for field in fields[11:15]) / TICKS_PER_S  # utime stime cutime cstime
    return _Process(name.partition("(")[2], parent=int(fields[1]), cpu_s=cpu_s)


def _listed(pids: Sequence[int]) -> str:
    shown = ", ".join(str(pid) for pid in pids[:MAX_NAMED])
    return shown + (f" and {len(pids) - MAX_NAMED} more" if len(pids) > MAX_NAMED else "")
