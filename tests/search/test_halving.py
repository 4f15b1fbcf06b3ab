"""Halving: who goes on from a rung, and that a search with rungs trains no part twice, whatever the driver dies of."""

from itertools import product

import numpy as np
import pytest

from ecoNAS.pareto import front
from ecoNAS.search.halving import SPREADS, Rungs, by_crowding, by_epsilon_net

NAN = float("nan")


def rungs(factor: float = 3.0, spread: str = "crowding", count: int = 2) -> Rungs:
    names = tuple(f"epoch {2**place}" for place in range(count))
    return Rungs(names, factor, ("maximize", "minimize"), SPREADS[spread])


def test_nobody_goes_on_before_enough_have_arrived() -> None:
    found = rungs(factor=3)
    for trial in range(2):
        found.note(trial, 0, (0.5 + trial / 10, 1.0))
        assert found.promotable() is None
    found.note(2, 0, (0.1, 1.0))
    assert found.promotable() == (1, 0)  # the most accurate of equal costs
    found.go_on(1, 0)
    assert found.promotable() is None
    assert found.paused == {0, 2}


def test_who_paused_may_go_on_when_more_arrive_that_are_worse() -> None:
    found = rungs(factor=2)
    for trial, accuracy in enumerate((0.9, 0.8)):
        found.note(trial, 0, (accuracy, 1.0))
    found.go_on(0, 0)
    assert found.promotable() is None
    for trial, accuracy in enumerate((0.1, 0.2), start=2):
        found.note(trial, 0, (accuracy, 1.0))
    assert found.promotable() == (1, 0)


def test_the_highest_rung_comes_first_and_who_ended_goes_nowhere() -> None:
    found = rungs(factor=2)
    for trial in range(4):
        found.note(trial, 0, (0.5, float(trial)))
    for trial in (0, 1):
        found.go_on(trial, 0)
        found.note(trial, 1, (0.6, float(trial)))
    assert found.promotable() == (0, 1)
    found.leave(0)  # it diverged on its way
    assert found.promotable() is None
    assert found.place_of(1) == 1
    assert found.place_of(2) == 0
    assert found.place_of(9) is None


def test_a_layer_of_the_ranking_comes_before_the_next_one() -> None:
    rng = np.random.default_rng(0)
    for spread in SPREADS:
        found, values = rungs(factor=1.5, spread=spread), rng.random((30, 2))
        for trial, row in enumerate(values):
            found.note(trial, 0, tuple(row))
        order = list[int]()
        while (chosen := found.promotable()) is not None:
            found.go_on(*chosen)
            order.append(chosen[0])
        assert len(order) == 20
        members = set(np.flatnonzero(front(values, ["maximize", "minimize"])).tolist())
        assert set(order[: len(members)]) == members
        last = set(found.rungs[0].paused)
        assert found.worst() in last


def test_what_a_rung_does_not_show_has_no_say() -> None:
    found = rungs(factor=2)
    for trial in range(4):
        found.note(trial, 0, (NAN, float(4 - trial)))
    assert found.promotable() == (3, 0)


def test_a_sampler_may_choose_within_the_quota_and_leave_it_to_the_ranking() -> None:
    found = rungs(factor=2)
    for trial, accuracy in enumerate((0.9, 0.8, 0.7, 0.6)):
        found.note(trial, 0, (accuracy, 1.0))
    found.choose = max
    assert found.promotable() == (3, 0)
    found.go_on(3, 0)
    found.choose = lambda paused: None
    assert found.promotable() == (0, 0)
    found.go_on(0, 0)
    found.choose = max
    assert found.promotable() is None  # two of four have gone on
    found.choose = None
    assert found.promotable() == (1, 0)  # among the best two of four


def test_who_ended_for_want_of_room_has_not_gone_on() -> None:
    found = rungs(factor=2)
    found.choose = max
    for trial in range(4):
        found.note(trial, 0, (0.5, None))
        found.leave(trial)
    for trial in range(4, 8):
        found.note(trial, 0, (0.5, None))
    went = []
    while (chosen := found.promotable()) is not None:
        found.go_on(*chosen)
        went.append(chosen[0])
    assert went == [7, 6, 5, 4]  # four of eight


def test_what_is_learned_from_rungs_comes_in_batches_in_the_order_of_arrival() -> None:
    found = rungs(count=1)
    for trial in range(43):
        found.note(trial, 0, (trial / 100, 1.0))
    shown, later = found.shown()
    assert [trial for trial, _, _ in shown] == list(range(42))
    assert later == {42}
    assert shown[3] == (3, "epoch 1", (0.03, 1.0))


def test_crowding_puts_the_ends_first_and_the_closest_last() -> None:
    points = np.array([[0.0, 1.0], [0.1, 0.9], [0.12, 0.88], [0.5, 0.5], [1.0, 0.0]])
    order = by_crowding(points).tolist()
    assert set(order[:2]) == {0, 4}
    assert order[2] == 3


@pytest.mark.parametrize("spread", list(SPREADS))
def test_a_spread_ranks_each_point_once_even_where_all_are_equal(spread: str) -> None:
    for points in (np.zeros((4, 2)), np.ones((1, 3)), np.array(list(product([0.0, 1.0], repeat=2)))):
        assert sorted(SPREADS[spread](points).tolist()) == list(range(len(points)))


def test_an_epsilon_net_covers_a_front_with_few_points() -> None:
    ends = np.linspace(0, 1, 101)
    points = np.stack([ends, 1 - ends], axis=1)
    chosen = points[by_epsilon_net(points)[:5]]
    gaps = np.abs(points[:, None, 0] - chosen[None, :, 0]).min(axis=1)
    assert gaps.max() <= 0.13  # five points an eighth apart at worst
