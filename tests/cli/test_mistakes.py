"""A user's mistake is one clear line on standard error and exit code 2: no traceback, nothing lost."""

import fcntl
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ecoNAS.cli import main

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "experiments" / "smoke.yaml"

GOOD = f"""\
search_space: {ROOT}/search_spaces/smoke.yaml
data: {{name: digits}}
objectives: [accuracy, energy_per_image, macs]
search: {{trials: 2, sampler: random}}
training: {{epochs: 1, batch_size: 128}}
energy: {{meter: estimate}}
workers: {{kind: in_process}}
"""

Fails = Callable[..., str]


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Fails:
    """Run a command that must fail; return its one line."""

    def run(*argv: object) -> str:
        try:
            code: object = main([str(word) for word in argv])
        except SystemExit as error:  # argparse's way
            code = error.code
        captured = capsys.readouterr()
        assert code == 2, captured.err
        assert captured.out == ""
        lines = captured.err.strip().splitlines()
        assert len(lines) == 1, captured.err
        assert "Traceback" not in captured.err
        return lines[0]

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two trials."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "good.yaml").write_text(GOOD)
    assert main(["search", str(folder / "good.yaml"), "--run-dir", str(folder / "run")]) == 0
    return folder / "run"


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (("objectives:", "objektives:"), ["wrong.yaml:3: objektives:", "unknown key", "did you mean 'objectives'"]),
        (("trials: 2", "trails: 2"), ["wrong.yaml:4: search.trails:", "did you mean 'trials'"]),
        (("trials: 2", "trials: many"), ["wrong.yaml:4: search.trials:", "'many'"]),
        (("trials: 2", "trials: 0"), ["wrong.yaml:4: search.trials:", "1", "0"]),
        (("name: digits", "name: digitz"),
         ["wrong.yaml:2: data:", "unknown data set 'digitz'", "did you mean 'digits'"]),
        (("sampler: random", "sampler: rnadom"), ["wrong.yaml:4: search.sampler:", "did you mean 'random'"]),
        (("[accuracy,", "[acuracy,"), ["wrong.yaml:3: objectives.0:", "did you mean 'accuracy'"]),
        (("[accuracy,", "[macs,"), ["wrong.yaml:3: objectives:", "'macs' stands twice"]),
        (("meter: estimate", "meter: estimat"), ["wrong.yaml:6: energy", "did you mean 'estimate'"]),
        (("smoke.yaml", "smoky.yaml"), ["wrong.yaml:1: search_space:", "no such file"]),
        (("workers:", "constraints: ['params <= 10']\nworkers:"),
         ["constraints", "tightest bound is 'params <= 10'", "smallest params"]),
        (("workers:", "constraints: ['parms <= 10']\nworkers:"),
         ["wrong.yaml:7: constraints.0:", "did you mean 'params'"]),
        (("workers:", "baseline: {timm: resnet_eighteen}\nworkers:"),
         ["wrong.yaml:7: baseline.timm:", "resnet_eighteen"]),
        (("kind: in_process", "kind: rey"), ["wrong.yaml:7: workers.kind:", "'rey'"]),
        (("epochs: 1", "epochs: 1, augment: crop_flip"), ["wrong.yaml:5: training.augment:", "digits"]),
        (("kind: in_process", "device: cuda"), ["wrong.yaml:7: workers.device:", "no CUDA device"]),
        (("epochs: 1", "epochs: 1, epochs: 2"), ["wrong.yaml:5", "stands twice"]),
    ],
)  # fmt: skip
def test_a_mistake_in_an_experiment_names_file_line_value_and_remedy(
    fails: Fails, tmp_path: Path, change: tuple[str, str], parts: list[str]
) -> None:
    if "cuda" in change[1] and __import__("torch").cuda.is_available():
        pytest.skip("there is a CUDA device here")
    text = GOOD.replace(*change)
    assert text != GOOD
    (tmp_path / "wrong.yaml").write_text(text)
    line = fails("search", tmp_path / "wrong.yaml", "--run-dir", tmp_path / "run")
    assert all(part in line for part in parts), line
    assert not (tmp_path / "run").exists()


