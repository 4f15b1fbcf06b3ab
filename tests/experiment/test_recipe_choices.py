"""Parts of the recipe as decisions of a search: each network is trained as it decided, and says so everywhere."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecoNAS import ExperimentConfig, load_run, prepare, run_search
from ecoNAS.analysis.evaluation_view import evaluation_view
from ecoNAS.analysis.provenance import provenance
from ecoNAS.analysis.report import render_report
from ecoNAS.analysis.run import Run
from ecoNAS.architecture import Candidate, ReadyArchitecture
from ecoNAS.cli import main
from ecoNAS.errors import ConfigError
from ecoNAS.experiment.setup import Setup
from ecoNAS.recipe import RandAugmentConfig, RecipeChoice, TrainingConfig
from ecoNAS.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
SPACE: dict[str, Any] = {
    "name": "recipes",
    "resolution": {"min": 4, "max": 32},
    "stem": {"width": 4},
    "stages": [{"width": 4, "depth": 1, "stride": 2, "block": {"convnext": {"kernel_size": 3, "expansion": 1}}}],
}
RECIPE = {"lr": [0.003, 0.01], "weight_decay": [0, 0.02], "randaugment": [0, 9]}


def setup_of(folder: Path, recipe: dict[str, Any], **changes: Any) -> Setup:
    (folder / "space.yaml").write_text(yaml.safe_dump({**SPACE, "recipe": recipe}))
    values = {"search_space": str(folder / "space.yaml"), "training.epochs": 1, "search.trials": 4, **changes}
    return prepare(ExperimentConfig.from_yaml(ROOT / "experiments" / "smoke.yaml", values))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("recipes")
    run_search(setup_of(folder, RECIPE), RunFolder(folder / "run"), resume=False)
    return load_run(folder / "run")


def test_a_network_is_trained_as_it_decided(run: Run) -> None:
    found = [trial.evaluation for trial in run.trials if trial.evaluation is not None]
    assert len(found) == 4
    assert len({item.candidate.architecture for item in found}) == 1
    for item in found:
        assert item.training is not None
        assert item.training.key.recipe == item.candidate.recipe.of(run.config.training).digest
    assert len({item.training.key.recipe for item in found if item.training}) == 4  # none took that of another


def test_what_was_decided_is_told(run: Run) -> None:
    trial = next(trial for trial in run.trials if trial.evaluation is not None)
    assert trial.evaluation is not None
    decided = ", ".join(f"{name} {value}" for name, value in trial.evaluation.candidate.recipe)
    assert f"trained with: {decided}" in str(evaluation_view(trial.evaluation, run.objectives)[-1])
    assert dict(provenance(run))["training"].endswith("lr and randaugment and weight_decay as each network decides")
    assert json.loads(str(run.front()["recipe"][0])).keys() == RECIPE.keys()
    if len(run.front_trials()) > 1:
        assert any(f"{name} " in render_report(run) for name in RECIPE)


def test_a_choice_that_says_nothing_leaves_digests_as_they_were() -> None:
    ready = ReadyArchitecture(timm="test_resnet")
    assert Candidate(architecture=ready).digest == Candidate(architecture=ready, recipe=RecipeChoice()).digest
    assert Candidate(architecture=ready).digest != Candidate(architecture=ready, recipe=RecipeChoice(lr=0.1)).digest
    assert RecipeChoice().of(TrainingConfig()) == TrainingConfig()


def test_the_strength_of_augmentation_is_a_magnitude_and_zero_is_none() -> None:
    usual = TrainingConfig(randaugment=RandAugmentConfig(ops=3, magnitude=5))
    assert RecipeChoice(randaugment=12).of(usual).randaugment == RandAugmentConfig(ops=3, magnitude=12)
    assert RecipeChoice(randaugment=12).of(TrainingConfig()).randaugment == RandAugmentConfig(magnitude=12)
    assert RecipeChoice(randaugment=0).of(usual).randaugment is None


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"lr": [0, 0.1]}, r"recipe: lr 0 must be greater than 0"),
        ({"learning_rate": [0.1]}, r"recipe: unknown choice 'learning_rate'"),
        ({"randaugment": [31]}, r"recipe: randaugment 31 must be less than or equal to 30"),
    ],
)
def test_what_no_recipe_can_be_is_refused_with_the_space(tmp_path: Path, recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        setup_of(tmp_path, recipe)


def test_a_space_says_in_how_many_ways_each_network_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {**SPACE, "recipe": RECIPE, "stem": {"width": [4, 8]}}
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space))
    assert main(["space", str(tmp_path / "space.yaml"), "--samples", "1"]) == 0
    told = capsys.readouterr().out
    assert "8 of each network" in told
    assert "weight_decay 0" in told
    assert main(["space", str(tmp_path / "space.yaml"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["num_networks"], found["num_recipes"]) == (2, 8)
