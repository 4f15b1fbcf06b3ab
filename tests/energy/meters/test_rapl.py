"""Packages and their DRAM are added, each once; what cannot be trusted gives no number."""

import errno
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from fake_powercap import FULL, INTEL_RANGE_UJ, FakePowercap
from hypothesis import given, settings
from hypothesis import strategies as st

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.meters.rapl import RaplMeter, host_identity
from ecoNAS.errors import MeasurementError, MeterError

AMD_RANGE_UJ = 65_712_999_613
SERVER = {
    "intel-rapl:0": "package-0",
    "intel-rapl:0:0": "dram",
    "intel-rapl:1": "package-1",
    "intel-rapl:1:0": "dram",
}


@pytest.mark.parametrize(
    ("domains", "gained_j", "total_j", "scope"),
    [
        ({"intel-rapl:0": "package-0"}, {"intel-rapl:0": 9.0}, 9.0, "package"),
        (FULL, {"intel-rapl:0": 10.0, "intel-rapl:0:0": 6.0, "intel-rapl:0:1": 2.0}, 12.0, "package+dram"),
        (FULL | {"intel-rapl:0:2": "uncore"}, {"intel-rapl:0": 10.0, "intel-rapl:0:2": 3.0}, 10.0, "package+dram"),
        (
            SERVER,
            {"intel-rapl:0": 10.0, "intel-rapl:0:0": 1.0, "intel-rapl:1": 20.0, "intel-rapl:1:0": 2.0},
            33.0,
            "package+dram",
        ),
        (  # psys holds the package, and a tool once took it for a second CPU
            {"intel-rapl:0": "package-0", "intel-rapl:1": "psys"},
            {"intel-rapl:0": 10.0, "intel-rapl:1": 25.0},
            10.0,
            "package",
        ),
        (
            FULL | {"intel-rapl-mmio:0": "package-0", "intel-rapl-mmio:0:0": "dram"},
            {"intel-rapl:0": 10.0, "intel-rapl-mmio:0": 10.0, "intel-rapl:0:1": 2.0, "intel-rapl-mmio:0:0": 2.0},
            12.0,
            "package+dram",
        ),
        (  # two dies of one socket are two packages
            {"intel-rapl:0": "package-0-die-0", "intel-rapl:1": "package-0-die-1"},
            {"intel-rapl:0": 4.0, "intel-rapl:1": 5.0},
            9.0,
            "package",
        ),
    ],
)
def test_packages_and_dram_are_added_and_nothing_else_is(
    tmp_path: Path, domains: Mapping[str, str], gained_j: dict[str, float], total_j: float, scope: str
) -> None:
    tree, clock = FakePowercap(tmp_path, domains), VirtualClock(5.0)
    meter = RaplMeter(tmp_path, clock)
    assert meter.info.scope == scope
    with meter:
        clock.sleep(1.0)
        tree.add(gained_j)
        reading = meter.read()
    assert (reading.energy_j, reading.time_s) == (pytest.approx(total_j), 6.0)


def test_it_says_which_counters_of_which_machine_it_adds(tmp_path: Path) -> None:
    FakePowercap(tmp_path, SERVER)
    info = RaplMeter(tmp_path).info
    assert info.domains == (
        "package-0 (intel-rapl:0)",
        "dram (intel-rapl:0:0)",
        "package-1 (intel-rapl:1)",
        "dram (intel-rapl:1:0)",
    )
    assert (info.device, info.device_name) == ("cpu:3eb1bd439947", "Fake CPU")  # of the machine-id, by sha256sum


def test_without_a_machine_id_the_identity_is_of_the_cpu(tmp_path: Path) -> None:
    FakePowercap(tmp_path)
    (tmp_path / "etc/machine-id").unlink()
    one = host_identity(tmp_path)
    (tmp_path / "proc/cpuinfo").write_text("model name\t: Another CPU\n")
    assert one.startswith("cpu:")
    assert host_identity(tmp_path) not in (one, "cpu:3eb1bd439947")


