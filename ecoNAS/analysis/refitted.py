"""What a refit came to: test accuracy with its interval, and joules measured again.

A network is judged by the mean of its trainings. Its interval has the error of the images, which all trainings share,
and that of the seeds, by Student's t since there are few. Whether the search ranked its networks rightly is told by
Kendall's tau (Biometrika 30, 1938).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

from scipy.stats import kendalltau
from scipy.stats import t as student

from ecoNAS.analysis.quantities import format_quantity
from ecoNAS.analysis.run import Run
from ecoNAS.analysis.trials import Trial
from ecoNAS.evaluation.objectives import mean_accuracy, mean_score
from ecoNAS.joules import Joules
from ecoNAS.records import Costs, Evaluation, ReadyModel, Refit, Score
from ecoNAS.refit_folder import RefitFolder, best

Z_95 = 1.96
READY = "timm:"
LEAST_RANKED = 3  # networks, of which a ranking says something


@dataclass(frozen=True, slots=True)
class Refitted:
    """One network after its refit.

    Attributes:
        name: `trial 7`, or that of a ready model.
        trial: Its number; None for a ready model.
        searched: What the search saw of it, the mean of its trainings there; None for a ready model.
        test: The mean accuracy on the test split.
        half: Of the 95 % interval of that mean; with one seed, of the images alone.
        other: Its other scores on the test split, by name.
        energy: Joules per image, measured after the refit where they can be; else those of the search.
        is_measured_again: Whether they were.
        weights: Of its best training, relative to the run folder.
    """

    name: str
    trial: int | None
    num_seeds: int
    searched: Score | None
    test: Score
    half: float
    other: dict[str, Score]
    energy: Joules | None
    is_measured_again: bool
    costs: Costs
    weights: str | None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the test accuracy."""
        return max(self.test.value - self.half, 0.0), min(self.test.value + self.half, 1.0)


def read_refitted(run: Run) -> tuple[Refitted, ...]:
    """Return what was refitted of a run, the most accurate on the test split first."""
    folder = RefitFolder(run.folder)
    rows = [_row(run, folder, network, refits) for network, refits in folder.refits().items()]
    return tuple(sorted(rows, key=lambda row: (-row.test.value, row.name)))


def deployed(run: Run, evaluation: Evaluation) -> tuple[Evaluation, Score | None]:
    """Return an evaluation as it is to be deployed, with the test accuracy of its weights: refitted where it was."""
    folder = RefitFolder(run.folder)
    refits = folder.refits().get(evaluation.digest)
    if not refits:
        return evaluation, None
    chosen, again = best(refits), folder.profile(evaluation.digest)
    changes: dict[str, object] = {"training": chosen.training, "replicates": ()}
    if again is not None and again.energy is not None:
        changes["profile"] = again
    return evaluation.model_copy(update=changes), chosen.test["accuracy"]


def ready_refitted(run: Run) -> tuple[ReadyModel, ...]:
    """Return the ready models that were refitted, each with the mean of its test accuracies."""
    folder = RefitFolder(run.folder)
    found = list[ReadyModel]()
    for network, refits in folder.refits().items():
        profile = folder.profile(network)
        if network.startswith(READY) and profile is not None:
            mean = mean_score([refit.test["accuracy"] for refit in refits])
            training = best(refits).training.model_copy(update={"accuracy": mean})
            name, costs = network.removeprefix(READY), refits[0].costs
            times = {"started": refits[0].started, "ended": refits[-1].ended}
            found.append(ReadyModel(name=name, costs=costs, profile=profile, training=training, **times))
    return tuple(found)


def trial_refitted(run: Run, trial: Trial) -> Trial | None:
    """Return a trial as it was refitted, with the mean of its test accuracies; None where it was not."""
    refits = RefitFolder(run.folder).refits().get(trial.digest)
    if not refits or trial.evaluation is None:
        return None
    evaluation, _ = deployed(run, trial.evaluation)
    assert evaluation.training is not None  # as of every refitted network
    mean = mean_score([refit.test["accuracy"] for refit in refits])
    training = evaluation.training.model_copy(update={"accuracy": mean})
    return replace(trial, evaluation=evaluation.model_copy(update={"training": training}))


def rank_agreement(rows: Sequence[Refitted]) -> float | None:
    """Return Kendall's tau between what the search saw and the test split; None for too few networks of the search."""
    pairs = [(row.searched.value, row.test.value) for row in rows if row.searched is not None]
    if len(pairs) < LEAST_RANKED:
        return None
    tau = float(kendalltau(*zip(*pairs, strict=True)).statistic)
    return None if math.isnan(tau) else tau  # as where all are alike


