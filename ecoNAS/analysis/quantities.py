"""How numbers and names are written for people: prefixes, units, standard errors, and how joules are known.

Every table, plot and file takes its titles from here, so that none of them can forget to say "(estimated)".
"""

import math
from collections.abc import Iterator, Sequence

from ecoNAS.architecture import Candidate, Deployment
from ecoNAS.evaluation.objectives import Objective
from ecoNAS.recipe import RecipeChoice
from ecoNAS.records import Score, ScoreKind

_PREFIXES = {-12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}
_SUFFIXES = {"J": "_j", "s": "_s", "B": "_bytes", "": ""}


def format_quantity(value: float, unit: str = "") -> str:
    """Return a number with three digits and an SI prefix: `12.3 k`, `1.20 M`, `45.6 uJ`; whole numbers stay whole.

    A small number without a unit, such as a fraction, keeps its digits instead: `0.973`.
    """
    if not math.isfinite(value) or (abs(value) < 1000 and value == int(value)):
        return f"{value:g} {unit}".rstrip()
    if not unit and abs(value) < 1:
        return f"{value:.3g}"
    power = min(max(3 * math.floor(math.log10(abs(value)) / 3), -12), 12)
    if abs(float(f"{value / 10**power:.3g}")) >= 1000 and power < 12:  # 999.9 rounds up into the next prefix
        power += 3
    power = max(power, 0) if unit == "B" else power
    digits = f"{value / 10**power:#.3g}".removesuffix(".")
    return f"{digits} {_PREFIXES[power]}{unit}".rstrip()


def format_score(score: Score, unit: str = "") -> str:
    """Return the value with its standard error, where it has one: `0.973 ±0.009`, `45.6 uJ ±2.1%`."""
    error = score.standard_error
    if unit or abs(score.value) > 1 or (not error and score.split is None):
        text = format_quantity(score.value, unit)
        return f"{text} ±{100 * error / abs(score.value):.1f}%" if error and score.value else text
    # A share of images: three places line up in a column; a fourth where the error would vanish.
    places = 4 if error and error < 5e-4 else 3
    return f"{score.value:.{places}f}" + (f" ±{error:.{places}f}" if error else "")


def format_interval(score: Score, unit: str = "") -> str:
    """Return the 95 % interval, `0.955 to 0.991`; empty where none is known or the value is exact."""
    if score.interval is not None:
        low, high = score.interval
    elif score.standard_error:
        low, high = (score.value + sign * 1.96 * score.standard_error for sign in (-1, 1))
    else:
        return ""
    if not unit and score.split is not None:  # a share of images
        return f"{max(low, 0.0):.3f} to {min(high, 1.0):.3f}"
    return f"{format_quantity(low, unit)} to {format_quantity(high, unit)}"


def format_duration(seconds: float) -> str:
    """Return seconds as a person would say them: `8.2 s`, `4 min 10 s`, `3 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def describe_deployment(how: Deployment, resolution: int) -> str:
    """Return how a network runs in one line; `resolution` is that of the problem, in pixels."""
    size = how.resolution or resolution
    threads = "1 thread" if how.threads == 1 else f"{how.threads} threads"
    layout = "" if how.layout == "contiguous" else f"{how.layout}, "
    return f"{how.runtime}, {how.form} form, {how.dtype}, {layout}batch {how.batch}, {threads}, {size} x {size} pixels"


def describe_recipe(choice: RecipeChoice) -> str:
    """Return what a candidate decided of its recipe: `lr 0.01, weight_decay 0`; empty for nothing."""
    return ", ".join(f"{name} {value}" for name, value in choice if value is not None)


def differences(candidates: Sequence[Candidate]) -> list[str]:
    """Return for each candidate what sets it apart beside its architecture: `batch 8, lr 0.01`; nothing for none."""
    parts = [[f"{name} {value}" for name, value in _beside(candidate)] for candidate in candidates]
    varied = [len(set(column)) > 1 for column in zip(*parts, strict=True)]
    return [", ".join(text for text, is_told in zip(row, varied, strict=True) if is_told) for row in parts]


def _beside(candidate: Candidate) -> Iterator[tuple[str, object]]:
    """Yield what is decided beside the architecture; of the recipe, None is what the experiment says."""
    yield from candidate.deployment
    for name, value in candidate.recipe:
        yield name, "as usual" if value is None else value


def title(objective: Objective, kind: ScoreKind | None) -> str:
    """Return the name of an objective as a heading: `energy_per_image (estimated)`."""
    return f"{objective.name}{_known(objective, kind)}"


def column(objective: Objective, kind: ScoreKind | None) -> str:
    """Return the name of an objective as a column of a file: `energy_per_image_j (estimated)`."""
    return f"{objective.name}{_SUFFIXES.get(objective.unit, '_' + objective.unit)}{_known(objective, kind)}"


def error_column(objective: Objective) -> str:
    """Return the name of the column of an objective's standard errors, which have its unit."""
    return f"{objective.name}_standard_error{_SUFFIXES.get(objective.unit, '_' + objective.unit)}"


def _known(objective: Objective, kind: ScoreKind | None) -> str:
    return f" ({kind})" if objective.is_energy and kind in ("estimated", "simulated") else ""
