"""Estimates with bounds, and the share of random candidates that passes, as plans and overviews state them."""

from dataclasses import dataclass

from scipy.stats import binomtest


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with bounds that hold it in about 95 of 100 cases, as far as what was tried can tell."""

    value: float
    low: float
    high: float

    def times(self, factor: float, plus: float = 0.0) -> "Interval":
        """Return it scaled, with a constant added."""
        return Interval(self.value * factor + plus, self.low * factor + plus, self.high * factor + plus)


def share(count: int, total: int) -> Interval:
    """Return the share that `count` of `total` random draws suggests, with Wilson's 95 % score interval."""
    found = binomtest(count, total).proportion_ci(method="wilson")
    return Interval(count / total, float(found.low), float(found.high))
