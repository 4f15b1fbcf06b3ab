"""A searched network beside ready models: what it has to beat, and when the search is repaid.

All are judged by the same validation images, recipe and meter. The images until the search is repaid are counted by
`payback`; here it is said what they mean and what they leave open. Joules of another device are left out, and named.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ecoNAS.analysis.payback import Payback, cheapest_as_accurate, payback
from ecoNAS.analysis.quantities import format_quantity
from ecoNAS.analysis.run import Run
from ecoNAS.analysis.trials import Trial
from ecoNAS.errors import RunFolderError
from ecoNAS.evaluation.objectives import mean_accuracy
from ecoNAS.joules import Joules
from ecoNAS.records import Costs, Evaluation, Outcome, ReadyModel, Score
from ecoNAS.run_folder import RunFolder

_UNKNOWN = "When the search is repaid cannot be told"


@dataclass(frozen=True, slots=True)
class Row:
    """One network of a comparison.

    Attributes:
        name: Of the ready model; `trial 7` for the searched one.
        accuracy: On the validation images.
        energy: Joules per image, with their interval and how they are known; None where they could not be measured.
    """

    name: str
    is_searched: bool
    is_baseline: bool
    accuracy: Score
    energy: Joules | None
    costs: Costs

    @property
    def joules(self) -> str:
        """The joules per image, for people."""
        return "not known" if self.energy is None else format_quantity(self.energy.value_j, "J")

    @property
    def known(self) -> str:
        """` (estimated)` or ` (simulated)`, to stand behind the joules; empty where a meter counted them."""
        return "" if self.energy is None or self.energy.kind == "measured" else f" ({self.energy.kind})"

    @property
    def interval(self) -> str:
        """The 95 % interval of the joules, for people; empty where none are known."""
        if self.energy is None:
            return ""
        return f"{format_quantity(self.energy.low_j, 'J')} to {format_quantity(self.energy.high_j, 'J')}"


@dataclass(frozen=True, slots=True)
class Bill:
    """What the search took, to be repaid.

    Attributes:
        interval_j: Bounds of the 95 % interval. Where a meter counted the whole search and says none, the floor of its
            method (`energy.protocol.method_floor`, 1 % unless the experiment says otherwise) to either side.
        meaning: What the joules cover and how they are known: those of an estimate cover training compute only.
        is_lower_bound: Whether the search took more: its meter did not count all, or a training has no joules.
        holes: Why the meter did not count all, one reason each.
    """

    energy_j: float
    interval_j: tuple[float, float]
    meaning: str
    is_lower_bound: bool
    holes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a searched network has to beat.

    Attributes:
        trial: The number of the searched network.
        rows: The searched network, then the ready models, by name.
        baseline: The cheapest ready model that is at least as accurate; None where there is none.
        bill: None where the joules of the search are not known.
        payback: Images until the search is repaid; None where that cannot be told.
        verdict: When the search is repaid, or why that cannot be told and what to do, in words.
        notes: Which ready models could not be compared by joules, and why, one sentence each.
    """

    trial: int
    rows: tuple[Row, ...]
    baseline: str | None
    bill: Bill | None
    payback: Payback | None
    verdict: str
    notes: tuple[str, ...]

    @property
    def heading(self) -> str:
        """Of a column of joules: `joules per image (estimated)`."""
        return f"joules per image{self.rows[0].known}"

    def joules(self, row: Row) -> str:
        """Return what stands below the heading, which says how they are known wherever the heading is wrong."""
        is_said = row.energy is None or row.known == self.rows[0].known
        return row.joules if is_said else f"{row.joules}{row.known or ' (measured)'}"


