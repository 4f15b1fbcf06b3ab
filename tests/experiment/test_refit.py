"""A refit trains what was chosen, reads the test split once a training, survives any death, and is what is exported."""

import json
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
import torch

from ecoNAS import ExperimentConfig, load_run, prepare, run_search
from ecoNAS.analysis.refitted import deployed, read_refitted
from ecoNAS.analysis.run import Run
from ecoNAS.analysis.verdicts import verdicts
from ecoNAS.cli import main
from ecoNAS.data.datasets import load_test_split
from ecoNAS.errors import DataError, RunFolderError
from ecoNAS.evaluation import parts
from ecoNAS.events import SplitRead
from ecoNAS.experiment.refit import Refitting, Watcher, recipe_of_refit, run_refit
from ecoNAS.records import Refit, Training
from ecoNAS.refit_folder import RefitFolder, best
from ecoNAS.run_folder import RunFolder
from ecoNAS.training.failures import DivergedError

SMOKE = Path(__file__).parents[2] / "experiments" / "smoke.yaml"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    values = {"search.trials": 4, "training.epochs": 1, "report.every_s": 1e9}
    run_search(prepare(ExperimentConfig.from_yaml(SMOKE, values)), RunFolder(tmp_path / "run"), resume=False)
    return load_run(tmp_path / "run")


def refitting(run: Run, epochs: int = 3, seeds: int = 2) -> Refitting:
    return Refitting(run, run.front_trials()[:2], (), recipe_of_refit(run, epochs), seeds)


def refit(what: Refitting) -> list[Refit]:
    told: list[Refit] = []
    run_refit(what, Watcher(told.append))
    return told


def test_each_network_is_trained_with_each_seed_and_read_on_the_test_split_once(run: Run) -> None:
    told = refit(refitting(run))
    reads = [event for event in RunFolder(run.folder).events if isinstance(event, SplitRead)]
    labels = load_test_split(run.config.data).labels

    assert len(told) == len(reads) == 4
    assert {len(one.training.curve) for one in told} == {3}
    assert len({one.training.key.seed for one in told}) == 4
    records = [trial.evaluation.training for trial in run.trials if trial.evaluation]
    chosen = {record.key.seed for record in records if record is not None}
    assert chosen.isdisjoint(one.training.key.seed for one in told)  # those flatter what the search chose
    for one in told:
        right = sum(int(guess == label) for guess, label in zip(one.test_predictions, labels, strict=True))
        assert one.test["accuracy"].value == right / len(labels)
        assert one.test["accuracy"].split == "test"
        assert one.training.accuracy.split == "validation"


def test_the_same_command_trains_nothing_again_and_more_seeds_only_those(run: Run) -> None:
    first = refit(refitting(run))
    again = refit(refitting(run))
    more = refit(refitting(run, seeds=3))

    assert [one.ended for one in again] == [one.ended for one in first]
    assert len(more) == 6
    assert [one.ended for one in more[:4]] == [one.ended for one in first]
    with pytest.raises(RunFolderError, match=r"refit holds a refit of 3 epochs with another recipe"):
        refit(refitting(run, epochs=4))


