import pytest

from ecoNAS.costs.constraints import parse_constraint
from ecoNAS.costs.screen import GateTally, screen
from ecoNAS.errors import ConstraintError
from ecoNAS.evaluation.objectives import OBJECTIVES
from ecoNAS.records import Costs

UNITS = {name: objective.unit for name, objective in OBJECTIVES.items()}


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("params <= 60e3", 60_000),
        ("params<=60k", 60_000),
        ("macs <= 1.5M", 1_500_000),
        ("flops <= 3G", 3e9),
        ("energy_per_image <= 2 mJ", 0.002),
        ("energy_per_image <= 250 uJ", 0.00025),
        ("energy_per_image <= 250 µJ", 0.00025),
        ("lifetime_energy <= 1 kWh", 3_600_000),
        ("latency <= 5ms", 0.005),
        ("activation_memory <= 64 KiB", 65_536),
        ("activation_memory <= 64 kB", 64_000),
        ("accuracy >= 95 %", 0.95),
        ("accuracy >= 0.95", 0.95),
    ],
)
def test_bounds_are_read_in_si_units(text: str, bound: float) -> None:
    assert parse_constraint(text, UNITS).bound == pytest.approx(bound)


def test_a_violation_is_the_share_by_which_the_bound_is_passed() -> None:
    assert parse_constraint("params <= 60k", UNITS).violation(90_000) == pytest.approx(0.5)
    assert parse_constraint("params <= 60k", UNITS).violation(60_000) == 0
    assert parse_constraint("params <= 60k", UNITS).violation(30_000) == pytest.approx(-0.5)
    assert parse_constraint("accuracy >= 0.8", UNITS).violation(0.6) == pytest.approx(0.25)
    assert parse_constraint("accuracy >= 0.8", UNITS).violation(1.0) == pytest.approx(-0.25)


def test_a_relative_bound_is_a_share_of_the_baseline() -> None:
    constraint = parse_constraint("energy_per_image <= 0.8 * baseline", UNITS, {"energy_per_image": 0.005})
    assert constraint.bound == pytest.approx(0.004)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parms <= 60k", r"unknown objective or cost 'parms'.*did you mean 'params'"),
        ("params < 60k", r"'<' is not a bound; write <= or >="),
        ("params <= 60 mJ", r"'mJ' is no unit of params; use no unit, k, M, G, %"),
        ("energy_per_image <= 2 ms", r"'ms' is no unit of energy_per_image; use no unit, J, mJ"),
        ("params <= many", r"is not 'name <= number unit'"),
        ("params <= 1.2.3", r"'1.2.3' is not a number"),
        ("60k >= params", r"is not 'name <= number unit'"),
        ("macs <= 0.8 * baseline", r"names a baseline and the experiment has none"),
        ("", r"is not 'name <= number unit'"),
    ],
)
def test_a_wrong_constraint_is_refused_with_the_remedy(text: str, message: str) -> None:
    with pytest.raises(ConstraintError, match=message):
        parse_constraint(text, UNITS)


def test_a_bound_relative_to_what_a_baseline_shows_only_after_training_is_refused() -> None:
    with pytest.raises(ConstraintError, match="the baseline's accuracy is not known before training; known: macs"):
        parse_constraint("accuracy >= 0.8 * baseline", UNITS, {"macs": 1e6})


def test_the_gate_decides_what_it_knows_and_leaves_the_rest_for_later() -> None:
    constraints = [parse_constraint(text, UNITS) for text in ("params <= 1k", "macs <= 10k", "accuracy >= 0.9")]
    screening = screen(Costs(params=1500, macs=5000, activation_memory_bytes=100), constraints)
    assert not screening.passes
    assert screening.violations == {"params <= 1k": pytest.approx(0.5), "macs <= 10k": pytest.approx(-0.5)}
    assert screening.reason == "breaks 'params <= 1k' by 50%"


def test_flops_are_twice_the_macs_at_the_gate() -> None:
    constraint = parse_constraint("flops <= 10k", UNITS)
    assert screen(Costs(params=1, macs=5000, activation_memory_bytes=1), [constraint]).passes
    assert not screen(Costs(params=1, macs=5001, activation_memory_bytes=1), [constraint]).passes


def test_the_tally_names_the_tightest_bound_and_how_near_anything_came() -> None:
    constraints = [parse_constraint(text, UNITS) for text in ("params <= 10", "macs <= 8k")]
    tally = GateTally(constraints)
    for params, macs in ((1812, 5000), (4000, 9000), (2500, 7000)):
        tally.add(screen(Costs(params=params, macs=macs, activation_memory_bytes=1), constraints))
    line = tally.explain()
    assert "none of 3 candidates passes" in line
    assert "tightest bound is 'params <= 10', broken by 3" in line
    assert "smallest params seen is 1812" in line


def test_the_tally_says_when_bounds_exclude_each_other() -> None:
    constraints = [parse_constraint(text, UNITS) for text in ("params <= 100", "macs >= 1k")]
    tally = GateTally(constraints)
    tally.add(screen(Costs(params=50, macs=500, activation_memory_bytes=1), constraints))
    tally.add(screen(Costs(params=500, macs=5000, activation_memory_bytes=1), constraints))
    assert "exclude each other" in tally.explain()
