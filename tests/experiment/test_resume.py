"""What a resumed run may change, and which folder is meant."""

import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from ecoNAS import load_run, prepare, run_search
from ecoNAS.cli import main
from ecoNAS.config import ExperimentConfig
from ecoNAS.errors import RunFolderError
from ecoNAS.events import RunStarted
from ecoNAS.experiment.outputs import drop_weights, write_outputs
from ecoNAS.experiment.resume import check_meter, check_unchanged, folder_to_resume, new_folder, write_config
from ecoNAS.measurement import MeterInfo
from ecoNAS.records import Outcome
from ecoNAS.run_folder import RunFolder
from ecoNAS.search.streaks import MAX_IN_A_ROW

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "experiments" / "smoke.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    found = RunFolder(tmp_path / "runs" / "smoke-1")
    found.create()
    write_config(ExperimentConfig.from_yaml(SMOKE), found)
    (found.path / "events.jsonl").touch()
    return found


def test_a_run_folder_alone_says_what_was_run(folder: RunFolder) -> None:
    before, again = ExperimentConfig.from_yaml(SMOKE), ExperimentConfig.from_yaml(folder.experiment)
    assert again.search_space == folder.search_space
    assert again.model_dump(exclude={"search_space"}) == before.model_dump(exclude={"search_space"})
    assert folder.search_space.read_bytes() == (ROOT / "search_spaces" / "smoke.yaml").read_bytes()
    check_unchanged(again, folder)


@pytest.mark.parametrize(
    "change", [{"search.trials": 50}, {"workers": {"kind": "ray"}}, {"report.every_s": 5}, {"keep_weights": "front"}]
)
def test_budget_workers_and_report_may_change(folder: RunFolder, change: dict[str, object]) -> None:
    check_unchanged(ExperimentConfig.from_yaml(SMOKE, change), folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"search.seed": 1}, "search.seed was 0 and is now 1"),
        ({"search.sampler": "tpe"}, "search.sampler was 'random' and is now 'tpe'"),
        ({"objectives": ["accuracy"]}, "objectives was .* and is now"),
        ({"constraints": ["params <= 1k"]}, "constraints was .* and is now"),
        ({"deployment.batch": 1}, "deployment.batch was 32 and is now 1"),
        ({"training.lr": 1, "training.epochs": 9}, r"training.epochs was 2 and is now 9 \(and 1 more\)"),
        ({"search_space": str(ROOT / "search_spaces" / "hybrid_tiny.yaml")}, "search_space"),
    ],
)
def test_what_changes_the_values_is_refused(folder: RunFolder, change: dict[str, object], message: str) -> None:
    with pytest.raises(RunFolderError, match=message):
        check_unchanged(ExperimentConfig.from_yaml(SMOKE, change), folder)


METER = MeterInfo("rapl", "measured", "rapl", "package", "cpu:a", device_name="Some CPU")


@pytest.mark.parametrize(
    ("meter", "message"),
    [
        (replace(METER, device="cpu:b"), "device 'cpu:a' and here it is 'cpu:b'"),
        (replace(METER, scope="package+dram"), "scope 'package' and here it is 'package.dram'"),
        (None, "kind 'measured' and here it is 'None'"),
    ],
)
def test_joules_of_another_meter_are_refused(folder: RunFolder, meter: MeterInfo | None, message: str) -> None:
    folder.events.append(RunStarted(resumed=False, trials=4, sampler="random", energy="rapl", meter=METER))

    check_meter(METER, folder)
    with pytest.raises(RunFolderError, match=message):
        check_meter(meter, folder)


def test_the_newest_run_of_an_experiment_is_resumed_by_default(
    tmp_path: Path, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    later = RunFolder(tmp_path / "runs" / "smoke-2")
    later.create()
    write_config(ExperimentConfig.from_yaml(SMOKE), later)
    (later.path / "events.jsonl").touch()
    assert folder_to_resume(SMOKE, None).path.name == "smoke-2"
    assert folder_to_resume(SMOKE, folder.path).path == folder.path
    with pytest.raises(RunFolderError, match="no run of digits below runs/"):
        folder_to_resume(Path("digits.yaml"), None)


def test_a_new_run_has_a_folder_named_for_experiment_and_time() -> None:
    assert new_folder(SMOKE, None).path.match("runs/smoke-20[0-9]*-[0-9]*")


def test_a_full_disk_ends_in_one_line_and_the_run_can_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ecoNAS import load_run
    from ecoNAS.cli import main

    command = ["search", str(SMOKE), "--run-dir", str(tmp_path / "run"), "--set", "training.epochs=1"]
    real, writes = os.fsync, iter(range(10**6))

    def full(descriptor: int) -> None:
        if next(writes) == 12:
            raise OSError(28, os.strerror(28))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        assert main(command) == 2
    assert main([*command, "--resume"]) == 0
    assert load_run(tmp_path / "run").counts["evaluated"] == 6


def test_an_interrupt_before_the_first_trial_leaves_a_folder_that_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    command = ["search", str(SMOKE), "--run-dir", str(tmp_path / "run"), "--set", "search.trials=2"]
    with monkeypatch.context() as patch:
        patch.setattr("ecoNAS.experiment.opening.look_over", interrupted)
        assert main(command) == 130
    assert "begin again with the same command" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr("ecoNAS.experiment.run.open_run_study", interrupted)
        assert main(command) == 130
    words = shlex.split(capsys.readouterr().err.partition("Go on with: ")[2])
    assert words[:2] == ["econas", "search"]
    assert main(words[1:]) == 0  # as printed, also after --set
    assert load_run(tmp_path / "run").counts["evaluated"] == 2


def test_weights_off_the_front_are_dropped_when_the_search_ends_and_not_before(tmp_path: Path) -> None:
    """Until then another candidate may share them, and one just trained has no record yet."""
    values = {"search.trials": 6, "keep_weights": "front", "training.epochs": 1, "report.every_s": 1e9}
    folder = RunFolder(tmp_path / "run")
    run_search(prepare(ExperimentConfig.from_yaml(SMOKE, values)), folder, resume=False)
    there = {path.stem for path in (folder.path / "weights").glob("*.safetensors")}
    assert there == {trial.digest for trial in load_run(folder.path).front_trials()}
    just_trained = folder.weights("0" * 64)
    just_trained.write_bytes(b"weights")

    write_outputs(folder)
    assert just_trained.exists()
    drop_weights(folder)
    assert not just_trained.exists()


def test_a_search_that_can_train_nothing_ends_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(MAX_IN_A_ROW, Outcome.INFEASIBLE, 3)
    values = ("search.trials=2", "training.lr=1e9", "training.epochs=1")
    options = [word for value in values for word in ("--set", value)]

    assert main(["search", str(SMOKE), "--run-dir", str(tmp_path / "run"), *options]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "ended early: 3 candidates in a row could not be trained; the last: " in line
    assert "lower training.lr" in line
