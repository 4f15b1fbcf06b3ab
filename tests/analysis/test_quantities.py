"""Numbers as people read them."""

import pytest

from ecoNAS.analysis.quantities import (
    column,
    differences,
    error_column,
    format_duration,
    format_interval,
    format_quantity,
    format_score,
    title,
)
from ecoNAS.architecture import Candidate, Deployment, ReadyArchitecture
from ecoNAS.evaluation.objectives import OBJECTIVES
from ecoNAS.recipe import RecipeChoice
from ecoNAS.records import Score


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (12_345, "", "12.3 k"),
        (1_200_000, "", "1.20 M"),
        (970, "", "970"),
        (999_900, "", "1.00 M"),
        (4.56e-5, "J", "45.6 uJ"),
        (9.999e-7, "J", "1.00 uJ"),
        (0.0021, "J", "2.10 mJ"),
        (2.5, "J", "2.50 J"),
        (3.2e6, "J", "3.20 MJ"),
        (0, "J", "0 J"),
        (0.912, "", "0.912"),
        (13_200, "B", "13.2 kB"),
        (4e-12, "J", "4.00 pJ"),
        (-1500, "", "-1.50 k"),
    ],
)
def test_quantities_have_three_digits_and_a_sensible_prefix(value, unit, text):
    assert format_quantity(value, unit) == text


def test_an_accuracy_stands_with_its_standard_error():
    score = Score(value=0.97345, standard_error=0.0085, split="validation", kind="measured")
    assert format_score(score) == "0.973 ±0.009"
    assert format_score(Score(value=0.9731, standard_error=0.0003, split="validation")) == "0.9731 ±0.0003"


def test_joules_stand_with_their_relative_error_and_estimates_without():
    measured = Score(value=2e-6, standard_error=4e-8, kind="measured")
    assert format_score(measured, "J") == "2.00 uJ ±2.0%"
    assert format_score(Score(value=2e-6, standard_error=None, kind="estimated"), "J") == "2.00 uJ"


def test_exact_counts_stand_alone():
    assert format_score(Score(value=84_120)) == "84.1 k"


def test_intervals_come_from_the_record_or_from_the_standard_error():
    # 0.98 +- 1.96 x 0.02 reaches beyond 1, which no share of images can.
    score = Score(value=0.98, standard_error=0.02, split="validation")
    assert format_interval(score) == "0.941 to 1.000"
    estimate = Score(value=3e-6, standard_error=None, interval=(1e-6, 9e-6), kind="estimated")
    assert format_interval(estimate, "J") == "1.00 uJ to 9.00 uJ"
    assert format_interval(Score(value=5)) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(8.23, "8.2 s"), (59.97, "60.0 s"), (60, "1 min"), (250, "4 min 10 s"), (3600, "1 h"), (11_130, "3 h 5 min")],
)
def test_durations_read_as_a_person_says_them(seconds, text):
    assert format_duration(seconds) == text


def test_titles_and_columns_say_how_joules_are_known():
    energy = OBJECTIVES["energy_per_image"]
    assert title(energy, "estimated") == "energy_per_image (estimated)"
    assert title(energy, "measured") == "energy_per_image"
    assert column(energy, "simulated") == "energy_per_image_j (simulated)"
    assert error_column(energy) == "energy_per_image_standard_error_j"
    assert column(OBJECTIVES["latency"], "measured") == "latency_s"
    assert column(OBJECTIVES["activation_memory"], "exact") == "activation_memory_bytes"


def test_deployments_are_told_apart_by_what_differs() -> None:
    deployments = [Deployment(batch=8), Deployment(batch=8, threads=2), Deployment(batch=8, dtype="bf16")]
    ready = ReadyArchitecture(timm="test_resnet")
    ways = [Candidate(architecture=ready, deployment=how) for how in deployments]
    assert differences(ways) == ["dtype fp32, threads 1", "dtype fp32, threads 2", "dtype bf16, threads 1"]
    assert differences(ways[:1]) == [""]


def test_recipes_are_told_apart_too() -> None:
    ready = ReadyArchitecture(timm="test_resnet")
    ways = [Candidate(architecture=ready, recipe=RecipeChoice(lr=lr)) for lr in (None, 0.01)]
    assert differences(ways) == ["lr as usual", "lr 0.01"]
