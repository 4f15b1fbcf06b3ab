"""Seeded synthetic benchmarks: what no sampler was tuned on, each with one trait that real tables have.

A candidate has a worth, a sum of effects of its decisions, of pairs of them and of traps. Error falls with worth and
flattens towards both ends; energy is a product of factors, one a decision and some a pair, which follow the effects on
worth as closely as the landscape says. MACs and parameters, exact and free, follow energy without telling it.
Interactions are those of Kauffman's NK landscapes ("The Origins of Order", 1993), traps those of Deb and Goldberg
("Analyzing deception in trap functions", 1993): all but the best combination lead away from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecoNAS.errors import EcoNASError, unknown_name
from ecoNAS.evaluation.table_spec import TableSpec
from ecoNAS.evaluation.tabular import Table, make_table

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

PREFIX: Final = "synthetic:"
MEASURING_COST: Final = 0.003  # of a training
METER_NOISE: Final = 0.03
TRAP_SIZE: Final = 3


@dataclass(frozen=True, slots=True)
class Landscape:
    """What a synthetic benchmark is like.

    Attributes:
        choices: How many each decision has; those with an even place are names, the others numbers.
        pairs: Interactions of two decisions, as a share of the single effects.
        traps: Whether every third decision and the two after it are a trap.
        correlation: Of the effects on energy with those on worth: 1 where everything good is dear.
        noise: Standard deviation of the error that no decision explains, as a share of the error's own.
        failing: Share of candidates that do not learn at all: those with one certain pair of choices.
        conditional: Whether the first decision says how many of the others count; the rest then hold their first.
        rows: How many of the space are in the table; None for all.
        objectives: Besides error: energy, and what else.
        hidden: Whether everything is known only after a training.
    """

    choices: tuple[int, ...] = (4, 4, 4, 4, 4, 4)
    pairs: float = 0.3
    traps: bool = False
    correlation: float = 0.7
    noise: float = 0.05
    failing: float = 0.0
    conditional: bool = False
    rows: int | None = None
    objectives: tuple[str, ...] = ("energy",)
    hidden: bool = False


LANDSCAPES: Final[Mapping[str, Landscape]] = {
    "separable": Landscape(pairs=0.0),
    "interacting": Landscape(pairs=1.5),
    "deceptive": Landscape(pairs=0.3, traps=True),
    "noisy": Landscape(noise=0.6),
    "failing": Landscape(failing=0.2),
    "conditional": Landscape(choices=(5, 4, 4, 4, 4, 4), conditional=True),
    "uncorrelated": Landscape(correlation=0.0),
    "correlated": Landscape(correlation=0.97),
    "small": Landscape(choices=(7, 6, 9)),
    "wide": Landscape(choices=(3,) * 24, rows=20_000),
    "large": Landscape(choices=(5,) * 10, rows=120_000),
    "four": Landscape(objectives=("energy", "macs", "parameters")),
    "hidden": Landscape(hidden=True),
}


def is_synthetic(name: str) -> bool:
    """Return whether a specification names a synthetic benchmark."""
    return name.startswith(PREFIX)


def read_synthetic(name: str) -> Table:
    """Return the benchmark that `synthetic:NAME` or `synthetic:NAME:SEED` means.

    Raises:
        EcoNASError: listing the known names.
    """
    landscape, _, seed = name.removeprefix(PREFIX).partition(":")
    if landscape not in LANDSCAPES:
        raise EcoNASError(unknown_name("synthetic benchmark", landscape, LANDSCAPES))
    if seed and not seed.isdecimal():
        raise EcoNASError(f"{name}: the seed '{seed}' must be a whole number, for example {PREFIX}{landscape}:1")
    return make_synthetic(LANDSCAPES[landscape], int(seed or 0))


def make_synthetic(landscape: Landscape, seed: int) -> Table:
    """Return a table of a landscape.

    Args:
        landscape: What it is like.
        seed: Of its effects and its noise.
    """
    rng = np.random.default_rng(seed)
    codes = _codes(landscape, rng)
    worths = [rng.standard_normal(count) for count in landscape.choices]
    worth = _single(codes, worths) + landscape.pairs * _pairs(codes, landscape.choices, rng)
    if landscape.traps:
        worth = worth / worth.std() + 1.5 * _traps(codes, landscape.choices, rng)
    worth = (worth - worth.mean()) / worth.std()
    if landscape.failing:
        worth = np.where(_share(codes, landscape.failing, rng), -6.0, worth)
    signal = 10 + 60 / (1 + np.exp(1.2 * (worth + 0.5)))
    error = np.clip(signal + landscape.noise * signal.std() * rng.standard_normal(len(codes)), 0.1, 99.9)
    followed = landscape.correlation
    apart = np.sqrt(1 - followed**2)
    factors = [followed * own + apart * rng.standard_normal(len(own)) for own in worths]
    dear = _single(codes, factors) + 0.3 * _pairs(codes, landscape.choices, rng)
    logs = {"energy": dear + METER_NOISE * rng.standard_normal(len(codes))}
    for name in ("macs", "parameters"):
        logs[name] = dear + 0.5 * _single(codes, [rng.standard_normal(count) for count in landscape.choices])
    columns = {name: 10 * np.exp(0.8 * (log - log.mean()) / log.std()) for name, log in logs.items()}
    names = [f"decision_{place}" for place in range(codes.shape[1])]
    return make_table(_spec(landscape, names), _frame(codes, names).assign(error=error, **columns))


def _codes(landscape: Landscape, rng: np.random.Generator) -> Codes:
    """Return (rows, decisions), each row once."""
    counts = np.array(landscape.choices)
    if landscape.rows is None:
        codes = np.array(list(product(*map(range, landscape.choices))), dtype=np.int64)
    else:
        codes = np.unique(rng.integers(0, counts, size=(landscape.rows, len(counts))), axis=0)
    if landscape.conditional:
        counting = 1 + codes[:, :1]  # decisions after the first that have a meaning
        codes = np.unique(np.where(np.arange(len(counts)) <= counting, codes, 0), axis=0)
    return codes


def _single(codes: Codes, effects: list[Floats]) -> Floats:
    """Return the sum of what each decision adds, (rows,)."""
    columns = zip(codes.T, effects, strict=True)
    return np.asarray(sum((effect[column] for column, effect in columns), np.zeros(len(codes))))


def _pairs(codes: Codes, choices: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Return what pairs of decisions add, (rows,): as many pairs as decisions, chosen at random."""
    every = list(combinations(range(len(choices)), 2))
    total = np.zeros(len(codes))
    for place in rng.permutation(len(every))[: len(choices)]:
        one, other = every[place]
        total += rng.standard_normal((choices[one], choices[other]))[codes[:, one], codes[:, other]]
    return total


