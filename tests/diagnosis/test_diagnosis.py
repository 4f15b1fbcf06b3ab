"""A diagnosis says what is here, what can be measured, and the exact remedy for what cannot."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
from fake_nvml import FakeGpu, FakeNvml
from fake_powercap import FakePowercap
from power_trace import PowerTrace

from ecoNAS.diagnosis import diagnose as diagnosis
from ecoNAS.diagnosis import software_findings
from ecoNAS.diagnosis.device_findings import TorchFacts
from ecoNAS.diagnosis.diagnose import diagnose
from ecoNAS.diagnosis.finding import Diagnosis, Finding
from ecoNAS.diagnosis.software_findings import fits
from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.lane import Lane

UUID = "GPU-00000000-0000-0000-0000-000000000000"
CUDA_12 = TorchFacts("2.6.0+cu124", "12.4", (UUID,))


class Driver(FakeNvml):
    """A fake driver that runs CUDA 12.8 at most."""

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:  # noqa: N802  the name of pynvml
        return 12080


@pytest.fixture(autouse=True)
def lanes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "lanes"
    monkeypatch.setenv("ECONAS_LANES", str(folder))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with an idle CPU and no meter."""
    root = tmp_path / "root"
    write(root / "proc/stat", "cpu  100 0 100 1000 0 0 0 0 0 0\ncpu0 100 0 100 1000 0 0 0 0 0 0\n")
    write(root / "proc/cpuinfo", "processor\t: 0\nmodel name\t: Fake CPU\nphysical id\t: 0\ncore id\t\t: 0\n")
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def sensor(root: Path, number: int, chip: str) -> None:
    write(root / f"sys/class/hwmon/hwmon{number}/name", f"{chip}\n")
    write(root / f"sys/class/hwmon/hwmon{number}/power1_input", "4500000\n")


def gpu(**changes: Any) -> FakeGpu:
    return FakeGpu(PowerTrace(50.0), **{"process_ids": [os.getpid()], **changes})


def look(
    root: Path,
    *gpus: FakeGpu,
    torch: TorchFacts = CUDA_12,
    tree: FakePowercap | None = None,
    has_driver: bool = True,
    quick: bool = False,
) -> Diagnosis:
    """Diagnose a machine whose packages and DRAM count 0.5 J each every 10 ms."""
    clock = VirtualClock()
    counts: AbstractContextManager[None] = clock.every(0.01, lambda: tree.add(0.5)) if tree else nullcontext()
    with counts:
        return diagnose(root, Driver(clock, *gpus, has_driver=has_driver), clock, torch, quick)


def finding(found: Diagnosis, name: str) -> Finding:
    (one,) = (finding for finding in found.findings if finding.name == name)
    return one


def test_a_machine_with_everything_has_all_its_meters_opened_timed_and_checked(root: Path) -> None:
    sensor(root, 0, "ina226")
    found = look(root, gpu(), tree=FakePowercap(root))

    states = {one.name: one.state for one in found.findings if one.group in ("devices", "meters", "lane & exclusivity")}
    assert set(states.values()) == {"ok"}, states
    assert finding(found, "rapl, CPU").text == (
        "answers; scope package+dram, method rapl, counts package-0 (intel-rapl:0), dram (intel-rapl:0:1); "
        "moves every 10 ms; no power sensor to hold it against"
    )
    assert finding(found, "nvml, GPU 0").text == (
        "answers; scope gpu, method energy_counter, counts total energy; moves every 100 ms; "
        "1.00 times its own power sensor"
    )
    assert "scope board sensor ina226/power1, method integrated_power" in finding(found, "hwmon, ina226/power1").text
    assert finding(found, "GPU 0").text == (
        f"NVIDIA Fake, {UUID}, driver 580.00, power limit 700 W, not split by MIG, its energy counter answers"
    )
    assert found.verdict == (
        "Here 'energy: {meter: auto}' takes rapl (package+dram of Fake CPU) for networks on the CPU and "
        "nvml (gpu of NVIDIA Fake) for networks on GPU 0."
    )


