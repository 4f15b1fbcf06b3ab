"""Bundles: whole or not there at all, and able to measure where neither ecoNAS nor its dependencies are."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from fake_powercap import FakePowercap
from small_run import PROBLEM, architecture, candidate, write_small_run

import ecoNAS
from ecoNAS.analysis.run import load_run
from ecoNAS.architecture import Deployment
from ecoNAS.errors import EcoNASError
from ecoNAS.measuring import bundle, script
from ecoNAS.measuring.bundle import LIGHT, write_bundle
from ecoNAS.measuring.elsewhere import rank_elsewhere
from ecoNAS.measuring.measure import Job, plan_jobs
from ecoNAS.measuring.subjects import Images, OnnxSubject, find_subjects
from ecoNAS.records import EnergyProfile

ROOT = Path(__file__).parents[2]
PACKAGE = Path(ecoNAS.__file__).parent
POWER_W = 40.0
PROTOCOL = {"warm_up_s": 0.1, "warm_up_iterations": 5, "cpu_window_s": 0.3, "idle_s": 0.3, "max_blocks": 2}
# Runs measure.py of a folder where the packages named first cannot be imported.
ISOLATED = """
import runpy, sys
from importlib.machinery import PathFinder
from pathlib import Path
blocked, folder = sys.argv[1].split(","), sys.argv[2]
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *more: None if name.partition(".")[0] in blocked else find(name, *more)
sys.path.insert(0, folder)
import ecoNAS
assert Path(ecoNAS.__file__).is_relative_to(folder), ecoNAS.__file__
sys.argv = ["measure.py", *sys.argv[3:]]
runpy.run_path(f"{folder}/measure.py", run_name="__main__")
"""
NOT_THERE = ["pydantic", "timm", "optuna", "ray", "rich", "yaml", "fvcore", "scipy"]

Fails = Callable[..., str]


def ignore(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, run_folder: Path) -> Path:
    """The front of the small run, packed."""
    folder = tmp_path_factory.mktemp("bundles") / "new" / "front"
    said = list[str]()
    jobs = plan_jobs(find_subjects(str(run_folder), Images()), {})
    assert write_bundle(jobs, folder, said.append) == 2
    assert said == [f"packing trial {number} (batch 4, eager, fp32)" for number in (1, 0)]
    return folder


def strange(path: Path) -> Job:
    """Return a job whose network cannot be packed."""
    path.write_bytes(b"not a network")
    return Job(OnnxSubject(path, Deployment(runtime="onnxruntime")), Deployment(runtime="onnxruntime"))


def test_the_light_modules_stand_alone(tmp_path: Path) -> None:
    """No package can be imported in a Python without site and environment, only Python's own library."""
    for name in LIGHT:
        (tmp_path / "ecoNAS" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PACKAGE / f"{name}.py", tmp_path / "ecoNAS" / f"{name}.py")
    modules = [f"ecoNAS/{name}".removesuffix("/__init__").replace("/", ".") for name in LIGHT]
    shutil.copyfile(script.__file__, tmp_path / "measure.py")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + "\n".join(f"import {name}" for name in modules)
    code += "\nimport measure\nprint(len([name for name in sys.modules if name.startswith('ecoNAS')]))"

    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(LIGHT)  # nothing else was there to be imported


@pytest.mark.slow
def test_a_bundle_holds_what_it_says_and_the_light_modules_word_for_word(packed: Path) -> None:
    files = {str(path.relative_to(packed)) for path in packed.rglob("*") if path.is_file()}
    assert files == {
        "README.md",
        "measure.py",
        "networks.json",
        *(f"networks/{number}.{suffix}" for number in (0, 1) for suffix in ("onnx", "pt2")),
        *(f"ecoNAS/{name}.py" for name in LIGHT),
    }
    for name in LIGHT:
        assert (packed / "ecoNAS" / f"{name}.py").read_bytes() == (PACKAGE / f"{name}.py").read_bytes()
    assert (packed / "measure.py").read_bytes() == (PACKAGE / "measuring" / "script.py").read_bytes()
    assert "2 networks" in (packed / "README.md").read_text()
    assert [path.name for path in packed.parent.iterdir()] == ["front"]
    first = json.loads((packed / "networks.json").read_text())[0]
    assert (first["name"], first["digest"], first["candidate"]) == (
        "trial 1",
        architecture(1).digest,
        candidate(1).digest,
    )
    assert (first["shape"], first["deployment"]["batch"]) == (list(PROBLEM.input_shape(4)), 4)


