"""Experiment files: defaults, overrides, and what a user reads after a mistake."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ecoNAS.config import ExperimentConfig, SplitConfig, available_cpus
from ecoNAS.errors import ConfigError
from ecoNAS.recipe import TrainingConfig

EXAMPLE = """\
# The example of the design page.
search_space: space.yaml
data: {name: digits}
objectives: [accuracy, energy_per_image, flops, params]
constraints: ["params <= 60e3", "macs <= 1.5e6"]
search: {trials: 40, sampler: auto, seed: 0}
training: {epochs: 12, batch_size: 64}
energy: {meter: estimate}
workers: {kind: ray, cpus_per_trial: 1}
"""
SHORTEST = "search_space: space.yaml\ndata: {name: digits}\nobjectives: [accuracy]\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "space.yaml").touch()
    return tmp_path / "experiment.yaml"


def load(path: Path, text: str, overrides: dict[str, Any] | None = None) -> ExperimentConfig:
    path.write_text(text)
    return ExperimentConfig.from_yaml(path, overrides)


def mistake(path: Path, text: str, overrides: dict[str, Any] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, text, overrides)
    message = str(caught.value)
    assert "\n" not in message
    assert "Input should" not in message
    return message.replace(f"{path.parent}/", "")


def test_the_example_of_the_design_page_is_read(path: Path) -> None:
    config = load(path, EXAMPLE)

    assert config.search_space == path.parent / "space.yaml"
    assert config.objectives == ("accuracy", "energy_per_image", "flops", "params")
    assert (config.search.trials, config.training.epochs, config.energy.meter) == (40, 12, "estimate")
    assert config.workers.kind == "ray"


def test_joules_are_measured_unless_the_user_says_otherwise(path: Path) -> None:
    assert load(path, SHORTEST).energy.meter == "auto"


def test_paths_of_the_data_become_absolute(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path.parent / "images").mkdir()
    monkeypatch.setenv("ECONAS_IMAGES", "images")

    config = load(path, SHORTEST.replace("digits", "'folder', path: '${ECONAS_IMAGES:-data}'"))

    assert config.data.path == path.parent / "images"


def test_overrides_may_name_environment_variables_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTURES", "/pictures")
    data = {"name": "npz", "path": "${PICTURES}/a.npz"}
    assert load(path, SHORTEST, {"data": data}).data.path == Path("/pictures/a.npz")
    with pytest.raises(ConfigError, match="environment variable NOWHERE is not set"):
        load(path, SHORTEST, {"data.path": "${NOWHERE}/a.npz"})


def test_overrides_replace_values_and_make_sections(path: Path) -> None:
    config = load(path, SHORTEST + "search: {trials: 9}\n", {"search.trials": 5, "training.epochs": 2})

    assert (config.search.trials, config.training.epochs) == (5, 2)


def test_an_override_below_a_plain_value_is_refused_in_one_line(path: Path) -> None:
    message = mistake(path, SHORTEST + "search: 5\n", {"search.trials": 5})

    assert message == "experiment.yaml:4: search: must be keys with values, got 5"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("search: 5", "4: search: must be keys with values (trials, budget, plateau, sampler"),
        ("search: {trails: 5}", "4: search.trails: unknown key 'trails'; known: "),
        ("search: {trials: 0}", "4: search.trials: must be at least 1, got 0"),
        ("search: {trials: many}", "4: search.trials: must be a whole number, got 'many'"),
        ("training: {lr: 0}", "4: training.lr: must be above 0, got 0"),
        ("training: {label_smoothing: 1}", "4: training.label_smoothing: must be below 1, got 1"),
        ("workers: {kind: rays}", "4: workers.kind: must be 'ray' or 'in_process', got 'rays' (did you mean 'ray'?)"),
        ("deployment: {dtype: fp31}", "4: deployment.dtype: must be 'fp32', 'bf16' or 'fp16', got 'fp31' (did you"),
        ("version: 2", "4: version: must be 1, got 2"),
        ("baseline: mobilenet", "4: baseline: must be keys with values (timm), got 'mobilenet'"),
        ("constraints: params <= 5", "4: constraints: must be a list, got 'params <= 5'"),
        ("energy: {protocol: {idle: 3}}", "4: energy.protocol.idle: unknown key 'idle'; known: cpu_window_s, cross_"),
        ("energy: {protocol: {idle_s: -3}}", "4: energy.protocol: idle_s -3.0 must be above 0"),
        ("search: {budget: {energy: 5 kW}}", "4: search.budget.energy: 'kW' in '5 kW' is no unit here; use no unit, J"),
        ("energy: {meter: [a]}", "4: energy.meter: must be text, got ['a']"),
    ],
)
def test_mistakes_say_line_key_value_and_what_would_work(path: Path, text: str, message: str) -> None:
    assert mistake(path, SHORTEST + text + "\n").startswith(f"experiment.yaml:{message}")


def test_a_misspelt_section_is_named_before_the_missing_one(path: Path) -> None:
    message = mistake(path, SHORTEST.replace("data:", "dta:") + "search: {trials: 0}\n")

    assert message.startswith("experiment.yaml:2: dta: unknown key 'dta'; known: ")
    assert message.endswith("(did you mean 'data'?) (and 2 more)")


def test_an_objective_stands_once(path: Path) -> None:
    message = mistake(path, SHORTEST.replace("[accuracy]", "[params, params]"))

    assert message == "experiment.yaml:3: objectives: objective 'params' stands twice; keep one"


def test_a_split_leaves_images_to_train_on(path: Path) -> None:
    message = mistake(path, SHORTEST.replace("digits", "digits, split: {validation: 0.6, test: 0.4}"))

    assert message == (
        "experiment.yaml:2: data.split: validation 0.6 and test 0.4 leave no image to train on; keep their sum below 1"
    )
    assert SplitConfig(validation=0.5, test=0.0).test == 0


def test_errors_found_later_still_open_with_file_line_and_key(path: Path) -> None:
    config = load(path, EXAMPLE)

    assert str(config.error(("objectives", 2), "no such thing")) == f"{path}:4: objectives.2: no such thing"
    assert str(config.error(("baseline", "timm"), "no")) == f"{path}:2: baseline.timm: no"


def test_a_config_made_in_code_still_names_the_key() -> None:
    config = ExperimentConfig(search_space=Path("s.yaml"), data={"name": "digits"}, objectives=("accuracy",))

    assert str(config.error(("search", "sampler"), "unknown")) == "search.sampler: unknown"


def test_a_config_cannot_be_changed(path: Path) -> None:
    config = load(path, EXAMPLE)

    with pytest.raises(ValidationError, match="frozen"):
        config.search.trials = 3


def test_recipes_that_differ_have_different_digests() -> None:
    assert TrainingConfig().digest == TrainingConfig(epochs=12).digest
    assert TrainingConfig().digest != TrainingConfig(epochs=13).digest


def test_a_changed_copy_of_a_recipe_has_a_digest_of_its_own() -> None:
    recipe = TrainingConfig()
    assert recipe.digest

    assert recipe.model_copy(update={"epochs": 13}).digest == TrainingConfig(epochs=13).digest


def test_this_process_may_use_a_cpu() -> None:
    assert available_cpus() >= 1