def test_quick_opens_the_meters_and_does_not_time_them(root: Path) -> None:
    found = look(root, gpu(), tree=FakePowercap(root), quick=True)

    assert finding(found, "nvml, GPU 0").text.endswith("counts total energy; not timed (--quick)")
    assert finding(found, "rapl, CPU").state == "ok"


def test_a_bare_machine_can_only_estimate_and_is_told_what_to_write(root: Path) -> None:
    found = look(root, torch=TorchFacts("2.6.0+cpu"), has_driver=False)

    assert [one.state for one in found.findings if one.group == "meters"] == ["missing"] * 3
    assert all(one.remedy for one in found.findings if one.state == "missing")
    assert finding(found, "GPU").text == "none: NVML Shared Library Not Found"
    assert finding(found, "PyTorch").text == "2.6.0+cpu, built for the CPU alone, computes on the CPU"
    assert found.verdict == (
        "Joules can only be estimated here, on the CPU: write 'energy: {meter: estimate}' in the experiment, or log an "
        "external meter (energy: {meter: csv, path: FILE})."
    )


def test_counters_that_only_root_may_read_come_with_the_commands_that_open_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file = os.open

    def refuse(path: Any, *how: Any, **more: Any) -> int:
        if Path(path).name == "energy_uj" and how == (os.O_RDONLY,):
            raise PermissionError(13, "Permission denied")
        return open_file(path, *how, **more)

    FakePowercap(root)
    monkeypatch.setattr(os, "open", refuse)
    found = look(root)

    files = f"{root}/sys/class/powercap/*/energy_uj"
    assert finding(found, "rapl, CPU").text.endswith("/energy_uj is readable by root only (CVE-2020-8694)")
    assert finding(found, "rapl, CPU").remedy == (
        f"until the next boot: sudo chmod a+r {files}; for good, a line in /etc/tmpfiles.d/rapl.conf: "
        f"z {files} 0444 - - -"
    )
    assert found.verdict.startswith("Joules can only be estimated here, on the CPU")


@pytest.mark.parametrize(
    ("marks", "remedy"),
    [
        ({}, "sudo modprobe intel_rapl_msr (Intel, and AMD since Zen)"),
        ({"proc/cpuinfo": "flags\t\t: fpu hypervisor lahf_lm\n"}, "a virtual machine is not shown its host's counters"),
        ({"sys/class/powercap/intel-rapl:0/enabled": "1"}, "--security-opt systempaths=unconfined"),
    ],
)
def test_why_there_is_no_rapl_depends_on_the_machine(root: Path, marks: dict[str, str], remedy: str) -> None:
    for name, text in marks.items():
        write(root / name, text)

    assert remedy in finding(look(root), "rapl, CPU").remedy


def test_a_lost_gpu_is_named_and_the_other_one_still_measured(root: Path) -> None:
    torch = TorchFacts("2.6.0", "12.4", ("GPU-1",))
    found = look(root, gpu(uuid="GPU-0", lost_s=0.0), gpu(uuid="GPU-1"), torch=torch)

    assert finding(found, "GPU 0").text.endswith("does not answer: GPU is lost")
    assert "sudo nvidia-smi --gpu-reset" in finding(found, "GPU 0").remedy
    assert finding(found, "nvml, GPU 0").state == "missing"
    assert finding(found, "nvml, GPU 1").state == "ok"
    assert found.verdict == (
        "Here 'energy: {meter: auto}' takes nvml (gpu of NVIDIA Fake) for networks on GPU 1; on the CPU and GPU 0 it "
        "can measure nothing, so write 'meter: estimate'."
    )


