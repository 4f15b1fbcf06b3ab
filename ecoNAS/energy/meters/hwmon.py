"""hwmon: energy and power sensors of boards, as Linux shows them under /sys/class/hwmon.

A sensor is known by the name of its chip and its label, since the numbers of hwmon folders move between boots. Energy
is in microjoules, power in microwatts (Linux kernel, Documentation/hwmon/sysfs-interface.rst).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn, Self

from ecoNAS.energy.clock import REAL_CLOCK, Clock
from ecoNAS.energy.meter import Reading
from ecoNAS.energy.meters.integral import PowerIntegral
from ecoNAS.energy.meters.rapl import host_identity
from ecoNAS.errors import MeasurementError, MeterError
from ecoNAS.measurement import DeviceState, MeterInfo

HWMON: Final = "sys/class/hwmon"
MICRO: Final = 1e-6
MAX_GAP_S: Final = 1.0  # between two readings of a power that is integrated
# Chips of GPUs, batteries and ports, which say nothing of what computes on the CPU: only taken by name.
ELSEWHERE: Final = ("amdgpu/", "nouveau/", "i915/", "xe/", "BAT", "ucsi")
ReadText = Callable[[Path], str]


@dataclass(frozen=True, slots=True)
class Sensor:
    """One file that counts joules or shows watts."""

    name: str
    path: Path

    @property
    def counts(self) -> bool:
        """Whether it counts joules."""
        return self.path.name.startswith("energy")


def find_sensors(root: Path, read_text: ReadText = Path.read_text) -> tuple[tuple[Sensor, ...], ...]:
    """Return the sensors of energy, those of power, and those of averaged power; each named `chip/label`."""
    kinds = []
    for pattern in ("energy*_input", "power*_input", "power*_average"):
        found = []
        for path in sorted((root / HWMON).glob(f"*/{pattern}")):
            chip = _text(path.parent / "name", read_text) or path.parent.name
            label = _text(path.with_name(path.name.rpartition("_")[0] + "_label"), read_text)
            found.append(Sensor(f"{chip}/{label or path.name.rpartition('_')[0]}", path))
        kinds.append(tuple(found))
    return tuple(kinds)


class HwmonMeter:
    """One sensor of a board.

    Args:
        root: Where `sys` lies.
        sensor: Its name, `chip/label`; None for the only one that is not of a GPU, a battery or a port.
        clock: Whose seconds it shows.
        read_text: Reads a file; tests replace it, since root may read everything.

    Raises:
        MeterError: if there is none, or several to choose from, or it cannot be read, with the remedy.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        sensor: str | None = None,
        clock: Clock = REAL_CLOCK,
        read_text: ReadText = Path.read_text,
    ) -> None:
        self._clock, self._read_text = clock, read_text
        self._sensor = _choose(find_sensors(root, read_text), sensor, root)
        self._first_value()
        self.info = MeterInfo(
            name="hwmon",
            kind="measured",
            method="energy_counter" if self._sensor.counts else "integrated_power",
            scope=f"board sensor {self._sensor.name}",
            device=f"{host_identity(root)}:{self._sensor.name}",
            domains=(self._sensor.name,),
            device_name=self._sensor.name,
            driver="hwmon",
        )
        self._first_j: float | None = None
        self._latest_j = 0.0
        self._integral: PowerIntegral | None = None
        self._failure = ""

    def read(self) -> Reading:
        """Return joules since it was opened."""
        self._require_open()
        if self._failure:
            raise MeasurementError(self._failure, self._latest_j)
        now_s = self._clock.now_s()
        value = self._next_value()
        if self._integral is not None:
            self._latest_j = self._integral.advance(value, now_s)
        else:
            assert self._first_j is not None
            if value - self._first_j < self._latest_j:
                self._refuse("ran backward: it was reset, or it wrapped, and nothing says where it does")
            self._latest_j = value - self._first_j
        return Reading(self._latest_j, now_s)

    def state(self) -> DeviceState:
        """Return the power, where the sensor shows it; it says nothing else of the device."""
        self._require_open()
        return DeviceState(power_w=None if self._sensor.counts else self._next_value())

    def __enter__(self) -> Self:
        """Note what it shows."""
        value, self._latest_j, self._failure = self._first_value(), 0.0, ""
        self._first_j = value
        if not self._sensor.counts:
            self._integral = PowerIntegral(self._sensor.name, value, self._clock.now_s(), MAX_GAP_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Forget it."""
        self._first_j = self._integral = None

    def _require_open(self) -> None:
        if self._first_j is None:
            raise MeterError("meter 'hwmon' is not open; read it inside `with meter:`")

    def _first_value(self) -> float:
        path = self._sensor.path
        try:
            return self._value()
        except PermissionError:
            raise MeterError(f"{path} is not readable by this user; sudo chmod a+r {path}") from None
        except OSError as error:
            raise MeterError(f"{path} does not answer: {error.strerror}") from None
        except ValueError:
            raise MeterError(f"{path} does not hold a number") from None

    def _next_value(self) -> float:
        try:
            return self._value()
        except (OSError, ValueError) as error:
            self._refuse(f"cannot be read any more: {error}")

    def _value(self) -> float:
        """Return joules or watts."""
        return int(self._read_text(self._sensor.path)) * MICRO

    def _refuse(self, what: str) -> NoReturn:
        self._failure = f"sensor {self._sensor.name} {what}; measure again"
        raise MeasurementError(self._failure, self._latest_j)


def _choose(kinds: tuple[tuple[Sensor, ...], ...], name: str | None, root: Path) -> Sensor:
    """Return the sensor of that name, of the best kind that has it; without a name, the only one of the best kind."""
    for kind in kinds:
        chosen = [
            sensor for sensor in kind if sensor.name == name or (name is None and not sensor.name.startswith(ELSEWHERE))
        ]
        if len(chosen) == 1:
            return chosen[0]
        if chosen and name is not None:
            files = ", ".join(str(sensor.path) for sensor in chosen)
            raise MeterError(f"several sensors are named '{name}', and which is which may move between boots: {files}")
        if chosen:
            listed = ", ".join(sensor.name for sensor in chosen)
            raise MeterError(f"several sensors; choose with energy: {{device: NAME}}: {listed}")
    if not any(kinds):
        raise MeterError(f"no energy*_input nor power*_input below {root / HWMON} (no such sensor on this board)")
    listed = ", ".join(dict.fromkeys(sensor.name for kind in kinds for sensor in kind))
    if name is None:
        raise MeterError(f"only a GPU, a battery or a port has sensors; choose with energy: {{device: NAME}}: {listed}")
    raise MeterError(f"no sensor '{name}' here; those that are: {listed}")


def _text(path: Path, read_text: ReadText) -> str:
    try:
        return read_text(path).strip()
    except OSError:
        return ""
