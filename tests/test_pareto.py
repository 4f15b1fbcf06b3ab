"""Pareto arithmetic against brute-force twins, a second library, hand arithmetic and properties."""

import itertools
import subprocess
import sys

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ecoNAS import pareto

MIN2 = ("minimize", "minimize")
MIXED = ("maximize", "minimize")


def brute_front(points: list[tuple[float, ...]]) -> list[bool]:
    """Minimised points, by the definition and nothing else."""

    def beats(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
        return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))

    return [not any(beats(other, point) for other in points) for point in points]


def brute_hypervolume(points: np.ndarray, reference: int) -> int:
    """Count the unit cells between integer points and the reference."""
    cells = itertools.product(range(reference), repeat=points.shape[1])
    return sum(any(all(p <= c for p, c in zip(point, cell, strict=True)) for point in points) for cell in cells)


def small_grids(max_objectives: int = 4) -> st.SearchStrategy[np.ndarray]:
    """Few points with few distinct integer values, so that ties and duplicates are common."""
    shapes = st.tuples(st.integers(0, 9), st.integers(1, max_objectives))
    return shapes.flatmap(lambda shape: hnp.arrays(np.float64, shape, elements=st.integers(0, 4).map(float)))


def test_a_point_dominates_when_it_is_nowhere_worse_and_somewhere_better():
    assert pareto.dominates([0.9, 10], [0.8, 10], MIXED)
    assert not pareto.dominates([0.9, 10], [0.9, 10], MIXED)
    assert not pareto.dominates([0.9, 11], [0.8, 10], MIXED)


def test_front_keeps_duplicates_of_a_best_point():
    assert pareto.front([[1, 2], [1, 2], [2, 1], [2, 2]], MIN2).tolist() == [True, True, True, False]


def test_front_respects_directions():
    values = [[0.9, 10], [0.8, 5], [0.7, 6]]  # accuracy up, cost down: the third is worse than the second in both
    assert pareto.front(values, MIXED).tolist() == [True, True, False]


def test_front_of_no_points_is_empty():
    assert pareto.front([], MIXED).shape == (0,)
    assert pareto.hypervolume([], [0, 0], MIXED) == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["front", "knee"])
def test_values_that_are_not_finite_are_refused(name, bad):
    with pytest.raises(ValueError, match="NaN or infinite"):
        getattr(pareto, name)([[1.0, bad]], MIN2)


def test_nan_is_refused_by_hypervolume_growth_and_scale():
    for call in (pareto.hypervolume, pareto.hypervolume_growth):
        with pytest.raises(ValueError, match="NaN"):
            call([[1.0, np.nan]], [2, 2], MIN2)
    with pytest.raises(ValueError, match="NaN"):
        pareto.scale([[1.0, 2.0]], [0, np.nan], [1, 1])


def test_shapes_that_do_not_fit_the_directions_are_refused():
    with pytest.raises(ValueError, match="do not fit 3 directions"):
        pareto.front([[1, 2]], ("minimize",) * 3)
    with pytest.raises(ValueError, match="'up'"):
        pareto.front([[1]], ("up",))


@given(small_grids())
def test_front_agrees_with_its_brute_force_twin(points):
    directions = ("minimize",) * points.shape[1]
    assert pareto.front(points, directions).tolist() == brute_front([tuple(row) for row in points.tolist()])


@given(small_grids())
def test_front_agrees_with_moocore(points):
    if len(points):
        directions = ("minimize",) * points.shape[1]
        expected = moocore.is_nondominated(points, keep_weakly=True)
        assert pareto.front(points, directions).tolist() == expected.tolist()


@given(small_grids())
def test_maximising_is_minimising_the_negative(points):
    num = points.shape[1]
    assert np.array_equal(pareto.front(points, ("minimize",) * num), pareto.front(-points, ("maximize",) * num))


def test_hypervolume_of_two_boxes_by_hand():
    # Boxes 2 x 1 and 1 x 2 from the corner (3, 3) overlap in one unit: 2 + 2 - 1.
    assert pareto.hypervolume([[1, 2], [2, 1]], [3, 3], MIN2) == 3.0


def test_hypervolume_with_a_maximised_objective_by_hand():
    # Accuracy 0.9 over 0.5, cost 10 under 30: 0.4 x 20.
    assert pareto.hypervolume([[0.9, 10]], [0.5, 30], MIXED) == pytest.approx(8.0)


def test_a_point_outside_the_reference_adds_nothing():
    assert pareto.hypervolume([[1, 1], [0, 5]], [2, 2], MIN2) == 1.0


@given(small_grids())
def test_hypervolume_agrees_with_counting_unit_cells(points):
    directions = ("minimize",) * points.shape[1]
    expected = brute_hypervolume(points, 5)
    assert pareto.hypervolume(points, [5] * points.shape[1], directions) == pytest.approx(expected)


