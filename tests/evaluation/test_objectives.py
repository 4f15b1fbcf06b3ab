"""Objectives read scores from a finished evaluation; nothing is computed again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ecoNAS.config import ExperimentConfig
from ecoNAS.dotted_path import is_dotted
from ecoNAS.errors import ConfigError, JoulesMixError
from ecoNAS.evaluation.objectives import OBJECTIVES, Objectives, objectives_of
from ecoNAS.joules import EstimatedJoules, MeasuredJoules
from ecoNAS.records import Evaluation

MakeEvaluation = Callable[..., Evaluation]


def objectives(*names: str, lifetime_images: float = 1e6) -> Objectives:
    return Objectives(tuple(OBJECTIVES[name] for name in names), lifetime_images)


@pytest.mark.parametrize(
    ("name", "value", "unit", "kind"),
    [
        ("accuracy", 0.9, "", "measured"),
        ("macro_f1", 0.8, "", "measured"),
        ("balanced_accuracy", 0.7, "", "measured"),
        ("worst_recall", 0.6, "", "measured"),
        ("energy_per_image", 0.002, "J", "estimated"),
        ("energy_per_image_b1", 0.003, "J", "estimated"),
        ("training_energy", 50.0, "J", "estimated"),
        ("lifetime_energy", 2050.0, "J", "estimated"),  # 50 J + a million images of 2 mJ
        ("latency", 0.004, "s", "measured"),
        ("macs", 20000, "", "exact"),
        ("flops", 40000, "", "exact"),
        ("params", 1000, "", "exact"),
        ("activation_memory", 4096, "B", "exact"),
    ],
)
def test_each_objective_reads_its_score(
    make_evaluation: MakeEvaluation, name: str, value: float, unit: str, kind: str
) -> None:
    scores = objectives(name).scores(make_evaluation())

    assert scores is not None
    assert scores[0].value == pytest.approx(value)
    assert scores[0].kind == kind
    assert OBJECTIVES[name].unit == unit


def test_every_objective_is_tried_above() -> None:
    assert len([name for name in OBJECTIVES if not is_dotted(name)]) == 13


def test_only_what_a_network_reads_right_is_maximised() -> None:
    scores = ["accuracy", "macro_f1", "balanced_accuracy", "worst_recall"]
    ours = [name for name, objective in OBJECTIVES.items() if objective.direction == "maximize" and not is_dotted(name)]
    assert ours == scores
    assert OBJECTIVES["accuracy"].better(0.9, 0.8)
    assert OBJECTIVES["params"].better(10, 20)
    assert not OBJECTIVES["params"].better(10, 10)


def test_exact_objectives_need_neither_training_nor_device(make_evaluation: MakeEvaluation) -> None:
    bare = make_evaluation(training=None, profile=None, profile_b1=None)

    for name, objective in OBJECTIVES.items():
        assert (objectives(name).values(bare) is not None) == (objective.known == "exact")


def test_measurable_objectives_need_no_training(make_evaluation: MakeEvaluation) -> None:
    untrained = make_evaluation(training=None)

    for name, objective in OBJECTIVES.items():
        assert (objectives(name).values(untrained) is not None) == (objective.known != "after_training")


def test_one_missing_score_leaves_no_values(make_evaluation: MakeEvaluation) -> None:
    assert objectives("params", "accuracy").values(make_evaluation(training=None)) is None


def test_values_stand_in_the_order_of_the_user(make_evaluation: MakeEvaluation) -> None:
    some = objectives("params", "accuracy", "macs")

    assert some.names == ("params", "accuracy", "macs")
    assert some.directions == ("minimize", "maximize", "minimize")
    assert some.values(make_evaluation()) == (1000, 0.9, 20000)


def test_the_same_evaluations_can_be_scored_by_other_objectives(make_evaluation: MakeEvaluation) -> None:
    assert objectives("accuracy").select(["macs", "params"]).values(make_evaluation()) == (20000, 1000)


def test_an_estimate_has_an_interval_and_no_standard_error(make_evaluation: MakeEvaluation) -> None:
    scores = objectives("energy_per_image").scores(make_evaluation())

    assert scores is not None
    assert scores[0].standard_error is None
    assert scores[0].interval == pytest.approx((0.002 / 3, 0.006))


def test_a_measurement_has_the_standard_error_of_its_interval(make_evaluation: MakeEvaluation) -> None:
    evaluation = make_evaluation()
    joules = MeasuredJoules(value_j=2, low_j=1.02, high_j=2.98, method="nvml", scope="gpu", device="gpu:1")
    assert evaluation.profile is not None

    scores = objectives("energy_per_image").scores(
        make_evaluation(profile=evaluation.profile.model_copy(update={"energy": joules}))
    )

    assert scores is not None
    assert scores[0].standard_error == pytest.approx(0.5)  # 95 % of a normal lie within 1.96 standard errors


def test_a_lifetime_of_measured_images_and_estimated_training_is_refused(make_evaluation: MakeEvaluation) -> None:
    evaluation = make_evaluation()
    joules = MeasuredJoules(value_j=2, low_j=1, high_j=3, method="nvml", scope="gpu", device="gpu:1")
    assert evaluation.profile is not None
    assert evaluation.training is not None
    assert isinstance(evaluation.training.energy, EstimatedJoules)

    with pytest.raises(JoulesMixError, match="joules of different kind do not mix: 'estimated' and 'measured'"):
        objectives("lifetime_energy").values(
            make_evaluation(profile=evaluation.profile.model_copy(update={"energy": joules}))
        )


def test_an_unknown_objective_is_named_with_its_place_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("search_space: s.yaml\ndata: {name: digits}\nobjectives:\n  - accuracy\n  - flop\n")
    config = ExperimentConfig.from_yaml(path)

    with pytest.raises(ConfigError) as caught:
        objectives_of(config)

    assert str(caught.value).startswith(f"{path}:5: objectives.1: unknown objective 'flop'; known: accuracy, ")
    assert str(caught.value).endswith("(did you mean 'flops'?)")


def test_an_experiment_gets_its_objectives_and_its_lifetime(tmp_path: Path, make_evaluation: MakeEvaluation) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(
        "search_space: s.yaml\ndata: {name: digits}\nobjectives: [lifetime_energy]\nenergy: {lifetime_images: 100}\n"
    )

    assert objectives_of(ExperimentConfig.from_yaml(path)).values(make_evaluation()) == pytest.approx((50.2,))
