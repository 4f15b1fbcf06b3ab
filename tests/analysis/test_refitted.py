"""Refitted networks: intervals with the error of images and seeds, and ranks."""

import math

import pytest

from ecoNAS.analysis.refitted import Refitted, _half, rank_agreement
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