@pytest.mark.parametrize("name", ["full", "file"])
def test_what_is_there_is_not_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("dear to me")
    (tmp_path / "file").write_text("dear to me")
    with pytest.raises(EcoNASError, match="exists and is not an empty folder"):
        write_bundle([], tmp_path / name, ignore)
    assert (tmp_path / "full" / "mine.txt").read_text() == (tmp_path / "file").read_text() == "dear to me"


def test_nothing_is_left_behind_when_no_network_can_be_packed(tmp_path: Path) -> None:
    job, said = strange(tmp_path / "a.onnx"), list[str]()
    with pytest.raises(EcoNASError, match="no network could be packed; the lines above say why"):
        write_bundle([job], tmp_path / "out", said.append)
    assert said[0] == "packing a.onnx (batch 32, onnxruntime, fp32)"
    assert said[1].startswith("a.onnx (batch 32, onnxruntime, fp32) is not packed: ")
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_nothing_is_left_behind_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(bundle, "_pack", lambda *_: {"files": {"onnx": "x"}})
    monkeypatch.setattr(bundle, "_write_rest", fail)
    with pytest.raises(EcoNASError, match="out cannot be written: ") as caught:
        write_bundle([strange(tmp_path / "a.onnx")], tmp_path / "out", ignore)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_a_network_in_fused_form_is_packed_fused_with_its_own_costs(run_folder: Path, tmp_path: Path) -> None:
    (subject,) = find_subjects(str(run_folder), Images(), "0")
    jobs, said = plan_jobs([subject], {"form": ["training", "fused"]}), list[str]()
    assert write_bundle(jobs, tmp_path / "out", said.append) == 2
    assert said == [f"packing trial 0 (batch 4, eager, fp32{form})" for form in ("", ", fused")]
    plain, fused = json.loads((tmp_path / "out/networks.json").read_text())
    states = [torch.export.load(tmp_path / "out" / item["files"]["torch"]).state_dict for item in (plain, fused)]
    assert [any("running_mean" in name for name in state) for state in states] == [True, False]
    assert fused["costs"]["macs"] == plain["costs"]["macs"]
    assert fused["costs"]["params"] < plain["costs"]["params"]