def refitted_json(rows: Sequence[Refitted]) -> list[dict[str, Any]]:  # Any: JSON
    """Return networks as plain JSON."""
    return [
        {
            "name": row.name,
            "trial": row.trial,
            "seeds": row.num_seeds,
            "validation_accuracy_in_search": row.searched.value if row.searched is not None else None,
            "test_accuracy": row.test.value,
            "test_accuracy_interval": list(row.interval),
            "test_scores": {name: score.value for name, score in row.other.items()},
            "energy_per_image_j": row.energy.value_j if row.energy is not None else None,
            "energy_kind": row.energy.kind if row.energy is not None else None,
            "energy_measured_again": row.is_measured_again,
            "macs": row.costs.macs,
            "params": row.costs.params,
            "weights": row.weights,
        }
        for row in rows
    ]


def cells(row: Refitted, rows: Sequence[Refitted]) -> tuple[str, ...]:
    """Return a row of a table for people, one cell for each of `headings`."""
    joules = "not known" if row.energy is None else format_quantity(row.energy.value_j, "J")
    if row.energy is not None and row.energy.kind != _kind(rows):
        joules += f" ({row.energy.kind})"
    return (
        row.name,
        *([] if _num_seeds(rows) is not None else [str(row.num_seeds)]),
        f"{row.searched.value:.3f}" if row.searched is not None else "",
        f"{row.test.value:.3f} ±{row.half:.3f}",
        joules,
        format_quantity(row.costs.macs),
        format_quantity(row.costs.params),
    )


def headings(rows: Sequence[Refitted]) -> tuple[str, ...]:
    """Return the headings of a table for people."""
    kind = _kind(rows)
    known = f"\n({kind})" if kind not in ("", "measured") else ""
    return (
        "network",
        *([] if _num_seeds(rows) is not None else ["seeds"]),
        "accuracy\nin search",
        "accuracy\non the test split\n(±: 95 %)",
        f"joules\nper image{known}",
        "MACs",
        "params",
    )


def caption(rows: Sequence[Refitted]) -> str:
    """Return what stands below the table: with how many seeds each was trained, where all had as many."""
    count = _num_seeds(rows)
    return f"Each was trained with {count} seed{'' if count == 1 else 's'}." if count is not None else ""


def notes(rows: Sequence[Refitted]) -> list[str]:
    """Return what must be known to read the table, one sentence each."""
    lines, tau = [caption(rows)], rank_agreement(rows)
    if tau is not None:
        lines.append(f"Kendall's tau between the search's ranking and the test split's: {tau:.2f}.")
    if rows and not any(row.is_measured_again for row in rows):
        lines.append("Joules are those of the search: where they are estimated there is nothing to measure again.")
    return [line for line in lines if line]


def _num_seeds(rows: Sequence[Refitted]) -> int | None:
    """Return how many seeds all networks had; None where they differ."""
    counts = {row.num_seeds for row in rows}
    return counts.pop() if len(counts) == 1 else None


def _kind(rows: Sequence[Refitted]) -> str:
    """Return how the joules of the first network with any are known; empty for none."""
    return next((row.energy.kind for row in rows if row.energy is not None), "")


def _row(run: Run, folder: RefitFolder, network: str, refits: tuple[Refit, ...]) -> Refitted:
    first = refits[0]
    evaluation = next((trial.evaluation for trial in run.trials if trial.digest == network and trial.evaluation), None)
    again = folder.profile(network)
    before = evaluation.profile if evaluation is not None else None
    profile = again if again is not None and again.energy is not None else before
    return Refitted(
        name=f"trial {first.trial}" if first.trial is not None else network.removeprefix(READY),
        trial=first.trial,
        num_seeds=len(refits),
        searched=mean_accuracy(evaluation) if evaluation is not None else None,
        test=mean_score([refit.test["accuracy"] for refit in refits]),
        half=_half([refit.test["accuracy"] for refit in refits]),
        other={name: mean_score([refit.test[name] for refit in refits]) for name in first.test if name != "accuracy"},
        energy=profile.energy if profile is not None else None,
        is_measured_again=again is not None and profile is again,
        costs=first.costs,
        weights=best(refits).training.weights_file,
    )


def _half(scores: Sequence[Score]) -> float:
    """Return half of the 95 % interval of a mean over seeds."""
    images = Z_95 * fmean(score.standard_error or 0.0 for score in scores)
    if len(scores) == 1:
        return images
    seeds = stdev(score.value for score in scores) / math.sqrt(len(scores))
    return math.hypot(images, float(student.ppf(0.975, len(scores) - 1)) * seeds)