@pytest.mark.parametrize(
    ("changes", "text", "remedy"),
    [
        ({"is_mig": True}, "its counter sees all instances", "switch MIG off to measure: sudo nvidia-smi -mig 0"),
        ({"counter_gain": 0.57}, "gives 0.57 times", "update the driver, restart the machine"),
        ({"stuck_s": 0.0}, "moved 0 times in 5 s", "update the driver, restart the machine"),
    ],
)
def test_a_gpu_whose_counter_would_be_refused_counts_as_not_measurable(
    root: Path, changes: dict[str, Any], text: str, remedy: str
) -> None:
    found = look(root, gpu(**changes))

    assert finding(found, "nvml, GPU 0").state == "missing"
    assert text in finding(found, "nvml, GPU 0").text
    assert remedy in finding(found, "nvml, GPU 0").remedy
    assert found.verdict.startswith("Joules can only be estimated here, on the CPU and GPU 0:")


@pytest.mark.parametrize(
    ("torch", "text", "remedy"),
    [
        (
            TorchFacts("2.6.0", None),
            "built for the CPU alone, does not compute",
            "install PyTorch for CUDA 12.8 or older",
        ),
        (TorchFacts("2.9.0", "13.0"), "the driver runs CUDA 12.8 at most", "update the driver"),
        (TorchFacts("2.6.0", "12.4", trouble="no kernel image"), "no kernel image", "check CUDA_VISIBLE_DEVICES"),
    ],
)
def test_pytorch_that_does_not_fit_the_driver_is_seen(root: Path, torch: TorchFacts, text: str, remedy: str) -> None:
    found = look(root, gpu(), torch=torch, quick=True)

    assert finding(found, "PyTorch").state == "warn"
    assert text in finding(found, "PyTorch").text
    assert remedy in finding(found, "PyTorch").remedy
    assert "PyTorch does not compute on it" in finding(found, "alone on GPU 0").text


def test_pytorch_that_cannot_be_imported_stops_nothing(root: Path) -> None:
    found = look(root, torch=TorchFacts(trouble="libcudart.so.12: cannot open shared object file"))

    assert "libcudart" in finding(found, "PyTorch").text


@pytest.mark.parametrize(
    ("process_ids", "state", "text"),
    [
        ([os.getpid()], "ok", "verified: only processes of ours are on it"),
        ([], "warn", "cannot be verified: the driver lists no process on the GPU, not even ours: a container"),
        (None, "warn", "cannot be verified: the driver does not list the processes on the GPU"),
        ([4242, os.getpid()], "warn", "others are on the GPU: processes 4242"),
    ],
)
def test_whether_a_gpu_is_ours_alone_is_said(root: Path, process_ids: list[int] | None, state: str, text: str) -> None:
    write(root / "proc/4242/stat", "4242 (game) S 1 4242 4242 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 0\n")
    found = finding(look(root, gpu(process_ids=process_ids), quick=True), "alone on GPU 0")

    assert (found.state, found.text) == (state, text)


def test_a_cpu_whose_load_is_not_shown_cannot_be_verified_to_be_ours(root: Path) -> None:
    (root / "proc/stat").unlink()
    found = finding(look(root), "alone on the CPU")

    assert found.state == "warn"
    assert "does not say how busy the CPUs are" in found.text
    assert "--pid=host" in found.remedy


def test_who_holds_a_lane_is_named_and_the_meter_is_not_timed_beside_it(root: Path, lanes: Path) -> None:
    with Lane(UUID, owner="runs/other").measuring():
        found = look(root, gpu())

    assert f"process {os.getpid()} (runs/other) measures since" in finding(found, "lane of GPU 0").text
    assert finding(found, "nvml, GPU 0").state == "warn"
    assert finding(found, "nvml, GPU 0").text == (
        "answers; scope gpu, method energy_counter, counts total energy; not timed: "
        f"process {os.getpid()} uses the device"
    )
    assert finding(found, "nvml, GPU 0").remedy == "wait for it, or give --quick"
    assert "takes nvml" in found.verdict


def test_lanes_that_cannot_be_made_are_said_and_the_meters_still_opened(root: Path, lanes: Path) -> None:
    lanes.write_text("a file")
    found = look(root, gpu())

    assert finding(found, "lanes").state == "missing"
    assert "set ECONAS_LANES" in finding(found, "lanes").remedy
    assert finding(found, "nvml, GPU 0").state == "warn"


