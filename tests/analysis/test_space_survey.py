"""What a space allows, against the whole list of a space that is small enough to list."""

from pathlib import Path

import pytest

from ecoNAS.analysis.intervals import share
from ecoNAS.analysis.space_survey import problem_for, read_bounds, survey
from ecoNAS.architecture import Problem
from ecoNAS.costs.counts import CostTable
from ecoNAS.errors import ConstraintError, EcoNASError
from ecoNAS.space.choices import SpaceFile
from ecoNAS.space.search_space import SearchSpace

SMOKE = SearchSpace.from_yaml(Path(__file__).parents[2] / "search_spaces" / "smoke.yaml")
PROBLEM = Problem(input_channels=1, resolution=8, num_classes=10)


def all_costs() -> list[tuple[int, int, int]]:
    table, networks = CostTable(PROBLEM), SMOKE.listing(1000)
    assert networks is not None
    costs = [table.costs(candidate.architecture) for candidate in networks]
    return [(one.params, one.macs, one.activation_memory_bytes) for one in costs]


def test_the_ends_that_are_found_are_those_of_the_whole_list() -> None:
    found = survey(SMOKE, PROBLEM, num_draws=5)
    for values, column in zip(found.ranges.values(), zip(*all_costs(), strict=True), strict=True):
        assert (values.cheapest, values.dearest) == (min(column), max(column))
        assert values.cheapest <= values.drawn[0] <= values.quartiles[1] <= values.drawn[1] <= values.dearest


def test_size_and_depth_are_those_by_hand() -> None:
    found = survey(SMOKE, PROBLEM, num_draws=5)
    # stem 2 x [widths 2 x (mbconv 2 + attention 4)] x [one or none]
    assert (found.num_networks, found.num_deployments) == (2 * 12 * 2, 1)
    assert (found.blocks, found.stages) == ((1, 2), (1, 2))
    assert found.num_decisions == 7


def test_the_share_that_passes_covers_that_of_all_drawn_and_samples_keep_the_bounds() -> None:
    bound = sorted(macs for _, macs, _ in all_costs())[len(all_costs()) // 2]
    found = survey(SMOKE, PROBLEM, read_bounds([f"macs <= {bound}"]), num_draws=150, num_samples=4)
    assert found.passing.low < found.passing.value < found.passing.high
    assert 0.2 < found.passing.value < 0.8
    assert len({candidate.digest for candidate, _ in found.samples}) == 4
    assert all(costs.macs <= bound for _, costs in found.samples)


def test_another_seed_draws_others_and_the_same_seed_the_same() -> None:
    first, again, other = (survey(SMOKE, PROBLEM, num_draws=5, seed=seed).samples for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_interval_of_a_share_is_wilsons() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 by the score method.
    found = share(81, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)


def test_a_bound_that_only_an_end_meets_is_said_to_be_met() -> None:
    cheapest = min(params for params, _, _ in all_costs())
    found = survey(SMOKE, PROBLEM, read_bounds([f"params <= {cheapest}"]), num_draws=1, seed=3)
    assert found.passing.value == 0
    assert found.samples == ()


def test_a_bound_that_nothing_meets_names_the_nearest() -> None:
    cheapest = min(params for params, _, _ in all_costs())
    with pytest.raises(EcoNASError, match=rf"'params <= 10'.*smallest params seen is {cheapest}"):
        survey(SMOKE, PROBLEM, read_bounds(["params <= 10"]), num_draws=3)


def test_deployments_are_counted_beside_the_networks() -> None:
    values = SMOKE.file.model_dump(exclude_defaults=True) | {"deployment": {"threads": [1, 2], "batch": [1, 8, 32]}}
    found = survey(SearchSpace(SpaceFile.model_validate(values)), PROBLEM, num_draws=5)
    assert (found.num_networks, found.num_deployments) == (48, 6)


def test_costs_are_those_of_the_resolution_that_a_candidate_is_deployed_at() -> None:
    values = SMOKE.file.model_dump(exclude_defaults=True) | {"deployment": {"resolution": [8, 16]}}
    found = survey(SearchSpace(SpaceFile.model_validate(values)), PROBLEM, num_draws=5)
    assert found.ranges["macs"].cheapest == min(macs for _, macs, _ in all_costs())
    table = CostTable(PROBLEM.at(16))
    networks = SMOKE.listing(1000)
    assert networks is not None
    assert found.ranges["macs"].dearest == max(table.costs(item.architecture).macs for item in networks)


def test_what_only_a_device_tells_cannot_be_bounded() -> None:
    with pytest.raises(ConstraintError, match=r"latency is not known of a space alone; bound macs, flops, params"):
        read_bounds(["latency <= 1 ms"])


@pytest.mark.parametrize(("given", "taken"), [(None, 32), (16, 16)])
def test_the_resolution_is_32_unless_another_is_asked_for(given: int | None, taken: int) -> None:
    assert problem_for(SMOKE, given, 3, 10).resolution == taken


def test_a_space_for_large_images_is_looked_at_with_its_smallest() -> None:
    file = SpaceFile.model_validate(SMOKE.file.model_dump() | {"resolution": {"min": 96, "max": 224}})
    assert problem_for(SearchSpace(file), None, 3, 10).resolution == 96