def test_an_onnx_file_has_no_other_form(tmp_path: Path) -> None:
    job, said = strange(tmp_path / "a.onnx"), list[str]()
    how = Deployment(runtime="onnxruntime", form="fused")
    with pytest.raises(EcoNASError, match="no network could be packed"):
        write_bundle([Job(job.subject, how)], tmp_path / "out", said.append)
    assert "is run as it is, in the form it was written in; leave out --form" in said[1]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The folder of a bundle of which only the list of networks is looked at."""
    networks = [{"name": name, "deployment": {"batch": 4, "threads": 1}, "files": {}} for name in ("one", "two")]
    (tmp_path / "networks.json").write_text(json.dumps(networks))
    return tmp_path


@pytest.fixture
def fails(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fails:
    """Run the script, which must not begin; return the one line that says why."""

    def run(*argv: object) -> str:
        out = tmp_path / "records.json"
        assert script.main(["--out", str(out), "--root", str(tmp_path), *map(str, argv)], here) == 2
        assert not out.exists()
        captured = capsys.readouterr()
        (line,) = captured.err.splitlines()
        assert captured.out == ""
        return line

    return run


def write_sensors(root: Path, *labels: str) -> None:
    for number, label in enumerate(labels):
        folder = root / "sys/class/hwmon" / f"hwmon{number}"
        folder.mkdir(parents=True)
        for name, text in {"name": "chip", "power1_input": "5000000", "power1_label": label}.items():
            (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        ([], ["nothing can be measured here: rapl: no ", "; hwmon: no ", "or give --meter csv --log FILE"]),
        (["--meter", "rapl"], ["intel-rapl"]),
        (["--meter", "csv"], ["say where it is: --log FILE"]),
        (["--meter", "csv", "--log", "/nowhere/x.csv"], ["/nowhere/x.csv", "cannot be read: No such file"]),
        (["--meter", "hwmon"], ["no energy*_input nor power*_input below"]),
        (["--target", "0"], ["--target 0 is no percentage"]),
        (["--threads", "-1"], ["--threads -1 must be at least 1"]),
        (["--only", "one", "tow"], ["no network 'tow' here; those that are: one, two"]),
        (["--out", "/nowhere/x.json"], ["--out /nowhere/x.json cannot be written"]),
    ],
)
def test_a_mistake_on_the_other_machine_is_one_line(fails: Fails, argv: Sequence[str], parts: list[str]) -> None:
    line = fails(*argv)
    assert line.startswith("measure: ")
    assert all(part in line for part in parts), line


def test_of_several_sensors_one_is_to_be_chosen_by_the_option_of_the_script(fails: Fails, tmp_path: Path) -> None:
    write_sensors(tmp_path, "VDD_IN", "VDD_CPU")
    line = fails("--meter", "hwmon")
    assert "chip/VDD_IN, chip/VDD_CPU" in line
    assert "(here: --sensor NAME)" in line
    assert "no sensor 'chip/VDD' here; those that are: chip/VDD_IN" in fails("--meter", "hwmon", "--sensor", "chip/VDD")


def test_a_machine_without_nvidia_says_so_in_one_line(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "nvidia-ml-py" in fails("--meter", "nvml")
    assert "nothing can be measured here: nvml: " in fails("--device", "cuda")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("idle=5", "no such setting of the protocol"),
        ("idle_s", "write for example idle_s=5"),
        ("idle_s=long", "'long' is not a number"),
        ("idle_s=0", "idle_s 0 must be above 0"),
        ('idle_s="5"', "--set: "),
    ],
)
def test_a_wrong_setting_is_one_line(fails: Fails, tmp_path: Path, text: str, part: str) -> None:
    FakePowercap(tmp_path)
    assert part in fails("--set", text)


def test_a_network_that_fails_is_said_and_the_others_go_on(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(item: dict[str, Any], _: object) -> dict[str, str]:
        if item["name"] == "one":
            raise EcoNASError("it is broken")
        return {"name": item["name"]}

    FakePowercap(tmp_path)
    monkeypatch.setattr(script, "_record", record)
    out = tmp_path / "records.json"

    assert script.main(["--root", str(tmp_path), "--out", str(out)], here) == 1

    assert json.loads(out.read_text()) == [{"name": "two"}]
    assert "measure: one (batch 4) was not measured: it is broken" in capsys.readouterr().err
    assert script.main(["--root", str(tmp_path), "--out", str(out), "--only", "two"], here) == 0


def test_an_interrupted_script_keeps_what_was_measured(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(item: dict[str, Any], _: object) -> dict[str, str]:
        if item["name"] == "two":
            raise KeyboardInterrupt
        return {"name": item["name"]}

    FakePowercap(tmp_path)
    monkeypatch.setattr(script, "_record", record)
    out = tmp_path / "records.json"
    assert script.main(["--root", str(tmp_path), "--out", str(out)], here) == 130
    assert json.loads(out.read_text()) == [{"name": "one"}]
    assert f"interrupted; what was measured before is in {out}" in capsys.readouterr().err


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Path]:
    """A machine whose counter runs in real time; return its root."""
    command = [sys.executable, str(ROOT / "tests/fake_powercap.py"), str(tmp_path / "board")]
    driver = subprocess.Popen([*command, "--power-w", str(POWER_W)], stdout=subprocess.PIPE, text=True)
    try:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "ready\n"
        yield tmp_path / "board"
    finally:
        driver.kill()
        driver.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime", "eager"])
def test_a_bundle_measures_without_ecoNAS_and_its_dependencies(  # noqa: N802  that is its name
    packed: Path, run_folder: Path, counter: Path, tmp_path: Path, runtime: str
) -> None:
    out = tmp_path / "records.json"
    missing = "torch" if runtime == "onnxruntime" else "onnxruntime"
    settings = [word for name, value in PROTOCOL.items() for word in ("--set", f"{name}={value}")]
    options = ["--out", str(out), "--root", str(counter), "--runtime", runtime, "--target", "50"]
    done = subprocess.run(
        [sys.executable, "-c", ISOLATED, ",".join([*NOT_THERE, missing]), str(packed), *options, *settings],
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "ECONAS_LANES": str(tmp_path / "lanes"),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr

    records = [EnergyProfile.model_validate(item) for item in json.loads(out.read_text())]

    assert [record.workload.model for record in records if record.workload] == ["trial 1", "trial 0"]
    for record in records:
        assert record.energy is not None
        assert record.spent is not None
        assert record.measurement is not None
        assert (record.key.deployment.runtime, record.runner) == (runtime, runtime)
        assert (record.key.deployment.batch, record.key.deployment.threads) == (4, 1)
        assert record.measurement.meter.name == "rapl"
        assert record.measurement.exclusivity == "unverifiable"  # the board shows no /proc/stat
        windows = [window for window in record.measurement.windows if not window.replaced]
        assert record.energy.value_j == pytest.approx(POWER_W * fmean(window.image_s for window in windows), rel=0.1)
        took_s = (record.ended - record.started).total_seconds()
        assert record.spent.value_j == pytest.approx(POWER_W * took_s, rel=0.1)
        assert "econas" not in record.software
    ranking = rank_elsewhere(load_run(run_folder), records)
    assert {row.trial.number for row in ranking.rows} == {0, 1}
    assert ranking.strangers == ()
