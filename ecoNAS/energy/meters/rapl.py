"""RAPL: the energy counters of CPU packages and their DRAM, as Linux shows them under powercap.

Packages are added up, and DRAM beside them; cores and uncore are within a package, psys holds everything, and
intel-rapl-mmio shows the same package again: none of these is ever added. A domain that cannot be read refuses the
whole meter: a sum over the rest would be a wrong sum. (Linux kernel, Documentation/power/powercap/powercap.rst.)
"""

import errno
import hashlib
import os
import platform
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.meter import Reading
from ecoNAS.energy.meters.counter import MICRO, WrappingCounter
from ecoNAS.errors import MeasurementError, MeterError
from ecoNAS.measurement import DeviceState, MeterInfo

POWERCAP: Final = "sys/class/powercap"


@dataclass(frozen=True, slots=True)
class Domain:
    """One counter: `package-0` or `dram` of a package."""

    name: str
    path: Path

    @property
    def label(self) -> str:
        """The name with the id that the system gives it."""
        return f"{self.name} ({self.path.name})"

    @property
    def counter(self) -> Path:
        """The file of the register."""
        return self.path / "energy_uj"


def find_domains(root: Path) -> tuple[Domain, ...]:
    """Return the domains whose sum is the energy of all packages and their DRAM, each once.

    Raises:
        MeterError: if one does not say its name, for it may be part of the sum.
    """
    tree = root / POWERCAP
    found: dict[str, Domain] = {}
    for path in sorted(tree.glob("intel-rapl:*")):
        try:
            name = (path / "name").read_text().strip()
        except OSError as error:  # also where a container hides what the links of the tree point to
            raise MeterError(f"{path / 'name'} does not answer: {error.strerror}; all domains count or none") from None
        parent = path.name.rpartition(":")[0] if path.name.count(":") == 2 else ""
        is_package = not parent and name.startswith("package")
        if is_package or (parent and name == "dram"):
            found.setdefault(f"{parent}/{name}", Domain(name, path))
    return tuple(found.values())