@settings(max_examples=60, deadline=None)
@given(
    range_uj=st.sampled_from([INTEL_RANGE_UJ, AMD_RANGE_UJ]),
    before_end_j=st.tuples(st.integers(0, 2000), st.integers(0, 2000)),
    steps_j=st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 1500)), min_size=1, max_size=12),
)
def test_a_wrap_of_any_domain_at_any_reading_leaves_the_sum_exact(
    tmp_path_factory: pytest.TempPathFactory,
    range_uj: int,
    before_end_j: tuple[int, int],
    steps_j: list[tuple[int, int]],
) -> None:
    tree, clock = FakePowercap(tmp_path_factory.mktemp("tree"), range_uj=range_uj), VirtualClock()
    for folder, left_j in zip(("intel-rapl:0", "intel-rapl:0:1"), before_end_j, strict=True):
        tree.set(folder, range_uj - left_j * 1_000_000)
    spent_j = 0
    with RaplMeter(tree.root, clock) as meter:
        for package_j, dram_j in steps_j:
            clock.sleep(1.0)
            tree.add({"intel-rapl:0": package_j, "intel-rapl:0:1": dram_j})
            spent_j += package_j + dram_j
            assert meter.read().energy_j == pytest.approx(spent_j, abs=1e-4)


def test_a_wrap_between_the_readings_of_two_domains_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, clock, pread = FakePowercap(tmp_path), VirtualClock(), os.pread
    tree.set("intel-rapl:0", INTEL_RANGE_UJ - 1_000_000)
    tree.set("intel-rapl:0:1", INTEL_RANGE_UJ - 1_000_000)
    with RaplMeter(tmp_path, clock) as meter:

        def read_and_count(*arguments: Any) -> bytes:
            shown = pread(*arguments)
            tree.add({"intel-rapl:0": 3.0, "intel-rapl:0:1": 5.0})
            return shown

        monkeypatch.setattr(os, "pread", read_and_count)
        clock.sleep(0.1)
        assert meter.read().energy_j == pytest.approx(0.0 + 5.0)  # the package before its wrap, DRAM after it
        monkeypatch.setattr(os, "pread", pread)
        clock.sleep(0.1)
        assert meter.read().energy_j == pytest.approx(2 * 3.0 + 2 * 5.0)


@pytest.mark.parametrize("folder", ["intel-rapl:0", "intel-rapl:0:1"])
def test_the_wrap_that_once_gave_minus_261895_joules_is_counted(tmp_path: Path, folder: str) -> None:
    tree, clock = FakePowercap(tmp_path), VirtualClock()
    tree.set(folder, 262_100_000_000)
    with RaplMeter(tmp_path, clock) as meter:
        clock.sleep(1.0)
        tree.set(folder, 205_000_000)
        assert meter.read().energy_j == pytest.approx(248.328851)  # 43.328850 J, 1 uJ and 205 J


@pytest.mark.parametrize("folder", ["intel-rapl:0", "intel-rapl:0:1"])
def test_the_reset_that_once_gave_212244_joules_never_yields_a_number(tmp_path: Path, folder: str) -> None:
    tree, clock = FakePowercap(tmp_path), VirtualClock()
    tree.set(folder, 49_899_000_000)
    with RaplMeter(tmp_path, clock) as meter:
        clock.sleep(1.0)
        tree.add({folder: 100.0})
        assert meter.read().energy_j == pytest.approx(100.0)
        tree.set(folder, 100_000_000)
        for _ in range(3):
            clock.sleep(1.0)
            message = rf"counter (package-0|dram) \({folder}\) fell as no wrap explains: it was reset; measure again"
            with pytest.raises(MeasurementError, match=message) as caught:
                meter.read()
            tree.add(1.0)
    # What the other domain counted until it was read last is spent as well: at most 2 J here.
    assert 100.0 <= caught.value.lower_bound_j <= 102.0
    with meter:
        assert meter.read().energy_j == 0


