"""What a search says of its images, where it starts and in what it leaves behind."""

import json
from pathlib import Path

import numpy as np
import pytest

from ecoNAS.cli import main

ROOT = Path(__file__).parents[2]
EXPERIMENT = f"""\
search_space: {ROOT}/search_spaces/smoke.yaml
data: {{name: npz, path: images.npz}}
objectives: [accuracy, macs]
search: {{trials: 1, sampler: random}}
training: {{epochs: 1, batch_size: 32}}
energy: {{meter: estimate}}
workers: {{kind: in_process}}
"""


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, str]:
    """A run on images of which two stand in two splits, and what it said."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (80, 8, 8, 1), dtype=np.uint8), np.arange(80) % 2
    x[60], x[75] = x[3], x[4]
    np.savez(
        tmp_path / "images.npz",
        **{
            "x_train": x[:50],
            "y_train": y[:50],
            "x_val": x[50:70],
            "y_val": y[50:70],
            "x_test": x[70:],
            "y_test": y[70:],
        },
    )
    (tmp_path / "e.yaml").write_text(EXPERIMENT)
    assert main(["search", str(tmp_path / "e.yaml"), "--run-dir", str(tmp_path / "run")]) == 0
    return tmp_path / "run", capsys.readouterr().err


def test_the_terminal_tells_of_classes_and_warns_of_twins_before_the_first_trial(run: tuple[Path, str]) -> None:
    before, _, _ = run[1].partition("trial 0")

    assert "Images: 50 for train, 20 for validation, 10 for test. 2 classes of 25 training images each." in before
    assert "Warning: 1 of 20 validation images are among the training images, too (1 identical" in before
    assert "x_val[10] = x_train[3]" in before
    assert "Warning: 1 of 10 test images are among the training images" in before
    assert "Traceback" not in run[1]


def test_the_run_folder_and_the_report_hold_what_was_found(run: tuple[Path, str]) -> None:
    split = json.loads((run[0] / "split.json").read_text())
    assert split["audit"]["counts"]["train"] == [25, 25]
    assert [report["pairs"] for report in split["audit"]["twins"]] == [
        [["x_val[10]", "x_train[3]"]],
        [["x_test[5]", "x_train[4]"]],
        [],
    ]

    page = (run[0] / "report.html").read_text()
    assert "<h2>The images</h2>" in page
    assert "1 of 20 validation images are among the training images, too" in page
    assert main(["export", str(run[0]), "0", "--out", str(run[0] / "export")]) == 0


def test_a_run_that_goes_on_says_it_once(run: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    folder = run[0]
    more = ["--set", "search.trials=2", "--run-dir", str(folder), "--resume"]
    assert main(["search", str(folder.parent / "e.yaml"), *more]) == 0

    assert "Images:" not in capsys.readouterr().err
