"""The story of a refit: chosen networks trained in full with several seeds, measured again, read on the test split.

The search saw the validation split; here the test split is read, once a training, and every reading is an event. What
was finished is kept, and the same command goes on. Ready models go the same way, so that they can be compared.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ecoNAS.analysis.run import Run
from ecoNAS.analysis.trials import Trial
from ecoNAS.config import ExperimentConfig
from ecoNAS.errors import DataError, RunFolderError
from ecoNAS.evaluation.parts import forget_parts
from ecoNAS.evaluation.profiling import profile_network
from ecoNAS.evaluation.refit import refit
from ecoNAS.evaluation.task import EvaluationTask, NetworkTask, ReadyModelTask
from ecoNAS.events import SplitRead
from ecoNAS.experiment.outputs import write_outputs
from ecoNAS.experiment.prepare import prepare
from ecoNAS.experiment.resume import check_as_searched
from ecoNAS.experiment.setup import Setup
from ecoNAS.experiment.start import as_given
from ecoNAS.experiment.teacher import find_teacher, learning_from
from ecoNAS.experiment.workers import open_trainers
from ecoNAS.recipe import DistillationConfig, TrainingConfig
from ecoNAS.records import Refit
from ecoNAS.refit_folder import RefitFolder, RefitPlan
from ecoNAS.run_folder import RunFolder

POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Refitting:
    """What is to be refitted, and how.

    Attributes:
        trials: Of the run, each with a trained network.
        zoo: Names of timm models that are trained beside them.
        recipe: Of all trainings.
        num_seeds: Trainings of each network.
        teacher: The folder of an export or the name of a timm model that they learn from; empty for none.
        distillation: How they learn from it.
    """

    run: Run
    trials: tuple[Trial, ...]
    zoo: tuple[str, ...]
    recipe: TrainingConfig
    num_seeds: int
    teacher: str = ""
    distillation: DistillationConfig = field(default_factory=DistillationConfig)

    @property
    def total(self) -> int:
        """How many trainings there are to be in all."""
        return (len(self.trials) + len(self.zoo)) * self.num_seeds

    @property
    def missing(self) -> tuple[tuple[Trial, int], ...]:
        """The trials that were not trained yet, with each seed that they lack."""
        refits = RefitFolder(self.run.folder)
        pairs = ((trial, seed) for trial in self.trials for seed in range(self.num_seeds))
        return tuple((trial, seed) for trial, seed in pairs if refits.refit(trial.digest, seed) is None)

    @property
    def expected_s(self) -> float:
        """Seconds of training on one worker, as the epochs of the search went; of ready models nothing is known."""
        found = [trial.evaluation.training for trial, _ in self.missing if trial.evaluation]
        epochs_s = [(item.duration_s - item.paused_s) / len(item.curve) for item in found if item is not None]
        return sum(epochs_s) * self.recipe.epochs


@dataclass(frozen=True, slots=True)
class Watcher:
    """What a caller wants to hear of.

    Attributes:
        on_refit: Called with the record of each training, those of earlier commands first.
        on_failed: Called with the name of a network, its seed and the reason where a training came to nothing.
    """

    on_refit: Callable[[Refit], None] = lambda refit: None
    on_failed: Callable[[str, int, str], None] = lambda network, replicate, reason: None


def recipe_of_refit(run: Run, epochs: int | None) -> TrainingConfig:
    """Return the recipe of the search without what only served the search: pauses, cheap first epochs, patience.

    Args:
        run: Whose recipe.
        epochs: None for as many as in the search.
    """
    changes: dict[str, object] = {"restarts": (), "early": None, "patience": None}
    return run.config.training.model_copy(update={**changes, **({"epochs": epochs} if epochs is not None else {})})


def run_refit(refitting: Refitting, watcher: Watcher | None = None) -> None:
    """Train what is missing, and measure again what can be measured.

    Raises:
        RunFolderError: if the folder is in use or holds another refit, or a trial has no network.
        DataError: if the images are not those of the search, or there is no test split.
        KeyboardInterrupt: on Ctrl-C; the same command goes on.
    """
    watcher, run = watcher or Watcher(), refitting.run
    folder, refits = RunFolder(run.folder), RefitFolder(run.folder)
    with folder.locked():
        setup = prepare(_config(refitting))
        _check_data(refitting, setup)
        tasks = list(_tasks(refitting, setup, refits))
        recipe = refitting.recipe
        learned_from = refitting.teacher
        if learned_from and Path(learned_from).is_dir():  # later commands may run elsewhere
            learned_from = str(Path(learned_from).absolute())
        refits.check(recipe, learned_from, refitting.distillation)
        if learned_from:
            problems = dict.fromkeys(task.problem for task in tasks)
            teacher = find_teacher(learned_from, setup, recipe, run.folder, problems)
            change = {"distillation": learning_from(teacher, refitting.distillation)}
            recipe = recipe.model_copy(update=change)
            tasks = [
                task.model_copy(update={"teacher": teacher, "recipe": task.recipe.model_copy(update=change)})
                for task in tasks
            ]
        refits.begin(RefitPlan(recipe=recipe, teacher=learned_from))
        missing = list[NetworkTask]()
        for task in tasks:
            found = refits.refit(network_of(task), task.replicate)
            if found is None:
                missing.append(task)
            else:
                watcher.on_refit(found)
        _train(setup, missing, folder, refits, watcher)
        _measure(setup, tasks, refits)
        write_outputs(folder)


def network_of(task: NetworkTask) -> str:
    """Return what a refit calls a network."""
    return task.candidate.digest if isinstance(task, EvaluationTask) else task.architecture_key


def _config(refitting: Refitting) -> ExperimentConfig:
    """Return the experiment with the recipe of the refit; a network that was found answers to no bound any more."""
    config = refitting.run.config
    search = config.search.model_copy(update={"halving": None, "warm_start": (), "enqueue": (), "proxies": ()})
    changes = {"constraints": (), "baseline": None, "training": refitting.recipe, "search": search}
    return config.model_copy(update=changes)


def _check_data(refitting: Refitting, setup: Setup) -> None:
    for trial in refitting.trials:
        record = trial.evaluation
        if record is None or record.training is None:
            raise RunFolderError(f"trial {trial.number} was {trial.state} and has no trained network to refit")
        check_as_searched(RunFolder(refitting.run.folder), record, setup)
    if setup.data.split.test is None:
        raise DataError(
            f"data set {setup.data.name} brings no test images and split.test is 0: nothing could be read in the end; "
            "search again with split.test above 0"
        )


def _tasks(refitting: Refitting, setup: Setup, refits: RefitFolder) -> Iterator[NetworkTask]:
    """Yield a task for each network and seed, all networks with the first seed first."""
    folder = refitting.run.folder
    ready = [setup.ready_model_task(name, folder) for name in refitting.zoo]
    searched = [
        setup.task(trial.number, trial.evaluation.candidate, trial.evaluation.costs, folder)
        for trial in refitting.trials
        if trial.evaluation is not None
    ]
    tasks: list[NetworkTask] = [as_given(task, setup.config) for task in (*searched, *ready)]
    for replicate in range(refitting.num_seeds):
        for task in tasks:
            network = network_of(task)
            yield task.model_copy(
                update={
                    "replicate": replicate,
                    "purpose": "refit",
                    "weights": refits.weights(network, replicate),
                    "checkpoints": refits.checkpoints(network, replicate),
                    "until": None,
                    "trains_alone": setup.num_workers == 1,
                }
            )


def _train(
    setup: Setup, tasks: Sequence[NetworkTask], folder: RunFolder, refits: RefitFolder, watcher: Watcher
) -> None:
    if not tasks:
        return
    with open_trainers(setup, refit) as workers:
        for task in tasks:
            workers.submit(task)
        left = len(tasks)
        while left:
            finished = workers.next_finished(POLL_S)
            if finished is None:
                continue
            left -= 1
            task = finished.task
            if finished.result is None:
                reason = finished.error.strip().rpartition("\n")[2].partition(": ")[2] or "its worker died"
                name = f"trial {task.trial}" if isinstance(task, EvaluationTask) else task.model
                watcher.on_failed(name, task.replicate, reason[:300])
                continue
            refits.write(finished.result)
            forget_parts(task)
            folder.events.append(SplitRead(network=network_of(task), replicate=task.replicate))
            watcher.on_refit(finished.result)


def _measure(setup: Setup, tasks: Sequence[NetworkTask], refits: RefitFolder) -> None:
    """Measure each network again in this process, closely: nothing trains any more.

    Where joules are estimated there is nothing to measure again; ready models get theirs once.
    """
    target = setup.config.energy.protocol.reference_target
    for task in tasks:
        network = network_of(task)
        is_due = setup.reference is not None or isinstance(task, ReadyModelTask)
        if task.replicate == 0 and is_due and refits.profile(network) is None:
            refits.write_profile(network, profile_network(task.model_copy(update={"target": target})))
