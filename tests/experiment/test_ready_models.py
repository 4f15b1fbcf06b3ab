"""Ready timm models are searched, shown, enqueued, refitted and exported like networks of our own blocks."""

import json
from pathlib import Path

import pytest
from safetensors.torch import save_file

from ecoNAS import ExperimentConfig, load_run, prepare, run_search
from ecoNAS.analysis.run import Run
from ecoNAS.architecture import Problem, ReadyArchitecture
from ecoNAS.cli import main
from ecoNAS.errors import ConfigError
from ecoNAS.experiment.run import evaluate_architecture
from ecoNAS.models.network import build_network
from ecoNAS.records import Outcome
from ecoNAS.run_folder import RunFolder

MODELS = ("test_efficientnet", "test_byobnet")
SPACE = """
name: tiny_zoo
resolution: {min: 8, max: 64}
models: [test_efficientnet, test_byobnet]
"""
EXPERIMENT = """
search_space: space.yaml
data: {name: digits, resolution: 32}
objectives: [accuracy, energy_per_image, macs]
search: {trials: 5, sampler: auto, seed: 0}
training: {epochs: 1, batch_size: 128}
energy: {meter: estimate}
workers: {kind: in_process}
report: {every_s: 1000}
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    (tmp_path / "space.yaml").write_text(SPACE)
    (tmp_path / "e.yaml").write_text(EXPERIMENT)
    return tmp_path / "e.yaml"


def search(experiment: Path, **changes: object) -> Run:
    folder = experiment.parent / f"run{len(list(experiment.parent.glob('run*')))}"
    run_search(prepare(ExperimentConfig.from_yaml(experiment, changes)), RunFolder(folder), resume=False)
    return load_run(folder)


def names(run: Run) -> list[str]:
    return [trial.evaluation.candidate.architecture.name for trial in run.trials if trial.outcome is Outcome.EVALUATED]


def weights_of(name: str, folder: Path) -> None:
    """Write weights of 1000 classes, as files of others hold them."""
    problem = Problem(input_channels=1, resolution=32, num_classes=1000)
    folder.mkdir(exist_ok=True)
    save_file(build_network(ReadyArchitecture(timm=name), problem).state_dict(), folder / f"{name}.safetensors")


def test_a_zoo_is_searched_to_its_end_and_its_best_is_shown_exported_and_refitted(
    experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = search(experiment, **{"search.proxies": ["naswot", "snip"]})
    folder, out = str(run.folder), tmp_path / "export"

    assert sorted(names(run)) == sorted(MODELS)  # each once, though five trials were asked for
    assert main(["show", folder, "0"]) == 0
    assert f"│ timm      {names(run)[0]}" in capsys.readouterr().out
    assert main(["report", folder]) == 0
    assert f"timm {names(run)[0]}" in (run.folder / "report.html").read_text()
    assert main(["export", folder, "knee", "--out", str(out)]) == 0
    assert json.loads((out / "verification.json").read_text())["verified"]
    assert json.loads((out / "architecture.json").read_text())["timm"] in MODELS
    assert main(["refit", folder, "knee", "--epochs", "1", "--seeds", "1"]) == 0

    again = search(experiment, **{"search.enqueue": [str(out / "architecture.json")], "search.trials": 1})
    assert names(again) == [json.loads((out / "architecture.json").read_text())["timm"]]


def test_trainings_begin_with_the_file_of_a_models_name_in_a_folder(experiment: Path, tmp_path: Path) -> None:
    for name in MODELS:
        weights_of(name, tmp_path / "weights")
    start = {"start": {"weights": str(tmp_path / "weights")}}
    run = search(experiment, **start)
    trainings = [trial.evaluation.training for trial in run.trials if trial.outcome is Outcome.EVALUATED]

    assert len({training.key.start for training in trainings}) == len(MODELS)
    assert all(training.key.start.startswith("weights:") for training in trainings)
    assert all(0.5 < training.inherited < 1 for training in trainings)  # all but the classifier

    alone = evaluate_architecture(
        prepare(ExperimentConfig.from_yaml(experiment, start)), ReadyArchitecture(timm=MODELS[0])
    )
    assert alone.training is not None
    assert alone.training.key.start in {training.key.start for training in trainings}


def test_weights_that_one_model_lacks_are_missed_before_the_search(experiment: Path, tmp_path: Path) -> None:
    weights_of(MODELS[0], tmp_path / "weights")
    with pytest.raises(
        ConfigError, match=r"start.weights: .* no weights of test_byobnet; add test_byobnet.safetensors"
    ):
        prepare(ExperimentConfig.from_yaml(experiment, {"start": {"weights": str(tmp_path / "weights")}}))


@pytest.mark.parametrize(
    ("models", "changes", "message"),
    [
        ("test_efficientnet, test_convnext", {"data.resolution": 8},
         "search_space: space 'tiny_zoo': timm model 'test_convnext' cannot read images of 1x8x8: "),
        ("test_efficientnet, test_vit", {"training.early": {"until": 0.5, "resolution": 0.5}},
         r"'test_vit' reads images of 32 pixels only, and not of \d+; leave it out, or training.early.resolution"),
        ("resnet10t, edgenext_xx_small\ndeployment: {resolution: [24, 32]}", {},
         "timm model 'edgenext_xx_small' cannot read images of 1x24x24"),
        ("resnet10t, edgenext_xx_small", {"training.early": {"until": 0.5, "resolution": 0.75}},
         "timm model 'edgenext_xx_small' cannot read images of 1x24x24"),
        ("test_efficientnet, test_byobnet", {"data.resolution": 128}, "is meant for images of 8 to 64 pixels"),
    ],
)  # fmt: skip
def test_models_that_do_not_fit_are_refused_at_the_door(
    experiment: Path, models: str, changes: dict[str, object], message: str
) -> None:
    space = experiment.with_name("space.yaml")
    names, _, more = models.partition("\n")
    space.write_text(SPACE.replace("test_efficientnet, test_byobnet", names) + more)
    with pytest.raises(ConfigError, match=message) as caught:
        prepare(ExperimentConfig.from_yaml(experiment, changes))
    assert "\n" not in str(caught.value)


def test_an_architecture_file_of_an_unknown_model_is_one_line(
    experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text('{"version": 1, "timm": "test_efficientnett"}')
    assert main(["evaluate", str(tmp_path / "a.json"), str(experiment)]) == 2
    line = capsys.readouterr().err.strip()
    assert "unknown timm model 'test_efficientnett'" in line
    assert "did you mean 'test_efficientnet'" in line
    assert "\n" not in line
