"""Members whose intervals overlap have no settled order."""

from types import SimpleNamespace
from typing import Any

from ecoNAS.analysis.certainty import doubts, unsettled_order
from ecoNAS.records import Score


def trial(number: int, low: float, high: float) -> Any:
    score = Score(value=(low + high) / 2, interval=(low, high), kind="measured")
    return SimpleNamespace(number=number, scores={"energy_per_image": score})


def groups(*trials: Any) -> list[tuple[int, ...]]:
    return unsettled_order(trials, "energy_per_image")


def test_separate_intervals_are_settled() -> None:
    assert groups(trial(1, 1.0, 1.1), trial(2, 1.2, 1.3)) == []


def test_overlapping_neighbours_are_one_group_cheapest_first() -> None:
    assert groups(trial(9, 3.0, 3.2), trial(1, 1.0, 1.2), trial(4, 1.15, 1.3), trial(5, 1.25, 1.5)) == [(1, 4, 5)]


def test_a_wide_interval_reaches_over_the_next_one() -> None:
    assert groups(trial(1, 0.0, 4.0), trial(2, 2.1, 2.2), trial(3, 3.0, 3.1), trial(4, 5.0, 5.1)) == [(1, 2, 3)]


def test_what_profiles_say_against_themselves_is_said_once_for_each_kind_of_doubt() -> None:
    def member(number: int, status: str, exclusivity: str) -> Any:
        profile = SimpleNamespace(status=status, measurement=SimpleNamespace(exclusivity=exclusivity))
        return SimpleNamespace(number=number, evaluation=SimpleNamespace(profiles=(profile,)))

    members = [member(3, "ok", "exclusive"), member(5, "ci_unmet", "unverifiable"), member(8, "ci_unmet", "exclusive")]
    run: Any = SimpleNamespace(front_trials=lambda names: members)

    assert doubts(run) == [
        "Measured as often as the protocol allows, and still with a wider interval than it aims at: trials 5, 8.",
        "Whether the device was ours alone while joules were measured could not be verified: trial 5.",
    ]
