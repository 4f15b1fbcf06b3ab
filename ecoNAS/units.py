"""Quantities as users write them, `60k`, `2 mJ`, `1.5 h`, turned into SI units where they enter."""

import re
from typing import Final

_COUNT = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
FACTORS: Final[dict[str, dict[str, float]]] = {
    "": {**_COUNT, "%": 0.01},
    "J": {"": 1.0, "J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "µJ": 1e-6, "nJ": 1e-9, "kJ": 1e3, "MJ": 1e6}
    | {"Wh": 3600.0, "kWh": 3.6e6},
    "s": {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0, "h": 3600.0, "d": 86400.0},
    "B": {**_COUNT, "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30},
}
_QUANTITY = re.compile(r"^\s*(?P<number>\d+\.?\d*(?:[eE][-+]?\d+)?)\s*(?P<unit>[a-zA-Zµ%]*)\s*$")


def read_quantity(given: object, unit: str) -> float:
    """Return a quantity such as `50 kJ` in its SI unit; a plain number is in that unit already.

    Args:
        given: Text, or a number.
        unit: The SI unit: `J`, `s`, `B`, or empty for counts.

    Raises:
        ValueError: with the rule and what would work.
    """
    match = _QUANTITY.match(str(given))
    if match is None or isinstance(given, bool):
        raise ValueError(f"'{given}' is not a number with a unit, such as {'2 h' if unit == 's' else f'50 k{unit}'}")
    if match["unit"] not in FACTORS[unit]:
        raise ValueError(f"'{match['unit']}' in '{given}' is no unit here; use {known_units(unit)}")
    return float(match["number"]) * FACTORS[unit][match["unit"]]


def known_units(unit: str) -> str:
    """Return the units that may be written for an SI unit, for messages."""
    return ", ".join(name or "no unit" for name in FACTORS[unit])
