"""Joules of different provenance never meet in a sum or a comparison; equal ones add exactly."""

import json
import operator
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ecoNAS.errors import JoulesMixError
from ecoNAS.joules import EstimatedJoules, Joules, MeasuredJoules, SimulatedJoules

AMOUNTS = st.floats(0, 1e12, allow_nan=False)
MEETINGS: list[Callable[[Joules, Joules], object]] = [
    operator.add,
    operator.lt,
    operator.gt,
    operator.le,
    operator.ge,
    lambda a, b: min([a, b], key=None),
    lambda a, b: sorted([a, b]),
    lambda a, b: sum([b], start=a),
]


@st.composite
def joules(draw: st.DrawFn) -> Joules:
    kind = draw(st.sampled_from([MeasuredJoules, EstimatedJoules, SimulatedJoules]))
    low, value, high = sorted(draw(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS)))
    names = {name: draw(st.sampled_from(["one", "other"])) for name in ("method", "scope", "device")}
    return kind(value_j=value, low_j=low, high_j=high, **names)


def provenance(amount: Joules) -> tuple[str, ...]:
    return (amount.kind, amount.method, amount.scope, amount.device)


@given(joules(), joules(), st.sampled_from(MEETINGS))
def test_any_sum_or_comparison_of_different_provenance_raises(
    a: Joules, b: Joules, meet: Callable[[Joules, Joules], object]
) -> None:
    if provenance(a) == provenance(b):
        meet(a, b)
    else:
        with pytest.raises(JoulesMixError, match="do not mix"):
            meet(a, b)


@given(joules(), AMOUNTS)
def test_joules_of_one_provenance_add_value_and_bounds_exactly(a: Joules, more: float) -> None:
    b = type(a)(value_j=more, low_j=more, high_j=more, method=a.method, scope=a.scope, device=a.device)

    total = a + b

    assert (total.value_j, total.low_j, total.high_j) == (a.value_j + more, a.low_j + more, a.high_j + more)
    assert type(total) is type(a)
    assert total.low_j <= total.value_j <= total.high_j
    assert provenance(total) == provenance(a)


@pytest.mark.parametrize("meet", [operator.add, operator.lt, operator.ge])
def test_joules_do_not_meet_bare_numbers(meet: Callable[[object, object], object]) -> None:
    amount = MeasuredJoules(value_j=1, low_j=1, high_j=1, method="m", scope="s", device="d")

    with pytest.raises(JoulesMixError, match="joules and float"):
        meet(amount, 1.0)


def test_equal_amounts_of_different_kind_are_not_equal() -> None:
    same = {"value_j": 1, "low_j": 1, "high_j": 1, "method": "m", "scope": "s", "device": "d"}

    assert MeasuredJoules(**same) != EstimatedJoules(**same)


def test_joules_times_images_scales_the_interval() -> None:
    amount = EstimatedJoules(value_j=2, low_j=1, high_j=6, method="m", scope="s", device="d")

    scaled = amount * 10

    assert (scaled.value_j, scaled.low_j, scaled.high_j) == (20, 10, 60)


@pytest.mark.parametrize("factor", [-1, float("nan"), float("inf")])
def test_joules_times_no_count_is_refused(factor: float) -> None:
    amount = EstimatedJoules(value_j=2, low_j=1, high_j=6, method="m", scope="s", device="d")

    with pytest.raises(ValueError, match="factor"):
        amount * factor


@pytest.mark.parametrize("bounds", [(3, 2, 4), (1, 5, 4), (-1, 2, 4), (1, float("nan"), 4), (1, 2, float("inf"))])
def test_an_interval_that_does_not_hold_its_value_is_refused(bounds: tuple[float, float, float]) -> None:
    low, value, high = bounds

    with pytest.raises(ValidationError):
        MeasuredJoules(value_j=value, low_j=low, high_j=high, method="m", scope="s", device="d")


@given(joules())
def test_joules_come_back_from_json_with_their_kind(amount: Joules) -> None:
    adapter: TypeAdapter[Joules] = TypeAdapter(Joules)

    back = adapter.validate_json(amount.model_dump_json())

    assert back == amount
    assert type(back) is type(amount)
    assert json.loads(amount.model_dump_json())["kind"] == amount.kind
