"""Where the numbers of a run come from, and what must be known to read them rightly, in words.

Facts are taken from the records and the experiment; nothing is looked up on the machine that shows them.
"""

from collections.abc import Iterator

from ecoNAS.analysis.certainty import doubts, order_note
from ecoNAS.analysis.quantities import describe_deployment
from ecoNAS.analysis.run import Run
from ecoNAS.analysis.trials import Trial
from ecoNAS.events import RunStarted, SplitRead
from ecoNAS.joules import Joules
from ecoNAS.recipe import TrainingConfig

Facts = list[tuple[str, str]]


def provenance(run: Run) -> Facts:
    """Return facts as (name, text), in the order in which they are read."""
    return list(_facts(run))


def honest_notes(run: Run) -> list[str]:
    """Return what a reader must know before believing the numbers, one sentence or two each."""
    return list(_notes(run))


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    config, environment = run.config, run.environment
    trial = _first_trained(run)
    yield "data set", _data(run)
    if run.split_sizes:
        yield "images", ", ".join(f"{size} for {name}" for name, size in run.split_sizes.items())
    yield "seeds", f"{config.search.seed} for the search, {config.data.split.seed} for the split"
    yield "training", _training(run)
    yield "search", f"sampler {config.search.sampler}, {config.search.trials} trials asked for"
    if config.constraints:
        yield "constraints", "; ".join(config.constraints)
    if trial is not None and trial.evaluation and trial.evaluation.training:
        yield "trained on", trial.evaluation.training.device
    energy = _energy(trial)
    yield "joules", f"{config.energy.meter}" if energy is None else _joules(energy, run)
    if trial is not None and trial.evaluation:
        ways = {one.evaluation.candidate.deployment for one in run.trials if one.evaluation}
        alike = describe_deployment(trial.evaluation.candidate.deployment, trial.evaluation.problem.resolution)
        several = f"{len(ways)} deployments, which the search space decides; each trial says its own"
        yield "networks run as", alike if len(ways) == 1 else several
    machine = [str(environment[name]) for name in ("cpu", "platform") if environment.get(name)]
    if machine:
        yield "machine", ", ".join(machine)
    packages = environment.get("packages", {})
    if packages:
        python = f"Python {environment.get('python', '')}, "
        yield "versions", python + ", ".join(f"{name} {version}" for name, version in packages.items())
    if environment.get("git_commit"):
        yield "commit", str(environment["git_commit"])
    yield "MACs", "of convolutions, linear layers, matrix products and attention; FLOPs are 2 x MACs"


def _training(run: Run) -> str:
    """Return the recipe in a sentence: what everybody asks for, then what is not as by default."""
    config, usual = run.config, TrainingConfig()
    recipe, start = config.training, config.start
    choices = [trial.evaluation.candidate.recipe for trial in run.trials if trial.evaluation]
    decided = {name for choice in choices for name, value in choice if value is not None}
    told = {"epochs", "batch_size", "lr", "restarts", "early", "freeze", "distillation", "validation"}
    options = {name: getattr(recipe, name) for name in TrainingConfig.model_fields if name not in told}
    others = [f"{name} {value}" for name, value in options.items() if value != getattr(usual, name)]
    begun = {"scratch": "from scratch", "inherit": "inherited from the nearest network"}
    parts = [
        f"{recipe.epochs} epochs, batch {recipe.batch_size}, learning rate {recipe.lr:g}",
        begun[start] if isinstance(start, str) else f"from {start.weights}",
        *others,
    ]
    if decided:
        parts.append(f"{' and '.join(sorted(decided))} as each network decides")
    return ", ".join(parts)


def _notes(run: Run) -> Iterator[str]:
    energy = _energy(_first_trained(run))
    if energy is not None and energy.kind == "estimated":
        interval = f" Their 95 % interval reaches from {_factors(energy)} times the value." if energy.value_j else ""
        yield f"All joules here are estimated: computed from counts and coefficients; no meter was read.{interval}"
    elif energy is not None and energy.kind == "simulated":
        yield "All joules here are simulated: they come from a made-up counter for tests."
    yield from (note for note in [order_note(run), *doubts(run)] if note)
    if run.audit is not None:
        yield from run.audit.warnings
    test = run.split_sizes.get("test", 0)
    is_read = any(isinstance(event, SplitRead) for event in run.events)
    untouched = f"The search did not see the {test} images of the test split" if test else "There is no test split"
    untouched += ", which refitted networks were judged by." if is_read else "."
    yield (
        "Accuracies are of the validation split, by which the networks were picked, so they are optimistic. "
        + untouched
    )
    yield "± is one standard error: networks whose accuracies differ by less than two of them may well be equal."


def _first_trained(run: Run) -> Trial | None:
    return next((trial for trial in run.trials if trial.evaluation and trial.evaluation.training), None)


def _energy(trial: Trial | None) -> Joules | None:
    profile = trial.evaluation.profile if trial and trial.evaluation else None
    return profile.energy if profile else None


def _joules(energy: Joules, run: Run) -> str:
    started = next((event for event in run.events if isinstance(event, RunStarted)), None)
    meter = started.meter if started is not None else None
    where = f"{meter.device_name} ({energy.device})" if meter is not None and meter.device_name else energy.device
    interval = f", 95 % interval {_factors(energy)} times the value" if energy.value_j else ""
    return f"{energy.kind}, method {energy.method}, scope {energy.scope}, device {where}{interval}"


def _factors(energy: Joules) -> str:
    return f"{energy.low_j / energy.value_j:.3g} to {energy.high_j / energy.value_j:.3g}"


def _data(run: Run) -> str:
    data, trial = run.config.data, _first_trained(run)
    where = f" ({data.path})" if data.path else ""
    if trial is None or trial.evaluation is None:
        return data.name + where
    problem = trial.evaluation.problem
    size = f"{problem.input_channels} x {problem.resolution} x {problem.resolution}"
    return f"{data.name}{where}, images of {size}, {problem.num_classes} classes"