@pytest.mark.parametrize("num", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("shape", ["sphere", "cube"])
def test_hypervolume_agrees_with_moocore(num, shape):
    rng = np.random.default_rng([num, len(shape)])
    points = rng.random((40, num))
    if shape == "sphere":  # all of them on the front
        points = 1 - points / np.linalg.norm(points, axis=1, keepdims=True)
    reference = [1.1] * num
    expected = moocore.hypervolume(points, ref=reference)
    assert pareto.hypervolume(points, reference, ("minimize",) * num) == pytest.approx(expected, rel=1e-12)


@given(small_grids(), st.randoms(use_true_random=False))
def test_hypervolume_does_not_depend_on_the_order_of_points(points, random):
    directions, reference = ("minimize",) * points.shape[1], [5] * points.shape[1]
    order = list(range(len(points)))
    random.shuffle(order)
    assert pareto.hypervolume(points[order], reference, directions) == pytest.approx(
        pareto.hypervolume(points, reference, directions)
    )


@given(small_grids())
def test_growth_is_the_hypervolume_of_each_prefix(points):
    directions, reference = ("minimize",) * points.shape[1], [3.5] * points.shape[1]
    growth = pareto.hypervolume_growth(points, reference, directions)
    prefixes = [pareto.hypervolume(points[: end + 1], reference, directions) for end in range(len(points))]
    assert growth.tolist() == pytest.approx(prefixes)


def test_scaling_puts_the_ideal_at_zero_and_the_nadir_at_one_in_both_directions():
    scaled = pareto.scale([[0.9, 10.0], [0.7, 30.0], [0.8, 15.0]], ideal=[0.9, 10.0], nadir=[0.7, 30.0])
    assert scaled == pytest.approx(np.array([[0, 0], [1, 1], [0.5, 0.25]]))


def test_an_objective_without_a_span_is_scaled_to_zero():
    assert pareto.scale([[3.0, 1.0]], [3.0, 0.0], [3.0, 2.0]).tolist() == [[0.0, 0.5]]


def test_knee_is_furthest_from_the_line_through_the_ends():
    # Scaled, the distances to x + y = 1 are proportional to 1 - x - y: 0, 0.3, 0.7, 0.4, 0.
    values = [[0, 10], [1, 6], [2, 1], [5, 1.0 - 0.1], [10, 0]]
    assert pareto.knee(values, MIN2) == 2


def test_knee_of_one_point_is_that_point_and_of_two_the_better_in_balance():
    assert pareto.knee([[5, 5]], MIN2) == 0
    assert pareto.knee([[0, 1], [1, 0]], MIN2) == 0  # equally far from the ideal: the first


def test_knee_of_equal_points_is_the_first_of_them():
    assert pareto.knee([[0, 4], [1, 1], [1, 1], [4, 0]], MIN2) == 1


def test_knee_of_a_straight_or_hollow_front_is_the_point_nearest_to_the_ideal():
    assert pareto.knee([[0, 4], [1, 3], [2, 2], [3, 1], [4, 0]], MIN2) == 2
    hollow = [
        [0, 10],
        [6, 8],
        [8, 7.5],
        [10, 0],
    ]  # the middle lies beyond the line: the ends are nearest, the first wins
    assert pareto.knee(hollow, MIN2) == 0


def test_knee_is_never_a_dominated_point():
    assert pareto.knee([[1.5, 1.5], [0, 4], [1, 1], [4, 0]], MIN2) == 2


def test_knee_of_no_points_is_refused():
    with pytest.raises(ValueError, match="no knee"):
        pareto.knee([], MIN2)


def test_costs_that_say_the_same_do_not_outvote_accuracy():
    accuracy_and_cost = np.array([[0.99, 100], [0.975, 30], [0.90, 10], [0.60, 1]])
    alone = pareto.knee(accuracy_and_cost, MIXED)
    repeated = np.column_stack([accuracy_and_cost, accuracy_and_cost[:, 1] * 2, accuracy_and_cost[:, 1] * 1e-7])
    assert pareto.knee(repeated, ("maximize", "minimize", "minimize", "minimize")) == alone == 2


def test_costs_that_nearly_say_the_same_do_not_outvote_accuracy_either():
    accuracy_and_cost = np.array([[0.99, 100], [0.975, 30], [0.90, 10], [0.60, 1]])
    nearly = accuracy_and_cost[:, 1] * [1.01, 0.99, 1.0, 1.02]
    values = np.column_stack([accuracy_and_cost, nearly])
    assert pareto.knee(values, ("maximize", "minimize", "minimize")) == 2


def test_an_objective_that_never_varies_has_no_say_in_the_knee():
    values = np.array([[0, 10, 7], [2, 1, 7], [10, 0, 7]])
    assert pareto.knee(values, ("minimize",) * 3) == 1
    assert pareto.knee([[7, 7], [7, 7]], MIN2) == 0


@given(small_grids().filter(len), st.lists(st.sampled_from([0.001, 1.0, 1000.0]), min_size=4, max_size=4))
def test_knee_is_on_the_front_and_does_not_depend_on_units(points, factors):
    directions = ("minimize",) * points.shape[1]
    index = pareto.knee(points, directions)
    assert pareto.front(points, directions)[index]
    assert pareto.knee(points * np.array(factors[: points.shape[1]]), directions) == index


def test_pareto_needs_numpy_and_nothing_else_of_the_stack():
    code = "import sys, ecoNAS.pareto; print(sorted({'torch', 'pandas', 'optuna', 'scipy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
