"""`econas calibrate` reads what measuring printed, writes a file that an experiment can name, and says how to."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml
from measured_records import DEVICE, noisy, records

from ecoNAS.cli import main
from ecoNAS.config import ExperimentConfig
from ecoNAS.energy.select import select_estimator
from ecoNAS.event_log import EventLog
from ecoNAS.records import EnergyProfile, Evaluation
from ecoNAS.run_folder import RunFolder


def write(path: Path, found: Sequence[EnergyProfile]) -> Path:
    """Write records as `econas measure --json` prints them."""
    path.write_text(json.dumps([record.model_dump(mode="json") for record in found]))
    return path


@pytest.fixture
def fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs the command, which must fail, and returns its one line."""

    def run(*paths: Path) -> str:
        out = tmp_path / "out.json"
        assert main(["calibrate", *map(str, paths), "--out", str(out)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert not out.exists()
        (line,) = captured.err.splitlines()
        return line

    return run


def test_the_printed_line_makes_an_experiment_price_with_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "my {device}, fitted.json"

    assert main(["calibrate", str(write(tmp_path / "a.json", records())), "--out", str(out)]) == 0

    *_, line = capsys.readouterr().out.splitlines()
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text(f"search_space: s.yaml\ndata: {{name: digits}}\nobjectives: [accuracy]\n{line}\n")
    estimator = select_estimator(ExperimentConfig.from_yaml(experiment).energy)
    assert estimator.device == f"calibrated:{DEVICE}"


def test_each_network_and_each_coefficient_is_shown_with_its_unit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["calibrate", str(write(tmp_path / "a.json", records())), "--out", str(tmp_path / "c.json")])

    shown = capsys.readouterr().out
    assert "  5 pJ/MAC\n" in shown
    assert "  40 pJ/byte\n" in shown
    assert "  0.0002 J/image\n" in shown
    assert "x/÷ 1.01;" in shown
    rows = [line.split() for line in shown.splitlines() if line.startswith("net") and not line.startswith("network")]
    assert [row[0] for row in rows] == [f"net{number}" for number in range(12)]
    assert [row[1] for row in rows[:3]] == ["1", "8", "64"]
    assert all(row[-1] == "1.000" for row in rows)


def test_json_holds_the_file_and_each_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = write(tmp_path / "a.json", records(rule=noisy(random.Random(3), 0.1))), tmp_path / "c.json"

    assert main(["calibrate", str(path), "--out", str(out), "--json"]) == 0

    printed = json.loads(capsys.readouterr().out)
    assert printed["coefficients"] == json.loads(out.read_text())
    assert printed["coefficients"]["dtypes"]["fp32"]["num_records"] == len(printed["networks"]) == 12
    assert all(row["ratio"] == pytest.approx(row["left_out_j"] / row["measured_j"]) for row in printed["networks"])
    assert yaml.safe_load(printed["experiment"]) == {"energy": {"meter": "estimate", "coefficients": str(out)}}


def test_lists_single_records_and_run_folders_are_read_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make_evaluation: Callable[..., Evaluation]
) -> None:
    made = records(10)
    (tmp_path / "one.json").write_text(made[0].model_dump_json())
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.experiment.write_text("")
    EventLog(folder.events.path).path.write_text("")
    folder.write_evaluation(make_evaluation(profile=made[1]))
    paths = [tmp_path / "one.json", folder.path, write(tmp_path / "rest.json", made[2:])]

    assert main(["calibrate", *map(str, paths), "--out", str(tmp_path / "c.json"), "--json"]) == 0

    assert len(json.loads(capsys.readouterr().out)["networks"]) == 10


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (None, ["records.json cannot be read: No such file", "econas measure --json"]),
        ("{", ["records.json is not JSON", "econas measure --json"]),
        ("[]", ["records.json holds no records", "econas measure --json"]),
        ('[{"a": 1}]', ["records.json: record 1 is no energy profile", "unknown key"]),
        ("5", ["records.json: record 1 is no energy profile"]),
    ],
)
def test_files_without_records_are_one_clear_line(
    fails: Callable[..., str], tmp_path: Path, text: str | None, parts: list[str]
) -> None:
    path = tmp_path / "records.json"
    if text is not None:
        path.write_text(text)

    line = fails(path)

    assert line.startswith("econas: ")
    assert all(part in line for part in parts), line


@pytest.mark.parametrize(
    ("found", "part"),
    [
        (records(7), "7 measured networks can be used, and a calibration needs at least 8"),
        (records(8) + records(8, device="GPU-9"), "more than one device (GPU-1234, GPU-9)"),
        (records(8, kind="estimated"), "net0 are estimated, and a calibration needs measured ones"),
    ],
)
def test_records_that_cannot_be_fitted_are_one_clear_line(
    fails: Callable[..., str], tmp_path: Path, found: list[EnergyProfile], part: str
) -> None:
    assert part in fails(write(tmp_path / "records.json", found))


def test_folders_that_are_no_runs_are_one_clear_line(fails: Callable[..., str], tmp_path: Path) -> None:
    assert "is not a run folder" in fails(tmp_path)


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.json", records())

    assert main(["calibrate", str(path), "--out", str(tmp_path / "no" / "c.json")]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be written" in line
