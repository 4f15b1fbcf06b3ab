"""When a search is repaid, by hand."""

import math

import pytest

from ecoNAS.analysis.payback import payback
from ecoNAS.errors import JoulesMixError
from ecoNAS.joules import EstimatedJoules, MeasuredJoules


def joules(value, spread=0.0, kind=MeasuredJoules, device="GPU-1"):
    low, high = value - spread, value + spread
    return kind(value_j=value, low_j=low, high_j=high, method="m", scope="gpu", device=device)


def test_images_until_repaid_are_the_bill_over_the_saving_with_the_bounds_of_all_intervals():
    # 1000 J over 5 - 3 = 2 J; soonest 900 / (5.5 - 2.5) = 300, latest 1100 / (4.5 - 3.5) = 1100.
    found = payback(1000.0, (900.0, 1100.0), joules(3.0, 0.5), joules(5.0, 0.5))

    assert found.images == 500.0
    assert (found.low, found.high) == (300.0, 1100.0)
    assert found.saving_j == 2.0
    assert not found.is_never


def test_a_network_that_takes_more_never_repays():
    found = payback(1000.0, (900.0, 1100.0), joules(5.0, 0.1), joules(3.0, 0.1))

    assert found.is_never
    assert math.isinf(found.images)
    assert found.saving_j == -2.0


def test_where_intervals_overlap_the_search_may_never_be_repaid():
    found = payback(1000.0, (1000.0, 1000.0), joules(3.0, 0.5), joules(3.5, 0.5))

    assert found.images == 2000.0
    assert found.low == pytest.approx(1000 / 1.5)
    assert math.isinf(found.high)
    assert not found.is_never


@pytest.mark.parametrize("other", [joules(5.0, kind=EstimatedJoules), joules(5.0, device="GPU-2")])
def test_joules_that_do_not_mix_repay_nothing(other):
    with pytest.raises(JoulesMixError):
        payback(1000.0, (900.0, 1100.0), joules(3.0), other)
