"""A run in words: what was found, what it cost, how it stands. For the end of a search and the head of a report."""

from collections import Counter

from ecoNAS.analysis.cost_view import bill_words
from ecoNAS.analysis.quantities import format_duration, format_quantity
from ecoNAS.analysis.run import Run
from ecoNAS.analysis.trials import Trial
from ecoNAS.evaluation.objectives import OBJECTIVES
from ecoNAS.records import Outcome

_ENDS = {
    "trials": "It ended with the number of trials that was asked for.",
    "budget": "It ended where its budget did.",
    "plateau": "It ended early: the front had stopped growing.",
    "exhausted": "It ended early: proposals only repeated what was known.",
    "interrupted": "It was interrupted and can be resumed.",
    "nothing_passes": "It ended early: nothing that was proposed keeps the constraints.",
    "failing": "It ended early: candidates kept failing.",
}
_PHRASES = {
    "activation_memory": "{} of activations",
    "energy_per_image": "{} per image",
    "energy_per_image_b1": "{} per image at batch 1",
    "flops": "{} FLOPs",
    "latency": "{} per batch",
    "macs": "{} MACs",
    "params": "{} parameters",
    "training_energy": "{} to train",
}


def summary(run: Run) -> str:
    """Return one paragraph: what was found and what it cost."""
    return f"{found(run)} {cost(run)}"


def found(run: Run) -> str:
    """Return what was found: the size of the front, the most accurate network, the knee, the range of MACs."""
    members, knee = run.front_trials(), run.knee()
    if knee is None:
        return why_empty(run)
    known = sum(trial.may_be_on_front for trial in run.trials)
    sentences = [f"The front holds {len(members)} of {known} feasible networks."]
    judged = OBJECTIVES["accuracy" if "accuracy" in run.objectives.names else run.objectives.names[0]]
    sign = 1 if judged.direction == "maximize" else -1
    best = max(members, key=lambda trial: sign * trial.scores[judged.name].value)
    label = "the most accurate" if judged.name == "accuracy" else f"the best in {judged.name}"
    if best.number == knee.number:
        sentences.append(f"Trial {best.number} is both {label} and the knee: {_worth(run, best)}.")
    else:
        sentences.append(f"{label.capitalize()} is trial {best.number}: {_worth(run, best)}.")
        sentences.append(f"The knee is trial {knee.number}: {_worth(run, knee)}.")
    macs = [trial.scores["macs"].value for trial in members]
    if len(members) > 1:
        sentences.append(f"Members take {format_quantity(min(macs))} to {format_quantity(max(macs))} MACs per image.")
    return " ".join(sentences)


def cost(run: Run) -> str:
    """Return what the search itself took, with what its joules cover."""
    ledger = run.ledger
    took = f"The search took {format_duration(ledger.wall_s)}, with {format_duration(ledger.training_s)} of training"
    if ledger.search_energy_j is None:
        return f"{took}; its joules are not known."
    profiling = sum(row.energy_j for row in ledger.rows if row.phase == "profiling" and row.energy_j is not None)
    share = f"; {profiling / ledger.search_energy_j:.0%} of them for profiling" if profiling else ""
    return (
        f"{took} and {format_quantity(ledger.search_energy_j, 'J')}, {ledger.meaning}{share}. {bill_words(run)}".strip()
    )


def counts_line(run: Run) -> str:
    """Return how many trials ended in each outcome that occurred, and how many wait or are under way."""
    parts = [f"{count} {name}" for name, count in run.counts.items() if count]
    unended = [trial for trial in run.trials if trial.outcome is None]
    waiting = sum(trial.evaluation is not None and trial.evaluation.outcome is Outcome.STOPPED for trial in unended)
    others = "under way" if run.ended is None else "not finished"
    parts += [
        f"{count} {name}" for count, name in ((waiting, "waiting at a rung"), (len(unended) - waiting, others)) if count
    ]
    number = "1 trial" if len(run.trials) == 1 else f"{len(run.trials)} trials"
    return f"{number}: {', '.join(parts)}" if parts else "no trials yet"


def standing(run: Run) -> str:
    """Return whether the run ended, and why, or whether it goes on or died."""
    if run.ended is not None:
        return f"{_ENDS[run.ended.reason]} {run.ended.detail}".strip()
    last = f"; its last sign of life is of {run.events[-1].time:%Y-%m-%d %H:%M:%S} UTC" if run.events else ""
    if run.is_running:
        return f"It is running{last}."
    return f"It stopped without a word{last}. `econas search` with --resume goes on with it."


def why_empty(run: Run) -> str:
    """Return a sentence on why the front is empty."""
    if run.counts[Outcome.EVALUATED]:
        return "The front is empty: no evaluated network keeps all constraints."
    reasons = Counter(trial.reason for trial in run.trials if trial.outcome not in (None, Outcome.DUPLICATE))
    if not reasons:
        return "The front is empty: no network was evaluated yet."
    reason, count = reasons.most_common(1)[0]
    return f"The front is empty: no network was evaluated; {count} of {len(run.trials)} trials ended with: {reason}."


def _worth(run: Run, trial: Trial) -> str:
    """Return what a trial reads right and what that takes, in the first three objectives of the study."""
    words = []
    for objective in run.objectives.items[:3]:
        score, kind = trial.scores[objective.name], run.kind(objective.name)
        if objective.name == "accuracy":
            error = f" ± {score.standard_error:.1%}" if score.standard_error else ""
            words.append(f"{score.value:.1%}{error} of the {score.split or 'scored'} images read right")
        else:
            known = f" ({kind})" if objective.is_energy and kind != "measured" else ""
            phrase = _PHRASES.get(objective.name, "{} " + objective.name.replace("_", " "))
            words.append(phrase.format(format_quantity(score.value, objective.unit)) + known)
    return ", ".join(words)