def _traps(codes: Codes, choices: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Return what traps add, (rows,): the more decisions differ from a hidden best, the more, but for the best."""
    best = rng.integers(0, np.array(choices))
    total = np.zeros(len(codes))
    for first in range(0, len(choices) - TRAP_SIZE + 1, TRAP_SIZE):
        part = slice(first, first + TRAP_SIZE)
        differing = (codes[:, part] != best[part]).sum(axis=1)
        total += np.where(differing == 0, 1.2, differing / TRAP_SIZE - 0.5)
    return total


def _share(codes: Codes, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a mask of about a share of the rows: those with one of some random pairs of choices."""
    found = np.zeros(len(codes), dtype=bool)
    while found.mean() < share:
        one, other = rng.choice(codes.shape[1], size=2, replace=False)
        found |= (codes[:, one] == rng.choice(codes[:, one])) & (codes[:, other] == rng.choice(codes[:, other]))
    return found


def _frame(codes: Codes, names: list[str]) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for place, name in enumerate(names):
        column = codes[:, place]
        columns[name] = np.char.add("choice_", column.astype(str)) if place % 2 == 0 else 8 * (column + 1)
    return pd.DataFrame(columns)


def _spec(landscape: Landscape, names: list[str]) -> TableSpec:
    sought = [{"name": "error", "column": "error", "direction": "minimize", "known": "after_training"}]
    for name in landscape.objectives:
        objective: dict[str, Any] = {"name": name, "column": name, "direction": "minimize", "known": "exact"}
        if name == "energy":
            objective |= {"known": "measurable", "cost": MEASURING_COST}
        sought.append(objective | ({"known": "after_training", "cost": 0.0} if landscape.hidden else {}))
    features = [] if landscape.hidden else [name for name in ("macs", "parameters") if name not in landscape.objectives]
    spec = {"table": "synthetic.csv", "decisions": names, "objectives": sought, "features": features}
    return TableSpec.model_validate(spec)