def compare(run: Run, models: Sequence[ReadyModel], trial: Trial) -> Comparison:
    """Hold a searched network against the ready models that were evaluated.

    Raises:
        RunFolderError: if the trial was not evaluated in full, or has no joules.
    """
    record, accuracy, chosen = _records(trial)
    strangers = {model.name: why for model in models if (why := _why_not_comparable(model, chosen))}
    baseline = cheapest_as_accurate((item for item in models if item.name not in strangers), accuracy.value)
    bill, found = _bill(run), None
    if baseline is None:
        verdict = f"{_UNKNOWN}, since no ready model {_why_no_baseline(run, trial, models)}."
    elif bill is None:
        verdict = f"{_UNKNOWN}, since its own joules are not known."
    elif run.ledger.kind != chosen.kind:
        verdict = (
            f"{_UNKNOWN}, since joules of different kind do not mix: those of the search are {run.ledger.kind} and "
            f"those per image {chosen.kind}."
        )
    else:
        found = payback(bill.energy_j, bill.interval_j, chosen, _energy(baseline))
        verdict = _verdict(trial.number, found, bill, baseline)
    searched = Row(f"trial {trial.number}", True, False, accuracy, chosen, record.costs)
    return Comparison(
        trial=trial.number,
        rows=(searched, *(ready_row(model, baseline) for model in models)),
        baseline=baseline.name if baseline is not None else None,
        bill=bill,
        payback=found,
        verdict=verdict,
        notes=tuple(f"{name} was left out of the payback: {why}." for name, why in strangers.items()),
    )


def compare_knee(run: Run) -> Comparison | None:
    """Return the comparison of the knee; None where there is no front, no ready model, or no joules."""
    models, knee = RunFolder(run.folder).ready_models(), run.knee()
    return compare(run, models, knee) if knee is not None and models and "energy_per_image" in knee.scores else None


def ready_row(model: ReadyModel, baseline: ReadyModel | None = None) -> Row:
    """Return a ready model as a row of a comparison."""
    is_baseline = baseline is not None and model.name == baseline.name
    return Row(model.name, False, is_baseline, model.training.accuracy, model.profile.energy, model.costs)


def comparison_json(comparison: Comparison) -> dict[str, Any]:  # Any: JSON
    """Return a comparison as plain JSON; images that are never reached are null."""
    found = comparison.payback
    return {
        "trial": comparison.trial,
        "networks": [_row_json(row) for row in comparison.rows],
        "baseline": comparison.baseline,
        "bill": asdict(comparison.bill) if comparison.bill is not None else None,
        "payback": None
        if found is None
        else {
            "images": _finite(found.images),
            "low": _finite(found.low),
            "high": _finite(found.high),
            "saving_j": found.saving_j,
            "is_never": found.is_never,
        },
        "verdict": comparison.verdict,
        "notes": list(comparison.notes),
    }


def _records(trial: Trial) -> tuple[Evaluation, Score, Joules]:
    """Return what is known of a searched network, or raise RunFolderError that says why there is nothing.

    Its accuracy is the mean of its trainings, as on the front.
    """
    record = trial.evaluation
    accuracy = mean_accuracy(record) if record is not None else None
    if trial.outcome not in (Outcome.EVALUATED, Outcome.DUPLICATE) or record is None or accuracy is None:
        why = f": {trial.reason}" if trial.reason else ""
        raise RunFolderError(f"trial {trial.number} was {trial.state} and is no trained network to compare{why}")
    profile = record.profile
    if profile is None or profile.energy is None:
        why = f": {'; '.join(profile.reasons)}" if profile is not None and profile.reasons else ""
        raise RunFolderError(f"trial {trial.number} has no joules per image to compare{why}")
    return record, accuracy, profile.energy


def _why_not_comparable(model: ReadyModel, chosen: Joules) -> str:
    """Return why the joules of a ready model say nothing beside those of the searched network; empty where they do."""
    energy = model.profile.energy
    if energy is None:
        return f"its joules could not be measured ({'; '.join(model.profile.reasons) or model.profile.status})"
    field = energy.differs_in(chosen)
    if not field:
        return ""
    records = f"baselines/{model.name}.json (after a refit, refit/profiles/timm_{model.name}.json)"
    mine, theirs = getattr(energy, field), getattr(chosen, field)
    return (
        f"joules of different {field} do not mix, '{mine}' and '{theirs}'; delete {records} and evaluate it again "
        "where the search ran"
    )


