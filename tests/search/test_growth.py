"""When a front counts as found."""

import pytest

from ecoNAS.search.growth import Growth, Plateau


def grown(values: list[tuple[float, float]], plateau: Plateau | None, num_infeasible: int = 0) -> Growth:
    growth = Growth(("error", "macs"), ("minimize", "minimize"), {}, plateau)
    for value in values:
        growth.note(value, is_feasible=True)
    for _ in range(num_infeasible):
        growth.note((0.0, 0.0), is_feasible=False)
    growth.fix(at_least=1)
    return growth


FIRST = [(1.0 - 0.04 * place, 0.2 + 0.04 * place) for place in range(20)]


def test_a_front_that_stands_still_is_found_and_one_that_grows_is_not() -> None:
    still = [*FIRST, *[(1.0, 1.0)] * 5]
    assert "the last 5 candidates raised the hypervolume by 0.00%" in grown(still, Plateau(5, 0.01)).why_flat()
    assert grown([*FIRST, *[(1.0, 1.0)] * 4, (0.0, 0.1)], Plateau(5, 0.01)).why_flat() == ""
    assert grown(still, None).why_flat() == ""


def test_too_few_candidates_say_nothing() -> None:
    assert grown([*FIRST, *[(1.0, 1.0)] * 4], Plateau(5, 0.01)).why_flat() == ""


@pytest.mark.parametrize("num_infeasible", [5, 9])
def test_what_breaks_a_bound_is_no_growth(num_infeasible: int) -> None:
    assert grown(FIRST, Plateau(5, 0.01), num_infeasible).why_flat() != ""


def test_the_scale_is_fixed_once() -> None:
    growth = grown(FIRST, None)
    assert growth.fix(at_least=1) is None
