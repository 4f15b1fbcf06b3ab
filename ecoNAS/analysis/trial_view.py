"""One trial for the terminal and as JSON: how it ended, and its evaluation where it has one."""

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from ecoNAS.analysis.evaluation_view import constraints_section, evaluation_view, section
from ecoNAS.analysis.run import Run
from ecoNAS.analysis.summary import why_empty
from ecoNAS.analysis.tables import trial_json
from ecoNAS.analysis.trials import Trial
from ecoNAS.errors import RunFolderError
from ecoNAS.records import Outcome


def find_trial(run: Run, text: str) -> Trial:
    """Return the trial that a user named by number or as 'knee'.

    Raises:
        RunFolderError: if there is no such trial.
    """
    if text == "knee":
        knee = run.knee()
        if knee is None:
            raise RunFolderError(f"{run.folder} has no knee. {why_empty(run)}")
        return knee
    if not text.isdecimal():
        raise RunFolderError(f"'{text}' is no trial; give a number, or 'knee'")
    return run.trial(int(text))


def print_trial(run: Run, trial: Trial) -> None:
    """Print one trial to standard output, as wide as the terminal."""
    Console(highlight=False).print(trial_view(run, trial))


def trial_view(run: Run, trial: Trial) -> RenderableType:
    """Return everything that is known about a trial, readable at 80 columns."""
    parts: list[RenderableType] = [Text(_headline(run, trial), style="bold"), Text(f"digest {trial.digest}", "dim")]
    if trial.reason:
        parts.append(Text(f"reason: {trial.reason}"))
    if trial.evaluation is not None:
        return Group(*parts, *evaluation_view(trial.evaluation, run.objectives))
    parts += section("parameters", [(name, str(value)) for name, value in trial.parameters.items()])
    return Group(*parts, *constraints_section(trial.violations))


def trial_view_json(run: Run, trial: Trial) -> dict[str, Any]:  # Any: JSON
    """Return a trial and its record as plain JSON, without its predictions for each image."""
    record = trial.evaluation
    return {
        **trial_json(trial, run.objectives.items),
        "reason": trial.reason,
        "violations": dict(trial.violations),
        "duplicate_of": trial.duplicate_of,
        "evaluation": record.model_dump(mode="json", exclude={"training": {"validation_predictions"}})
        if record
        else None,
    }


def _headline(run: Run, trial: Trial) -> str:
    knee = run.knee()
    parts = [trial.state]
    if trial.duplicate_of is not None:
        parts = [f"duplicate of trial {trial.duplicate_of}"]
    if trial.outcome is None and run.ended is not None:
        parts = ["not finished"]
    if trial.on_front:
        parts.append("on the front")
    elif trial.outcome is Outcome.EVALUATED:
        parts.append("not on the front")
    if knee is not None and knee.number == trial.number:
        parts.append("the knee")
    return f"Trial {trial.number} of {run.name}: {', '.join(parts)}"