def _energy(model: ReadyModel) -> Joules:
    energy = model.profile.energy
    assert energy is not None  # as of every baseline
    return energy


def _bill(run: Run) -> Bill | None:
    ledger = run.ledger
    if ledger.search_energy_j is None:
        return None
    total_j, floor = ledger.search_energy_j, run.config.energy.protocol.method_floor
    interval_j = ledger.interval_j or (total_j * (1 - floor), total_j * (1 + floor))
    is_lower_bound = bool(ledger.holes) or ledger.num_unpriced > 0
    return Bill(total_j, interval_j, ledger.meaning, is_lower_bound, ledger.holes)


def _why_no_baseline(run: Run, trial: Trial, models: Sequence[ReadyModel]) -> str:
    """Return what ready models lack, and what to do."""
    if not models:
        return f"was evaluated yet; evaluate one: econas compare {run.folder} --zoo mobilenetv3_small_050"
    return (
        f"whose joules can be compared is at least as accurate as trial {trial.number}; evaluate a more accurate one: "
        f"econas compare {run.folder} --zoo NAME, or choose another network with --trial"
    )


def _verdict(trial: int, found: Payback, bill: Bill, baseline: ReadyModel) -> str:
    """Return when the search is repaid, with what the figure rests on."""
    takes = _takes(found.saving_j, _energy(baseline), baseline.name)
    if found.is_never:
        return f"Trial {trial} never repays the search: {takes}."
    at_least, overlap = "at least " if bill.is_lower_bound else "", "since the intervals overlap"
    soonest = format_quantity(math.ceil(found.low))
    if math.isinf(found.images):
        when = f"may never repay the search: {takes}; {overlap}, it could, at the earliest after {at_least}"
        when += f"{soonest} images"
    elif math.isinf(found.high):
        when = f"repays the search after {at_least}{_images(found)}, at the earliest {soonest}, "
        when += f"and may never do so, {overlap}: {takes}"
    else:
        latest = format_quantity(math.ceil(found.high))
        when = f"repays the search after {at_least}{_images(found)} ({soonest} to {latest}): {takes}"
    holes = f" It took more than that: {'; '.join(bill.holes)}." if bill.holes else ""
    return f"Trial {trial} {when}. The bill is {format_quantity(bill.energy_j, 'J')}, {bill.meaning}.{holes}"


def _takes(saving_j: float, baseline: Joules, name: str) -> str:
    joules = "joules" if baseline.kind == "measured" else f"{baseline.kind} joules"
    if not saving_j:
        return f"it takes as many {joules} per image as {name}"
    share = 100 * abs(saving_j) / baseline.value_j
    amount = f"{share:,.0f} %" if share >= 10 else f"{share:.2g} %"
    return f"it takes {amount} {'fewer' if saving_j > 0 else 'more'} {joules} per image than {name}"


def _images(found: Payback) -> str:
    count = math.ceil(found.images)
    return f"{format_quantity(count)} image{'' if count == 1 else 's'}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _row_json(row: Row) -> dict[str, Any]:  # Any: JSON
    energy = row.energy
    return {
        "name": row.name,
        "is_searched": row.is_searched,
        "is_baseline": row.is_baseline,
        "accuracy": row.accuracy.value,
        "accuracy_standard_error": row.accuracy.standard_error,
        "energy_per_image_j": energy.value_j if energy is not None else None,
        "energy_interval_j": [energy.low_j, energy.high_j] if energy is not None else None,
        "energy_kind": energy.kind if energy is not None else None,
        "macs": row.costs.macs,
        "params": row.costs.params,
    }
