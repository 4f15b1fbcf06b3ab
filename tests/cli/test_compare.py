"""`econas compare`, as a user types it: ready models are evaluated once, and mistakes cost nothing."""

import fcntl
import json
import shutil
from pathlib import Path

import pytest

from ecoNAS.cli import main
from ecoNAS.run_folder import RunFolder

SPACE = Path(__file__).parents[2] / "search_spaces" / "smoke.yaml"
EXPERIMENT = f"""\
search_space: {SPACE}
data: {{name: digits}}
objectives: [accuracy, energy_per_image, macs]
search: {{trials: 2, sampler: random}}
training: {{epochs: 1, batch_size: 128}}
energy: {{meter: estimate}}
workers: {{kind: in_process}}
"""
MODEL = "test_efficientnet"  # of timm's smallest; it can read images of 8 x 8


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two trials, without ready models."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "e.yaml").write_text(EXPERIMENT)
    assert main(["search", str(folder / "e.yaml"), "--run-dir", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def compared(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run with one ready model."""
    path = tmp_path_factory.mktemp("compared") / "run"
    shutil.copytree(finished, path)
    assert main(["compare", str(path), "--zoo", MODEL]) == 0
    return path


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def no_training(*_: object) -> None:
    raise AssertionError("something was trained")


def fails(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    capsys.readouterr()
    assert main([str(word) for word in argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


def test_a_ready_model_goes_the_way_of_a_candidate_and_is_kept(compared: Path) -> None:
    (model,) = RunFolder(compared).ready_models()
    trial = next(iter(RunFolder(compared).evaluations().values()))

    assert model.name == MODEL
    assert model.training.key.data == trial.training.key.data
    assert model.training.key.recipe == trial.training.key.recipe
    assert model.profile.energy.kind == "estimated"
    assert len(model.training.curve) == 1


def test_a_ready_model_that_is_there_is_not_trained_again(
    compared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecoNAS.evaluation.ready.evaluate_ready_model", no_training)

    assert main(["compare", str(compared), "--zoo", MODEL]) == 0
    text = capsys.readouterr().out
    assert MODEL in text
    assert "(estimated)" in text
    assert "the search" in text


def test_json_holds_every_network_and_nothing_else_is_on_standard_output(
    compared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(compared), "--trial", "0", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)

    assert document["trial"] == 0
    assert [row["name"] for row in document["networks"]] == ["trial 0", MODEL]
    assert document["bill"]["meaning"] == "training compute only (estimated)"


def test_the_front_ends_with_the_verdict_where_there_are_ready_models(
    finished: Path, compared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["front", str(finished)]) == 0
    assert "ready model" not in capsys.readouterr().out
    assert main(["compare", str(compared), "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)["verdict"]
    assert main(["front", str(compared)]) == 0
    assert capsys.readouterr().out.endswith(f"{verdict}\n")


def test_without_ready_models_the_way_on_is_named(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(finished)]) == 0
    assert f"econas compare {finished} --zoo mobilenetv3_small_050" in capsys.readouterr().out


def test_a_wrong_name_is_found_before_anything_is_trained(
    copy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecoNAS.evaluation.ready.evaluate_ready_model", no_training)

    line = fails(capsys, "compare", copy, "--zoo", MODEL, "mobilenetv3_smal_050")
    assert "did you mean 'mobilenetv3_small_050'" in line
    assert "cannot read images of 1x8x8" in fails(capsys, "compare", copy, "--zoo", MODEL, "test_convnext")
    assert not (copy / "baselines").exists()


def test_an_interrupt_keeps_what_is_done(
    copy: Path, compared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (model,) = RunFolder(compared).ready_models()

    def evaluate(task: object) -> object:
        if task.timm != MODEL:
            raise KeyboardInterrupt
        return model

    monkeypatch.setattr("ecoNAS.evaluation.ready.evaluate_ready_model", evaluate)

    assert main(["compare", str(copy), "--zoo", MODEL, "lcnet_035"]) == 130
    assert "what was finished is kept" in capsys.readouterr().err
    assert [model.name for model in RunFolder(copy).ready_models()] == [MODEL]


def test_a_ready_model_that_cannot_be_trained_is_left_out_and_the_others_go_on(
    copy: Path, compared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ecoNAS.training.failures import DivergedError

    (model,) = RunFolder(compared).ready_models()

    def evaluate(task: object) -> object:
        if task.timm != MODEL:
            raise DivergedError("training diverged in epoch 1")
        return model

    monkeypatch.setattr("ecoNAS.evaluation.ready.evaluate_ready_model", evaluate)

    assert main(["compare", str(copy), "--zoo", "lcnet_035", MODEL]) == 0
    captured = capsys.readouterr()
    assert "[1/2] lcnet_035: left out: training diverged in epoch 1" in captured.err
    assert f"[2/2] {MODEL}: accuracy" in captured.err
    assert MODEL in captured.out


def test_missing_and_other_data_are_one_line(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (copy / "experiment.yaml").read_text()
    (copy / "experiment.yaml").write_text(
        text.replace("name: digits", "name: npz").replace("path: null", "path: f.npz")
    )
    assert "f.npz" in fails(capsys, "compare", copy, "--zoo", MODEL)

    (copy / "experiment.yaml").write_text(text.replace("  resolution: null", "  resolution: 16", 1))
    assert "data set digits is not the one of" in fails(capsys, "compare", copy, "--zoo", MODEL)


def test_runs_without_front_and_in_use_are_one_line(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (copy / "run.lock").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "is in use by process" in fails(capsys, "compare", copy, "--zoo", MODEL)
    assert "it holds trials 0 to 1" in fails(capsys, "compare", copy, "--trial", "9")
    (copy / "events.jsonl").write_text("")
    assert "has no knee. The front is empty" in fails(capsys, "compare", copy, "--zoo", MODEL)
    assert "no such run folder" in fails(capsys, "compare", copy.parent / "nothing")


def test_a_ready_model_at_the_size_of_the_images_is_the_one_that_is_there(
    compared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecoNAS.evaluation.ready.evaluate_ready_model", no_training)

    assert main(["compare", str(compared), "--zoo", f"{MODEL}@8"]) == 0
    assert MODEL in capsys.readouterr().out