def refuse(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Let the system refuse to open one file; a test that runs as root could not have that by its mode."""
    real = os.open

    def open_others(path: Any, *arguments: Any, **named: Any) -> int:
        if Path(path) == file:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, *arguments, **named)

    monkeypatch.setattr(os, "open", open_others)


@pytest.mark.parametrize("folder", SERVER)
@pytest.mark.parametrize("when", ["made", "opened"])
def test_one_domain_without_permission_refuses_all_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, when: str
) -> None:
    file = FakePowercap(tmp_path, SERVER).folder(folder) / "energy_uj"
    files = f"{tmp_path}/sys/class/powercap/*/energy_uj"
    meter = RaplMeter(tmp_path)
    refuse(monkeypatch, file)
    with pytest.raises(MeterError) as caught:
        RaplMeter(tmp_path) if when == "made" else meter.__enter__()
    assert str(caught.value) == (
        f"{file} is readable by root only (CVE-2020-8694); until the next boot: sudo chmod a+r {files}; "
        f"for good, a line in /etc/tmpfiles.d/rapl.conf: z {files} 0444 - - -"
    )


def test_no_file_stays_open_once_it_is_left_or_could_not_be_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, opened, closed = FakePowercap(tmp_path, SERVER), list[int](), list[int]()
    real_open, real_close = os.open, os.close
    monkeypatch.setattr(os, "open", lambda *arguments: opened.append(real_open(*arguments)) or opened[-1])
    monkeypatch.setattr(os, "close", lambda file: closed.append(file) or real_close(file))
    meter = RaplMeter(tmp_path)
    assert sorted(closed) == sorted(opened)
    with meter:
        assert len(opened) == len(closed) + 4
    (tree.folder("intel-rapl:1") / "max_energy_range_uj").unlink()
    with pytest.raises(MeterError, match="max_energy_range_uj does not say where the counter wraps"):
        meter.__enter__()
    assert sorted(closed) == sorted(opened)
    assert len(opened) == 12


@pytest.mark.parametrize("folder", SERVER)
@pytest.mark.parametrize("remove", [lambda path: (path / "energy_uj").unlink(), shutil.rmtree])
def test_a_domain_that_vanishes_ends_the_measurement(
    tmp_path: Path, folder: str, remove: Callable[[Path], None]
) -> None:
    tree, clock = FakePowercap(tmp_path, SERVER), VirtualClock()
    with RaplMeter(tmp_path, clock) as meter:
        clock.sleep(1.0)
        tree.add(10.0)
        assert meter.read().energy_j == pytest.approx(40.0)
        remove(tree.folder(folder))
        for _ in range(2):
            message = rf"{folder}/energy_uj cannot be read any more: .*No such file"
            with pytest.raises(MeasurementError, match=message) as caught:
                meter.read()
    assert caught.value.lower_bound_j == pytest.approx(40.0)
    with pytest.raises(MeterError):
        meter.__enter__()


def test_a_register_that_the_kernel_took_away_ends_the_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakePowercap(tmp_path)

    def gone(*_: Any) -> bytes:
        raise OSError(errno.ENODEV, "No such device")

    with RaplMeter(tmp_path, VirtualClock()) as meter:
        monkeypatch.setattr(os, "pread", gone)
        with pytest.raises(MeasurementError, match=r"cannot be read any more: .*No such device"):
            meter.read()


@pytest.mark.parametrize(
    ("domains", "message"),
    [
        ({}, r"no .*/sys/class/powercap/intel-rapl:\* \(no Intel or AMD counters, or a virtual machine\)"),
        ({"intel-rapl:0": "psys"}, r"shows no CPU package \(psys alone is another scope"),
    ],
)
def test_a_tree_without_packages_is_refused(tmp_path: Path, domains: dict[str, str], message: str) -> None:
    FakePowercap(tmp_path, domains)
    with pytest.raises(MeterError, match=message):
        RaplMeter(tmp_path)


def test_a_domain_without_a_name_refuses_all_since_it_may_be_part_of_the_sum(tmp_path: Path) -> None:
    tree = FakePowercap(tmp_path, SERVER)
    tree.folder("intel-rapl:2").symlink_to(tmp_path / "hidden by a container")
    with pytest.raises(MeterError, match="intel-rapl:2/name does not answer: No such file or directory; all domains"):
        RaplMeter(tmp_path)


def test_a_register_without_a_number_is_refused(tmp_path: Path) -> None:
    (FakePowercap(tmp_path).folder("intel-rapl:0") / "energy_uj").write_text("\n")
    with pytest.raises(MeterError, match=r"intel-rapl:0/energy_uj does not hold a number"):
        RaplMeter(tmp_path)


def test_the_state_is_what_the_system_shows_and_none_where_it_shows_nothing(tmp_path: Path) -> None:
    FakePowercap(tmp_path, SERVER)
    with RaplMeter(tmp_path, VirtualClock()) as meter:
        state = meter.state()
        assert (state.temperature_c, state.throttled_s, state.power_limit_w, state.clock_mhz) == (None,) * 4
        for file, text in {
            "sys/class/hwmon/hwmon0/name": "coretemp",
            "sys/class/hwmon/hwmon0/temp1_input": "61000",
            "sys/class/hwmon/hwmon1/name": "nvme",
            "sys/class/hwmon/hwmon1/temp1_input": "80000",
            "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_total_time_ms": "250",
            "sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_total_time_ms": "1250",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "2000000",
            "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "3000000",
        }.items():
            put(tmp_path / file, text)
        state = meter.state()
    assert (state.temperature_c, state.throttled_s, state.clock_mhz) == (61.0, 1.25, 2500.0)


def put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{text}\n")


def test_heat_of_one_package_shows_although_the_other_was_hot_for_longer_before(tmp_path: Path) -> None:
    FakePowercap(tmp_path, SERVER)
    cpus = tmp_path / "sys/devices/system/cpu"
    for cpu, package, throttled_ms in ((0, 0, 9000), (1, 0, 9000), (2, 1, 100), (3, 1, 100)):
        put(cpus / f"cpu{cpu}/topology/physical_package_id", str(package))
        put(cpus / f"cpu{cpu}/thermal_throttle/package_throttle_total_time_ms", str(throttled_ms))
    with RaplMeter(tmp_path, VirtualClock()) as meter:
        before_s = meter.state().throttled_s
        for cpu in (2, 3):
            put(cpus / f"cpu{cpu}/thermal_throttle/package_throttle_total_time_ms", "600")
        after_s = meter.state().throttled_s
    assert (before_s, after_s) == (pytest.approx(9.1), pytest.approx(9.6))


@pytest.mark.parametrize(
    ("domains", "limits_w", "limit_w"),
    [
        ({"intel-rapl:0": "package-0"}, {"intel-rapl:0": (150.0,)}, 150.0),
        ({"intel-rapl:0": "package-0"}, {"intel-rapl:0": (15.0, 60.0)}, 60.0),  # for a time it takes the short-term one
        ({"intel-rapl:0": "package-0"}, {"intel-rapl:0": (0.0,)}, None),  # none is set
        (FULL, {"intel-rapl:0": (150.0,)}, None),  # memory comes on top, and nobody knows how much
        (FULL, {"intel-rapl:0": (150.0,), "intel-rapl:0:1": (0.0,)}, None),
        (FULL, {"intel-rapl:0": (150.0,), "intel-rapl:0:1": (40.0,)}, 190.0),
    ],
)
def test_the_limit_is_that_of_all_that_is_counted_or_none(
    tmp_path: Path, domains: Mapping[str, str], limits_w: dict[str, tuple[float, ...]], limit_w: float | None
) -> None:
    tree = FakePowercap(tmp_path, domains)
    for folder, values_w in limits_w.items():
        for number, value_w in enumerate(values_w):
            put(tree.folder(folder) / f"constraint_{number}_power_limit_uw", str(int(value_w * 1e6)))
    with RaplMeter(tmp_path, VirtualClock()) as meter:
        found_w = meter.state().power_limit_w
    assert found_w == (None if limit_w is None else pytest.approx(limit_w))