def test_a_training_goes_on_from_its_last_checkpoint(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = refit(replace(refitting(run, epochs=5), num_seeds=1))
    before = {one.network: one.test_predictions for one in undisturbed}
    for path in (run.folder / "refit").glob("*-*.json"):
        path.unlink()
    trained, train = [], parts.train_network

    def dies_in_its_third_part(task: object) -> object:
        trained.append(task)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return train(task)

    monkeypatch.setattr(parts, "train_network", dies_in_its_third_part)
    with pytest.raises(KeyboardInterrupt):
        refit(replace(refitting(run, epochs=5), num_seeds=1))
    trained.clear()
    monkeypatch.setattr(parts, "train_network", lambda task: (trained.append(task), train(task))[1])
    after = refit(replace(refitting(run, epochs=5), num_seeds=1))

    assert trained[0].since == 2
    assert {one.network: one.test_predictions for one in after} == before
    assert not list((run.folder / "refit" / "checkpoints").rglob("*.safetensors"))


def test_a_training_whose_record_was_lost_is_not_repeated(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    what = replace(refitting(run), num_seeds=1)

    def full_disk(folder: RefitFolder, refit: Refit) -> None:
        raise RunFolderError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(RefitFolder, "write", full_disk)
        with pytest.raises(RunFolderError, match="no space left"):
            refit(what)
    (finished,) = (run.folder / "refit" / "checkpoints").glob("*/training.json")
    before = Training.model_validate_json(finished.read_bytes())
    told = refit(what)

    assert before in [one.training for one in told]
    assert not list((run.folder / "refit" / "checkpoints").rglob("*"))


def test_a_teacher_of_another_recipe_is_refused_before_it_is_trained(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    first = str(run.front_trials()[0].number)
    refit(replace(refitting(run), num_seeds=1))
    assert main(["refit", str(run.folder), first, "--epochs", "2", "--teacher", "resnet10t"]) == 2
    assert "holds a refit of 3 epochs with another recipe" in capsys.readouterr().err
    assert not (run.folder / "refit" / "teacher").exists()
    assert main(["refit", str(run.folder), first, "--temperature", "3"]) == 2
    assert "add --teacher NAME" in capsys.readouterr().err
    assert main(["refit", str(run.folder), first, "--teacher", "resnet10t", "--teacher-weight", "2"]) == 2
    assert "--teacher-weight 2: must be less than or equal to 1" in capsys.readouterr().err


def test_export_takes_the_refitted_network_that_validation_chose(run: Run, tmp_path: Path) -> None:
    refit(refitting(run))
    trial = run.front_trials()[0]
    assert trial.evaluation is not None
    refits = RefitFolder(run.folder).refits()[trial.digest]
    evaluation, test_accuracy = deployed(run, trial.evaluation)

    assert evaluation.training == best(refits).training
    assert best(refits).training.accuracy.value == max(one.training.accuracy.value for one in refits)
    assert main(["export", str(run.folder), str(trial.number), "--out", str(tmp_path / "out")]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["scores"]["test_accuracy"]["value"] == test_accuracy.value
    from safetensors.torch import load_file

    exported = load_file(tmp_path / "out" / "weights.safetensors")
    chosen = load_file(run.folder / evaluation.training.weights_file)
    assert all(torch.equal(exported[name], chosen[name]) for name in chosen)


def test_ready_models_are_compared_by_the_same_recipe_seeds_and_split(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refit(refitting(run))
    trial = str(told[0].trial)
    assert main(["compare", str(run.folder), "--zoo", "test_efficientnet", "--trial", trial, "--json"]) == 0
    comparison = json.loads(capsys.readouterr().out)
    mine, ready = comparison["networks"]
    refits = RefitFolder(run.folder).refits()["timm:test_efficientnet"]

    assert {one.training.key.recipe for one in refits} == {told[0].training.key.recipe}
    assert len(refits) == 2
    assert ready["accuracy"] == pytest.approx(sum(one.test["accuracy"].value for one in refits) / 2)
    assert mine["accuracy"] == pytest.approx(
        sum(one.test["accuracy"].value for one in told if one.trial == told[0].trial) / 2
    )
    larger = ["compare", str(run.folder), "--zoo", "test_efficientnet,test_efficientnet@16", "--trial", trial, "--json"]
    assert main(larger) == 0
    _, *models = json.loads(capsys.readouterr().out)["networks"]
    by_name = {model["name"]: model for model in models}
    assert by_name.keys() == {"test_efficientnet", "test_efficientnet@16"}
    assert by_name["test_efficientnet@16"]["macs"] > 1.4 * by_name["test_efficientnet"]["macs"]
    seen = RefitFolder(run.folder).refits()["timm:test_efficientnet@16"]
    assert {one.training.key.resolution for one in seen} == {16}
    labels = load_test_split(run.config.data).labels
    assert {len(one.test_predictions) for one in seen} == {len(labels)}  # the same images, made larger
    assert main(["compare", str(run.folder), "--zoo", "test_efficientnet@big", "--trial", trial]) == 2
    assert "write NAME, or NAME@PIXELS" in capsys.readouterr().err
    report = (run.folder / "report.html").read_text()
    again = load_run(run.folder)
    assert again.ledger.wall_s == run.ledger.wall_s  # of the search alone
    assert "which refitted networks were judged by" in report
    assert "Trained in full" in report
    said = verdicts(read_refitted(again))
    verdict = next(line for line in said if line.startswith(("test_efficientnet ", "test_efficientnet,")))
    assert escape(verdict.partition(" ")[2][:30]) in report


def test_networks_learn_from_a_teacher_that_is_trained_first(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    first = str(run.front_trials()[0].number)
    command = ["refit", str(run.folder), first, "--epochs", "2", "--seeds", "1", "--teacher", "test_efficientnet"]
    assert main(command) == 0
    (weights,) = (run.folder / "refit" / "teacher").glob("test_efficientnet-*.safetensors")
    written = weights.stat().st_mtime_ns
    plan = RefitFolder(run.folder).plan()
    assert plan is not None
    assert plan.recipe.distillation is not None
    assert plan.recipe.distillation.teacher.startswith("test_efficientnet:")

    assert main(["compare", str(run.folder), "--zoo", "mobilenetv3_small_050", "--trial", first]) == 0
    refits = RefitFolder(run.folder).refits()
    assert {one.training.key.recipe for found in refits.values() for one in found} == {plan.recipe.digest}
    assert weights.stat().st_mtime_ns == written  # the teacher was not trained again
    capsys.readouterr()
    assert main([*command[:-1], str(run.folder)]) == 2
    assert "is no export: it holds no architecture.json" in capsys.readouterr().err


def test_what_cannot_be_refitted_is_said_in_one_line(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["refit", str(run.folder), "99"]) == 2
    assert main(["refit", str(run.folder), "front", "--seeds", "0"]) == 2
    lines = capsys.readouterr().err.splitlines()

    assert "has no trial 99" in lines[0]
    assert lines[1] == "econas: --seeds 0: give at least 1"
    config = run.config.model_copy(update={"data": run.config.data.model_copy(update={"split": _other_split(run)})})
    with pytest.raises(DataError, match="is not the one of"):
        refit(refitting(replace(run, config=config)))


def _other_split(run: Run) -> object:
    return run.config.data.split.model_copy(update={"seed": 7})


def test_the_table_has_means_over_seeds_and_their_intervals(run: Run) -> None:
    told = refit(refitting(run))
    rows = read_refitted(run)
    first = next(row for row in rows if row.trial == told[0].trial)
    values = [one.test["accuracy"].value for one in told if one.trial == first.trial]

    assert first.num_seeds == 2
    assert first.test.value == pytest.approx(sum(values) / 2)
    errors = [one.test["accuracy"].standard_error for one in told if one.trial == first.trial]
    assert first.test.standard_error >= max(abs(values[0] - values[1]) / 2, min(errors)) * 0.999


def test_a_teacher_is_not_trained_for_a_refit_that_had_none(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    refit(replace(refitting(run), num_seeds=1))
    first = str(run.front_trials()[0].number)
    assert main(["refit", str(run.folder), first, "--epochs", "3", "--seeds", "1", "--teacher", "resnet10t"]) == 2
    assert "holds a refit of 3 epochs with another recipe" in capsys.readouterr().err
    assert not (run.folder / "refit" / "teacher").exists()


def test_a_teacher_of_other_classes_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, export = str(run.front_trials()[0].number), tmp_path / "export"
    assert main(["export", str(run.folder), first, "--out", str(export)]) == 0
    metrics = json.loads((export / "metrics.json").read_text())
    metrics["data"]["class_names"][0] = "letter o"
    (export / "metrics.json").write_text(json.dumps(metrics))
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    command = ["refit", str(run.folder), first, "--epochs", "1", "--seeds", "1", "--teacher", "export"]

    assert main(command) == 2
    assert "tells other classes apart (letter o, 1, 2, ..." in capsys.readouterr().err
    metrics["data"]["class_names"][0] = "0"
    (export / "metrics.json").write_text(json.dumps(metrics))
    assert main(command) == 0
    plan = RefitFolder(run.folder).plan()
    assert plan is not None
    assert plan.teacher == str(export)  # a later command may run in another folder


def test_a_training_that_fails_is_named_and_tells_by_the_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def diverges(*_: object) -> Training:
        raise DivergedError("training diverged in epoch 1")

    monkeypatch.setattr(parts, "train_network", diverges)
    first = str(run.front_trials()[0].number)

    assert main(["refit", str(run.folder), first, "--epochs", "1", "--seeds", "1"]) == 1
    assert f"[1/1] trial {first}, seed 0: left out: training diverged in epoch 1" in capsys.readouterr().err


def test_ready_models_get_as_many_seeds_as_the_network_that_they_are_compared_with(run: Run) -> None:
    first = str(run.front_trials()[0].number)
    command = ["compare", str(run.folder), "--zoo", "test_efficientnet", "--trial", first]
    for seeds in (1, 2):
        assert main(["refit", str(run.folder), first, "--epochs", "1", "--seeds", str(seeds)]) == 0
        assert main(command) == 0
        assert len(RefitFolder(run.folder).refits()["timm:test_efficientnet"]) == seeds
