"""The gate before any joule is spent: exact costs against their bounds, and what to say when nothing passes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ecoNAS.costs.constraints import Constraint
from ecoNAS.records import Costs


@dataclass(frozen=True, slots=True)
class Screening:
    """What the gate found about one candidate.

    Attributes:
        costs: Of a network; None for a row of a table.
        violations: By constraint text, for the constraints that could be decided; above 0 is broken.
        values: What was compared, by the name of the objective or cost.
    """

    costs: Costs | None
    violations: dict[str, float]
    values: dict[str, float]

    @property
    def passes(self) -> bool:
        """Whether no bound is broken."""
        return all(violation <= 0 for violation in self.violations.values())

    @property
    def reason(self) -> str:
        """The broken bounds in words; empty where it passes."""
        return "; ".join(f"breaks '{text}' by {value:.0%}" for text, value in self.violations.items() if value > 0)


def screen(costs: Costs, constraints: Sequence[Constraint], known: Mapping[str, float] | None = None) -> Screening:
    """Hold a candidate's costs against the bounds.

    Args:
        costs: Exact costs.
        constraints: All of the study's; those on values that are not known yet are left for later.
        known: Further values known without a device, by name, such as an estimated energy in joules.
    """
    values: dict[str, float] = {
        "params": costs.params,
        "macs": costs.macs,
        "flops": costs.flops,
        "activation_memory": costs.activation_memory_bytes,
        **(known or {}),
    }
    violations = {item.text: item.violation(values[item.name]) for item in constraints if item.name in values}
    return Screening(costs, violations, values)


@dataclass(slots=True)
class GateTally:
    """Counts what the gate refused, so that it can name the bound that refuses everything."""

    constraints: Sequence[Constraint]
    seen: int = 0
    broken: dict[str, int] = field(default_factory=dict)
    nearest: dict[str, float] = field(default_factory=dict)

    def add(self, screening: Screening) -> None:
        """Note one screening."""
        self.seen += 1
        for item in self.constraints:
            if item.text not in screening.violations:
                continue
            if screening.violations[item.text] > 0:
                self.broken[item.text] = self.broken.get(item.text, 0) + 1
            value = screening.values[item.name]
            best = self.nearest.get(item.text, value)
            self.nearest[item.text] = min(best, value) if item.sense == "<=" else max(best, value)

    def explain(self) -> str:
        """Return one line that names the tightest bound and what would let something pass."""
        tightest = max(self.broken, key=lambda text: (self.broken[text], text))
        item = next(item for item in self.constraints if item.text == tightest)
        nearest, word = self.nearest[tightest], "smallest" if item.sense == "<=" else "largest"
        line = f"none of {self.seen:,} candidates passes; the tightest bound is '{tightest}', broken by "
        line += f"{self.broken[tightest]:,}; the {word} {item.name} seen is {nearest:.4g}"
        if item.violation(nearest) > 0:
            return line + ": move the bound to at least that" if item.sense == "<=" else line + ": lower the bound"
        return line + ": the bounds exclude each other; loosen it or one of the others"