def test_measuring_is_refused_here_with_what_was_probed_and_the_way_on(fails: Fails, tmp_path: Path) -> None:
    line = fails("search", SMOKE, "--set", "energy.meter=auto", "--run-dir", tmp_path / "run")
    assert all(part in line for part in ("rapl", "hwmon", "econas doctor", "meter: estimate")), line
    assert not (tmp_path / "run").exists()


def test_a_missing_experiment_is_named_with_where_it_was_looked_for(fails: Fails, tmp_path: Path) -> None:
    line = fails("search", tmp_path / "nothing.yaml")
    assert "nothing.yaml: no such file" in line
    assert str(tmp_path) in line


def test_an_empty_file_is_named(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    assert "empty.yaml: the file is empty" in fails("search", tmp_path / "empty.yaml")


def test_an_empty_search_space_is_named(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("")
    (tmp_path / "e.yaml").write_text(GOOD.replace(f"{ROOT}/search_spaces/smoke.yaml", "space.yaml"))
    assert "space.yaml: the file is empty" in fails("search", tmp_path / "e.yaml", "--run-dir", tmp_path / "run")


def test_missing_data_says_where_it_was_looked_for(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(GOOD.replace("name: digits", "name: npz, path: flowers.npz"))
    line = fails("search", tmp_path / "e.yaml", "--run-dir", tmp_path / "run")
    assert "e.yaml:2: data:" in line
    assert "flowers.npz" in line


def test_a_data_set_that_would_need_a_download_says_which_files_belong_where(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(GOOD.replace("name: digits", "name: torchvision, dataset: CIFAR10, path: ."))
    line = fails("search", tmp_path / "e.yaml", "--run-dir", tmp_path / "run")
    assert f"e.yaml:2: data: torchvision's CIFAR10 in {tmp_path} lacks cifar-10-batches-py" in line
    assert "set data.download to true" in line
    assert not (tmp_path / "run").exists()


def test_a_missing_extra_is_the_command_that_installs_it(
    fails: Fails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "e.yaml").write_text(GOOD.replace("name: digits", "name: huggingface, dataset: a/b"))
    line = fails("search", tmp_path / "e.yaml", "--run-dir", tmp_path / "run")
    assert "pip install 'econas[huggingface]'" in line


def test_an_image_that_cannot_be_read_is_named(fails: Fails, tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / "images" / "train" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not an image")
    (tmp_path / "e.yaml").write_text(GOOD.replace("name: digits", "name: image_folder, path: images"))
    line = fails("search", tmp_path / "e.yaml", "--run-dir", tmp_path / "run")
    assert "12 of 12 images for train cannot be read: train/a/" in line
    assert "repair or remove them" in line


def test_an_own_function_that_returns_something_else_is_named(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(GOOD.replace("name: digits", "name: 'ecoNAS.units:read_quantity'"))
    line = fails("search", tmp_path / "e.yaml", "--run-dir", tmp_path / "run")
    assert "e.yaml:2: data: data set 'ecoNAS.units:read_quantity' raised TypeError" in line


def test_images_outside_the_space_are_refused(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(GOOD.replace("name: digits", "name: digits, resolution: 64"))
    line = fails("search", tmp_path / "e.yaml", "--run-dir", tmp_path / "run")
    assert "meant for images of 8 to 32 pixels and digits has 64" in line


def test_a_misspelt_command_and_option_are_named(fails: Fails) -> None:
    assert "'serch'" in fails("serch", SMOKE)
    assert "--run-dirr" in fails("search", SMOKE, "--run-dirr", "x")
    assert "EXPERIMENT" in fails("search")


@pytest.mark.parametrize("text", ["search.trials", "=5"])
def test_an_override_without_key_or_value_is_refused(fails: Fails, text: str) -> None:
    assert "write KEY=VALUE" in fails("search", SMOKE, "--set", text)


def test_an_unknown_override_is_refused_like_a_misspelt_key(fails: Fails) -> None:
    assert "did you mean 'trials'" in fails("search", SMOKE, "--set", "search.trails=5")
    assert "search" in fails("search", SMOKE, "--set", "search_space.x=5")


def test_a_run_folder_in_use_is_refused(fails: Fails, finished: Path) -> None:
    with (finished / "run.lock").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        line = fails_resume(fails, finished)
    assert "is in use by process" in line


def fails_resume(fails: Fails, finished: Path, *more: str) -> str:
    return fails("search", finished.parent / "good.yaml", "--run-dir", finished, "--resume", *more)


def test_a_run_folder_that_holds_a_run_is_not_overwritten(fails: Fails, finished: Path) -> None:
    line = fails("search", finished.parent / "good.yaml", "--run-dir", finished)
    assert "holds a run already; add --resume" in line


def test_a_changed_experiment_is_refused_on_resume_with_the_difference(fails: Fails, finished: Path) -> None:
    line = fails_resume(fails, finished, "--set", "training.epochs=3")
    assert "training.epochs was 1 and is now 3" in line


def test_resuming_what_is_not_there_is_refused(fails: Fails, tmp_path: Path) -> None:
    assert "no such run folder" in fails("search", SMOKE, "--run-dir", tmp_path / "nothing", "--resume")


@pytest.mark.parametrize("command", [["front"], ["report"], ["show"], ["export"]])
def test_a_folder_that_is_no_run_is_refused(fails: Fails, tmp_path: Path, command: list[str]) -> None:
    rest = {"show": ["0"], "export": ["0", "--out", str(tmp_path / "x")]}.get(command[0], [])
    assert "no such run folder" in fails(*command, tmp_path / "nothing", *rest)
    assert "not a run folder" in fails(*command, tmp_path, *rest)


def test_an_unknown_trial_is_refused_with_the_known_range(fails: Fails, finished: Path, tmp_path: Path) -> None:
    assert "trial 99" in fails("show", finished, "99")
    assert "trial 99" in fails("export", finished, "99", "--out", tmp_path / "x")
    assert "'best'" in fails("show", finished, "best")


def test_an_export_does_not_overwrite(fails: Fails, finished: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("dear to me")
    assert "is not an empty folder" in fails("export", finished, "0", "--out", tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "dear to me"


def test_an_export_without_weights_says_why(fails: Fails, finished: Path, tmp_path: Path) -> None:
    from ecoNAS import load_run

    trial = load_run(finished).trial(1)
    weights = finished / "weights" / f"{trial.digest}.safetensors"
    kept = weights.read_bytes()
    weights.unlink()
    try:
        assert "were not kept" in fails("export", finished, "1", "--out", tmp_path / "x")
        weights.write_bytes(b"not weights")
        assert "cannot be read" in fails("export", finished, "1", "--out", tmp_path / "x")
    finally:
        weights.write_bytes(kept)


def test_a_failed_trial_cannot_be_exported_and_the_line_says_why(
    fails: Fails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ecoNAS.evaluation.evaluate import evaluate
    from ecoNAS.evaluation.task import EvaluationTask
    from ecoNAS.records import Evaluation

    def unlucky(task: EvaluationTask, at_batch_boundary: Callable[[], None]) -> Evaluation:
        if task.trial == 0:
            raise RuntimeError("cosmic ray")
        return evaluate(task, at_batch_boundary)

    monkeypatch.setattr("ecoNAS.experiment.workers.evaluate", unlucky)
    (tmp_path / "e.yaml").write_text(GOOD)
    assert main(["search", str(tmp_path / "e.yaml"), "--run-dir", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    line = fails("export", tmp_path / "run", "0", "--out", tmp_path / "x")
    assert "trial 0 was failed" in line
    assert "cosmic ray" in line
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "not an architecture"),
        ("{}", "not an architecture"),
        ('{"version": 1, "stem": {"width": 8}, "stages": []}', "stages"),
    ],
)
def test_a_broken_architecture_file_is_named(fails: Fails, tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / "a.json").write_text(text)
    line = fails("evaluate", tmp_path / "a.json", SMOKE)
    assert "a.json" in line
    assert part in line


def test_a_missing_architecture_file_is_named(fails: Fails, tmp_path: Path) -> None:
    assert "no such architecture file" in fails("evaluate", tmp_path / "a.json", SMOKE)


def test_a_run_folder_that_cannot_be_made_is_named(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be made" in fails("search", SMOKE, "--run-dir", tmp_path / "file" / "run")
