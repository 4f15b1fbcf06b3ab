"""From windows to joules per image with a 95 % interval.

A sensor that sees only a part of each period makes windows differ by their phase, and they differ by chance besides.
The mean over evenly spread phases is right to the first, and the interval should be about the second: so the phase is
modelled by its first harmonics, the value is the level of that fit, and the interval is that of its residuals.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

CONFIDENCE: Final = 0.95
# One harmonic for one block of eight windows leaves five degrees of freedom; two need more windows than one block has.
WINDOWS_FOR_TWO_HARMONICS: Final = 16


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and half of its 95 % interval, in the unit of the values."""

    value: float
    half_width: float


def estimate(values: Sequence[float], phases: Sequence[float] | None) -> Estimate:
    """Return the level of values and half of its 95 % interval.

    Args:
        values: At least two; one a window.
        phases: Of each window, in [0, 1); None where the counter has none.
    """
    num_harmonics = 0
    if phases is not None and len(values) >= 6:
        num_harmonics = 2 if len(values) >= WINDOWS_FOR_TWO_HARMONICS else 1
    rows = [_row(phase, num_harmonics) for phase in (phases or [0.0] * len(values))]
    size = len(rows[0])
    gram = [[sum(row[i] * row[j] for row in rows) for j in range(size)] for i in range(size)]
    moments = [sum(row[i] * value for row, value in zip(rows, values, strict=True)) for i in range(size)]
    coefficients = _solve(gram, moments)
    residuals = [
        value - sum(c * x for c, x in zip(coefficients, row, strict=True))
        for row, value in zip(rows, values, strict=True)
    ]
    freedom = len(values) - size
    variance = sum(residual**2 for residual in residuals) / freedom
    level_variance = variance * _solve(gram, [1.0] + [0.0] * (size - 1))[0]
    return Estimate(coefficients[0], t_quantile(freedom) * math.sqrt(max(level_variance, 0.0)))


def widen(half_width: float, value: float, *relative_errors: float) -> float:
    """Return half of an interval with independent relative errors of `value` added in quadrature."""
    return math.hypot(half_width, *(error * value for error in relative_errors))


def t_quantile(freedom: float, confidence: float = CONFIDENCE) -> float:
    """Return the two-sided quantile of Student's t distribution, to four digits.

    G. W. Hill, Algorithm 396: Student's t-quantiles, Communications of the ACM 13(10), 1970, 619-620.
    """
    tails, n = 1 - confidence, freedom
    if n == 1:
        return 1 / math.tan(tails * math.pi / 2)
    if n == 2:
        return math.sqrt(2 / (tails * (2 - tails)) - 2)
    a = 1 / (n - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * n
    x = d * tails
    y = x ** (2 / n)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(tails / 2)
        y = x**2
        if n < 5:
            c += 0.3 * (n - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y**2)
    else:
        y = ((1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1) * (n + 1) / (
            n + 2
        ) + 1 / y
    return math.sqrt(n * y)


def _row(phase: float, num_harmonics: int) -> list[float]:
    row = [1.0]
    for harmonic in range(1, num_harmonics + 1):
        angle = 2 * math.pi * harmonic * phase
        row += [math.cos(angle), math.sin(angle)]
    return row


def _solve(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Return the solution of a small system of linear equations, by elimination with pivoting."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for column in range(size):
        pivot = max(range(column, size), key=lambda place: abs(rows[place][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for place in range(size):
            if place != column:
                factor = rows[place][column] / rows[column][column]
                rows[place] = [a - factor * b for a, b in zip(rows[place], rows[column], strict=True)]
    return [rows[place][size] / rows[place][place] for place in range(size)]