def test_of_several_sensors_one_has_to_be_named(root: Path) -> None:
    sensor(root, 0, "ina226")
    sensor(root, 1, "ina3221")
    found = look(root)

    assert finding(found, "hwmon, ina3221/power1").state == "ok"
    assert found.verdict == (
        "Here 'energy: {meter: auto}' takes nothing for networks on the CPU until a sensor is named, as in "
        "'device: ina226/power1'."
    )


def test_a_quota_below_the_allowed_cpus_is_a_warning(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    write(root / "sys/fs/cgroup/cpu.max", "250000 100000\n")
    found = finding(look(root), "CPU")

    assert found.state == "warn"
    assert "1 cores with 1 threads, 8 allowed to this process, but a quota of 2.5 CPUs" in found.text


def test_little_room_for_ray_is_a_warning(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis.shutil, "disk_usage", lambda folder: SimpleNamespace(free=64_000_000))
    monkeypatch.setattr(diagnosis, "SHARED_MEMORY", root)
    found = finding(look(root), "shared memory")

    assert (found.state, found.text) == ("warn", f"0.1 GB free in {root}")
    assert "--shm-size=2g" in found.remedy


def versions_but(**changes: str | None) -> Callable[[str], str]:
    real = metadata.version

    def version(name: str) -> str:
        if name in changes and changes[name] is None:
            raise metadata.PackageNotFoundError(name)
        return changes.get(name) or real(name)

    return version


def test_packages_that_are_missing_or_too_old_come_with_the_command(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        software_findings.metadata, "version", versions_but(timm="1.0.9", rich=None, onnx=None, onnxruntime=None)
    )
    found = look(root)

    assert finding(found, "timm").text == "1.0.9 is installed, ecoNAS needs <1.1,>=1.0.20"
    assert finding(found, "timm").remedy == "pip install 'timm<1.1,>=1.0.20'"
    assert finding(found, "rich").text == "not installed"
    assert "timm" not in finding(found, "packages").text
    assert "no onnxruntime, onnx" in finding(found, "ONNX Runtime").text
    assert finding(found, "ONNX Runtime").remedy == "pip install 'econas[onnx]'"


@pytest.mark.parametrize(
    ("version", "wanted", "expected"),
    [
        ("2.6.0+cu124", "<3,>=2.6", True),
        ("2.6", ">=2.6.0", True),
        ("3.0.0rc1", "<3,>=2.6", False),
        ("0.1.5.post20221221", "<0.2,>=0.1.5", True),
        ("1.0.9", ">=1.0.20", False),
        ("13.615.71", "<14,>=12", True),
        ("3.11.7", ">=3.11", True),
        ("1.0", "", True),
    ],
)
def test_versions_are_held_against_bounds_by_their_numbers(version: str, wanted: str, expected: bool) -> None:
    assert fits(version, wanted) is expected


def test_no_session_with_the_driver_is_left_open(root: Path) -> None:
    clock = VirtualClock()
    nvml = Driver(clock, gpu(), gpu(uuid="GPU-1", lost_s=0.0))
    diagnose(root, nvml, clock, CUDA_12)

    assert nvml.sessions == 0


def test_a_driver_that_refuses_every_question_stops_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Driver) -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)

    monkeypatch.setattr(Driver, "nvmlDeviceGetCount", refuse)
    found = look(root, gpu())

    assert finding(found, "GPU").text == "none: Insufficient Permissions"
    assert finding(found, "nvml, GPU").state == "missing"


def test_a_gpu_without_a_handle_is_listed_by_its_number(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Driver, index: int) -> FakeGpu:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    monkeypatch.setattr(Driver, "nvmlDeviceGetHandleByIndex", refuse)
    found = look(root, gpu())

    assert finding(found, "GPU 0").state == "missing"
    assert finding(found, "nvml, GPU 0").text == "does not answer: GPU is lost"
    assert found.verdict.startswith("Joules can only be estimated here, on the CPU and GPU 0:")
