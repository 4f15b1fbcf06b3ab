"""`econas space`, as a user types it."""

import json
from pathlib import Path

import pytest

from ecoNAS.cli import main

SPACES = Path(__file__).parents[2] / "search_spaces"
SMOKE = SPACES / "smoke.yaml"
FEW = ("--draws", "20", "--resolution", "8")


def fails(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    assert main(["space", *map(str, argv)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


def test_what_a_space_allows_is_printed_in_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["space", str(SMOKE), *FEW, "--samples", "2", "--where", "macs <= 1M"]) == 0
    lines = capsys.readouterr().out.splitlines()
    text = " ".join(" ".join(lines).split())
    assert max(map(len, lines)) <= 80
    assert "smoke, for images of 8 x 8 pixels, 3 channels, 10 classes" in text
    assert "48; rules and equal networks make it fewer" in text
    assert "1 to 2 blocks in 1 to 2 stages" in text
    assert "100.0% of 20 random candidates keep the rules and macs <= 1M (95 % interval 83.9% to 100.0%)" in text
    assert "estimates from 20 random candidates" in text
    assert sum(line.startswith("sample ") for line in lines) == 2


def test_samples_are_written_as_svg_and_everything_is_there_as_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["space", str(SMOKE), *FEW, "--samples", "2", "--svg", str(tmp_path / "new"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["sample-1.svg", "sample-2.svg"]
    assert found["num_networks"] == 48
    assert set(found["ranges"]) == {"params", "macs", "activation_memory"}
    assert found["passing"]["value"] == 1
    macs = [sample["costs"]["macs"] for sample in found["samples"]]
    assert all(found["ranges"]["macs"]["cheapest"] <= one <= found["ranges"]["macs"]["dearest"] for one in macs)


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (("no.yaml",), "no.yaml: no such file"),
        ((SMOKE, "--resolution", 64), "--resolution 64: space 'smoke' is meant for images of 8 to 32 pixels"),
        ((SMOKE, *FEW, "--where", "macs <= 1"), "none of 26 candidates passes; the tightest bound is 'macs <= 1'"),
        ((SMOKE, *FEW, "--where", "mcas <= 1"), "did you mean 'macs'"),
        ((SMOKE, *FEW, "--where", "latency <= 1 ms"), "latency is not known of a space alone"),
        ((SMOKE, *FEW, "--where", "macs <= 0.5 * baseline"), "names a baseline"),
        ((SMOKE, "--draws", 0), "--draws 0: give 1 or more"),
        ((SMOKE, "--classes", 1), "--classes 1"),
        ((SMOKE, *FEW, "--svg", SMOKE), "cannot be written"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], argv: tuple[object, ...], part: str
) -> None:
    assert part in fails(capsys, *argv)


def test_a_misspelt_key_is_named_with_its_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(SMOKE.read_text().replace("stages:", "stagse:"))
    line = fails(capsys, tmp_path / "wrong.yaml")
    assert "unknown key 'stagse'" in line
    assert "did you mean 'stages'" in line
    assert "wrong.yaml:" in line
