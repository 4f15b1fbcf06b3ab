"""Quantities as users write them."""

import pytest

from ecoNAS.units import read_quantity


@pytest.mark.parametrize(
    ("given", "unit", "value"),
    [
        ("50 kJ", "J", 5e4),
        ("0.5kWh", "J", 1.8e6),
        ("2 h", "s", 7200.0),
        ("90 min", "s", 5400.0),
        ("1.5e3", "J", 1500.0),
        (250, "s", 250.0),
        (2.5, "J", 2.5),
        ("60k", "", 6e4),
    ],
)
def test_a_quantity_becomes_its_si_value(given: object, unit: str, value: float) -> None:
    assert read_quantity(given, unit) == pytest.approx(value)


@pytest.mark.parametrize(
    ("given", "unit", "said"),
    [
        ("two hours", "s", "'two hours' is not a number with a unit, such as 2 h"),
        ("50 kW", "J", "'kW' in '50 kW' is no unit here; use no unit, J, mJ"),
        ("-5 kJ", "J", "'-5 kJ' is not a number"),
        (True, "s", "'True' is not a number"),
        (None, "s", "'None' is not a number"),
    ],
)
def test_what_is_no_quantity_is_refused_with_what_would_work(given: object, unit: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_quantity(given, unit)
