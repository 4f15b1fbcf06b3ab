"""Refitted networks: intervals with the error of images and seeds, ranks, and who beats whom."""

import math

import pytest

from ecoNAS.analysis.refitted import Refitted, _half, rank_agreement, verdicts
from ecoNAS.records import Costs, Score


def score(value: float, error: float = 0.01) -> Score:
    return Score(value=value, standard_error=error, num_samples=500, split="test", kind="measured")


def network(name: str, test: float, macs: int, searched: float | None = None, half: float = 0.02) -> Refitted:
    costs = Costs(params=1, macs=macs, activation_memory_bytes=4)
    trial = int(name.split()[1]) if name.startswith("trial") else None
    seen = None if searched is None else score(searched)
    return Refitted(name, trial, 3, seen, score(test), half, {}, None, False, costs, None)


def test_the_interval_has_the_errors_of_images_and_of_seeds() -> None:
    assert _half([score(0.9)]) == pytest.approx(1.96 * 0.01)
    # Three seeds 0.02 apart: standard deviation 0.02, and Student's t of two degrees of freedom is 4.303.
    found = _half([score(0.88), score(0.90), score(0.92)])
    assert found == pytest.approx(math.hypot(1.96 * 0.01, 4.303 * 0.02 / math.sqrt(3)), rel=1e-3)


def test_the_agreement_of_two_rankings_is_kendalls_tau() -> None:
    seen_and_read = [(0.1, 0.4), (0.2, 0.3), (0.3, 0.5), (0.4, 0.6)]
    rows = [network(f"trial {place}", test, 10, seen) for place, (seen, test) in enumerate(seen_and_read)]

    assert rank_agreement(rows) == pytest.approx((5 - 1) / 6)  # one of six pairs is the other way round
    assert rank_agreement(rows[:2]) is None


def test_a_ready_model_that_wins_is_said_to_win() -> None:
    rows = [network("resnet10t", 0.95, 100), network("trial 3", 0.90, 200), network("trial 4", 0.80, 50)]
    (sentence,) = verdicts(rows)

    assert sentence == "resnet10t, a ready model, beats trial 3: take it instead; surely so: trial 3."


def test_a_ready_model_that_is_beaten_itself_is_not_to_be_taken() -> None:
    rows = [network("resnet10t", 0.90, 100), network("trial 3", 0.89, 200), network("trial 4", 0.95, 50)]
    beaten, beats = verdicts(rows)

    assert beaten.startswith("resnet10t is beaten by trial 4")
    assert beats == "resnet10t, a ready model, beats trial 3; though the intervals of their accuracies overlap."


def test_a_network_that_beats_a_ready_model_is_sure_only_where_intervals_part() -> None:
    ready = network("resnet10t", 0.85, 100)
    (unsure,) = verdicts([ready, network("trial 3", 0.87, 90)])
    (sure,) = verdicts([ready, network("trial 3", 0.95, 90)])
    (neither,) = verdicts([ready, network("trial 3", 0.95, 190)])

    assert "beaten by trial 3" in unsure
    assert "intervals of their accuracies overlap" in unsure
    assert "surely so: trial 3" in sure
    assert neither == "resnet10t neither beats nor is beaten by any network of the search."
