"""`econas doctor` is a report for people and for programs: exit code 0 and no traceback, whatever the machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_powercap import FakePowercap

from ecoNAS.cli import main

GROUPS = ["python & packages", "devices", "meters", "lane & exclusivity", "disk & temp"]


@pytest.fixture(autouse=True)
def lanes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECONAS_LANES", str(tmp_path / "lanes"))
    monkeypatch.setenv("COLUMNS", "80")


def test_the_report_has_every_group_and_ends_with_the_verdict_in_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FakePowercap(tmp_path)

    assert main(["doctor", "--quick", "--root", str(tmp_path)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in GROUPS] == GROUPS
    assert any(line.startswith("  ✓ ok      rapl, CPU") for line in lines)
    tables = lines[: lines.index("what would help")]
    assert max(len(line) for line in tables) <= 80
    assert "Here 'energy: {meter: auto}' takes rapl (package+dram of Fake CPU)" in " ".join(lines)


def test_remedies_stand_on_one_line_each_so_that_they_can_be_copied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file = os.open

    def refuse(path: str | Path, *how: int, **more: int) -> int:
        if Path(path).name == "energy_uj" and how == (os.O_RDONLY,):
            raise PermissionError(13, "Permission denied")
        return open_file(path, *how, **more)

    FakePowercap(tmp_path)
    monkeypatch.setattr(os, "open", refuse)
    main(["doctor", "--quick", "--root", str(tmp_path)])

    command = f"sudo chmod a+r {tmp_path}/sys/class/powercap/*/energy_uj"
    assert any(command in line for line in capsys.readouterr().out.splitlines())


def test_json_is_the_findings_and_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", "--root", str(tmp_path)]) == 0

    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"findings", "verdict"}
    assert list(dict.fromkeys(one["group"] for one in found["findings"])) == GROUPS
    assert all(set(one) == {"group", "name", "state", "text", "remedy"} for one in found["findings"])
    assert {one["state"] for one in found["findings"]} <= {"ok", "warn", "missing"}


def test_a_root_that_is_not_there_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--root", str(tmp_path / "none")]) == 2
    assert "give the one that holds sys and proc" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["pydantic", "rich", "pynvml"])
def test_what_is_not_installed_is_reported_and_no_traceback(
    package: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("ecoNAS.diagnosis.", f"{package}.", "ecoNAS.conf"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)

    assert main(["doctor", "--quick"]) == 0

    out = capsys.readouterr().out
    assert "Python" in out
    assert ("ok: Python" in out) if package == "rich" else ("Nothing can be measured before it is installed" in out)


@pytest.mark.slow
def test_the_command_runs_on_this_very_machine() -> None:
    command = [sys.executable, "-m", "ecoNAS", "doctor", "--quick"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "energy: {meter: " in done.stdout