def host_identity(root: Path = Path("/")) -> str:
    """Return `cpu:` and 12 hex digits that stay with a machine: of its machine-id, else of its name and CPU."""
    try:
        identity = (root / "etc/machine-id").read_text().strip()
    except OSError:
        identity = ""
    identity = identity or f"{platform.node()} {cpu_name(root)}"
    return f"cpu:{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def cpu_name(root: Path = Path("/")) -> str:
    """Return the model of the CPU."""
    try:
        lines = (root / "proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


class RaplMeter:
    """All packages of the machine and their DRAM.

    It must be read more often than a register can wrap (see `counter`).

    Args:
        root: Where `sys`, `proc` and `etc` lie.
        clock: Whose seconds it shows.

    Raises:
        MeterError: if there are no packages, or one of the counters cannot be read, with the remedy.
    """

    def __init__(self, root: Path = Path("/"), clock: Clock = REAL_CLOCK) -> None:
        self._root, self._clock = root, clock
        self._domains = find_domains(root)
        if not any(domain.name.startswith("package") for domain in self._domains):
            raise MeterError(self._why_none())
        for domain in self._domains:
            with ExitStack() as files:
                self._open(domain, files)
        names = ["package"] + (["dram"] if any(domain.name == "dram" for domain in self._domains) else [])
        self.info = MeterInfo(
            name="rapl",
            kind="measured",
            method="rapl",
            scope="+".join(names),
            device=host_identity(root),
            domains=tuple(domain.label for domain in self._domains),
            device_name=cpu_name(root),
            driver=f"powercap, Linux {platform.release()}",
        )
        self._files = ExitStack()
        self._registers: list[_Register] = []
        self._counters: list[WrappingCounter] = []

    def read(self) -> Reading:
        """Return the sum of all domains."""
        self._require_open()
        now_s = self._clock.now_s()
        total_j = 0.0
        for register, counter in zip(self._registers, self._counters, strict=True):
            try:
                raw_uj = register.read_uj()
            except (OSError, ValueError) as error:
                raise MeasurementError(
                    f"{register.path} cannot be read any more: {error}", sum(item.energy_j for item in self._counters)
                ) from None
            try:
                total_j += counter.advance(raw_uj, now_s)
            except MeasurementError as error:
                raise MeasurementError(error.args[0], sum(item.energy_j for item in self._counters)) from None
        return Reading(total_j, now_s)

    def state(self) -> DeviceState:
        """Return temperature, throttling, power limit and clock, as far as the system shows them."""
        self._require_open()
        return DeviceState(
            temperature_c=self._temperature_c(),
            throttled_s=self._throttled_s(),
            power_limit_w=self._power_limit_w(),
            clock_mhz=self._clock_mhz(),
        )

    def __enter__(self) -> Self:
        """Note where the registers stand."""
        now_s = self._clock.now_s()
        with ExitStack() as files:
            opened = [self._open(domain, files) for domain in self._domains]
            self._counters = [
                WrappingCounter(domain.label, first_uj, self._range_uj(domain), now_s)
                for domain, (_, first_uj) in zip(self._domains, opened, strict=True)
            ]
            self._registers = [register for register, _ in opened]
            self._files = files.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Forget them."""
        self._registers, self._counters = [], []
        self._files.close()

    def _require_open(self) -> None:
        if not self._counters:
            raise MeterError("meter 'rapl' is not open; read it inside `with meter:`")

    def _why_none(self) -> str:
        tree = self._root / POWERCAP
        if any(tree.glob("intel-rapl*")):
            return f"{tree} shows no CPU package (psys alone is another scope: the whole board, and nothing beside it)"
        return f"no {tree}/intel-rapl:* (no Intel or AMD counters, or a virtual machine)"

    def _open(self, domain: Domain, files: ExitStack) -> tuple["_Register", int]:
        """Return the open register, which `files` will close, and its first value."""
        try:
            register = _Register(domain.counter)
            files.callback(register.close)
            return register, register.read_uj()
        except PermissionError:
            every = f"{self._root / POWERCAP}/*/energy_uj"
            raise MeterError(
                f"{domain.counter} is readable by root only (CVE-2020-8694); until the next boot: "
                f"sudo chmod a+r {every}; for good, a line in /etc/tmpfiles.d/rapl.conf: z {every} 0444 - - -"
            ) from None
        except OSError as error:
            raise MeterError(f"{domain.counter} does not answer: {error.strerror}") from None
        except ValueError:
            raise MeterError(f"{domain.counter} does not hold a number") from None

    def _range_uj(self, domain: Domain) -> int:
        found = self._number(domain.path / "max_energy_range_uj")
        if found is None or found <= 0:
            raise MeterError(f"{domain.path / 'max_energy_range_uj'} does not say where the counter wraps")
        return int(found)

    def _temperature_c(self) -> float | None:
        """Return the hottest package that coretemp or k10temp shows."""
        found = []
        for folder in (self._root / "sys/class/hwmon").glob("hwmon*"):
            if self._text(folder / "name") in ("coretemp", "k10temp"):
                found += [self._number(path) for path in folder.glob("temp1_input")]
        return max((value / 1000 for value in found if value is not None), default=None)

    def _throttled_s(self) -> float | None:
        """Return the packages' seconds of thermal throttling, added up; None where they are not counted."""
        found: dict[str, float] = {}  # by package, each of whose CPUs shows the same
        for path in (self._root / "sys/devices/system/cpu").glob(
            "cpu[0-9]*/thermal_throttle/package_throttle_total_time_ms"
        ):
            if (value := self._number(path)) is not None:
                package = self._text(path.parents[1] / "topology/physical_package_id")
                found[package] = max(found.get(package, 0.0), value / 1000)
        return sum(found.values()) if found else None

    def _power_limit_w(self) -> float | None:
        """Return the limits of all domains, added up; None where one of them has none.

        For seconds to minutes a package may take its short-term limit, which lies above the long-term one.
        """
        limits = []
        for domain in self._domains:
            found = [self._number(domain.path / f"constraint_{number}_power_limit_uw") for number in (0, 1)]
            limits.append(max((limit for limit in found if limit is not None), default=0.0))
        return sum(limits) * MICRO if all(limit > 0 for limit in limits) else None

    def _clock_mhz(self) -> float | None:
        files = (self._root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq")
        clocks = [value / 1000 for path in files if (value := self._number(path)) is not None]
        return sum(clocks) / len(clocks) if clocks else None

    def _number(self, path: Path) -> float | None:
        try:
            return float(path.read_text())
        except (OSError, ValueError):
            return None

    def _text(self, path: Path) -> str:
        try:
            return path.read_text().strip()
        except OSError:
            return ""


class _Register:
    """The open file of a counter: to open it for every value takes four times as long as to read it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDONLY)

    def read_uj(self) -> int:
        """Return micro-joules; raises OSError once the file is gone."""
        # sysfs refuses to read what is gone; on other file systems an open file outlives its name, and stands still.
        if os.fstat(self._file).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return int(os.pread(self._file, 32, 0))

    def close(self) -> None:
        os.close(self._file)
