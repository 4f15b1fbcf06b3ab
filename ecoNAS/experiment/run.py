"""The story of a run: own the folder, take up what is there, search, write what came out."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import optuna
from sqlalchemy.exc import SQLAlchemyError

from ecoNAS.analysis.ledger import Ledger, read_ledger
from ecoNAS.architecture import AnyArchitecture, Candidate
from ecoNAS.block_conformance import check_architecture
from ecoNAS.config import HalvingConfig
from ecoNAS.costs.screen import GateTally
from ecoNAS.data.audit import DataAudit
from ecoNAS.energy.lane import Lane
from ecoNAS.energy.lane_files import LaneStatus
from ecoNAS.energy.select import select_meter
from ecoNAS.errors import RunFolderError
from ecoNAS.evaluation.devices import compute_device, gpu_uuid
from ecoNAS.evaluation.evaluate import evaluate
from ecoNAS.evaluation.profiling import owner_of
from ecoNAS.evaluation.workers import Desk
from ecoNAS.events import Event, RunEnded
from ecoNAS.experiment.halving import Checkpoints, join, rungs_of
from ecoNAS.experiment.interrupt import Interrupt
from ecoNAS.experiment.lane_notice import LaneNotice
from ecoNAS.experiment.measure_first import Laboratory
from ecoNAS.experiment.metering import Prices, RunMeter
from ecoNAS.experiment.opening import say_started, write_beginning
from ecoNAS.experiment.outputs import Reporter, drop_weights, write_outputs
from ecoNAS.experiment.resume import check_meter, check_unchanged, write_config
from ecoNAS.experiment.setup import Setup
from ecoNAS.experiment.shared_trainings import training_of
from ecoNAS.experiment.start import as_given
from ecoNAS.experiment.study import open_run_study
from ecoNAS.experiment.tasks import Tasks
from ecoNAS.experiment.warm_start import queued
from ecoNAS.experiment.workers import AnyWorkers, next_stage, open_workers
from ecoNAS.records import Evaluation
from ecoNAS.run_folder import RunFolder
from ecoNAS.search.budget import Budget
from ecoNAS.search.growth import Growth, Plateau
from ecoNAS.search.loop import SearchLoop
from ecoNAS.search.memory import Memory
from ecoNAS.search.parts import Parts
from ecoNAS.search.refine import Refinement, undecided
from ecoNAS.search.replicate import Replication, doubtful

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Watcher:
    """What a caller wants to hear of while a search runs.

    Attributes:
        on_event: Called after each event was written.
        on_stopping: Called when a first Ctrl-C was taken, with the number of candidates under way.
        on_waiting: Called, from a thread of its own, about once a wait while another run measures on our device.
    """

    on_event: Callable[[Event], None] = lambda event: None
    on_stopping: Callable[[int], None] = lambda num_running: None
    on_waiting: Callable[[LaneStatus], None] = lambda status: None


def run_search(setup: Setup, folder: RunFolder, *, resume: bool, watcher: Watcher | None = None) -> RunEnded:
    """Search, and leave behind a complete run folder.

    Args:
        setup: The experiment.
        folder: Where the run lives.
        resume: Whether it goes on with what lies there.
        watcher: Who is told of progress.

    Returns:
        Why the search ended.

    Raises:
        RunFolderError: if the folder is in use, cannot be written, or belongs to another experiment.
        KeyboardInterrupt: on a second Ctrl-C; the folder can be resumed.
    """
    watcher = watcher or Watcher()
    if not resume:
        queued(setup)  # refused before there is a folder
        folder.create()
    interrupt = Interrupt(watcher.on_stopping)
    with folder.locked(), interrupt.heeded():
        audit = None  # where a run goes on, its images were looked over when it began
        if resume:
            check_unchanged(setup.config, folder)
            folder.events.repair()
            check_meter(setup.reference, folder)
        else:
            audit = write_beginning(setup, folder)
        write_config(setup.config, folder)  # from here on it is a run, which can be resumed
        try:
            ended = _search(setup, folder, watcher, interrupt, audit)
        except (OSError, SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            reason = str(error.__cause__ or error).partition("\n")[0]  # Optuna wraps what SQLite said
            raise RunFolderError(
                f"run folder {folder.path} cannot be written ({reason}); mend that and go on with --resume"
            ) from error
        write_outputs(folder)
        if setup.config.keep_weights == "front" and ended.reason != "interrupted":
            drop_weights(folder)
        return ended


def evaluate_architecture(setup: Setup, architecture: AnyArchitecture) -> Evaluation:
    """Evaluate one architecture in this process, without a search and without a run folder."""
    candidate = Candidate(architecture=architecture, deployment=setup.config.deployment)
    architecture.check()
    check_architecture(architecture)
    task = setup.task(0, candidate, setup.space.costs(candidate), None)
    return evaluate(as_given(task, setup.config).model_copy(update={"until": None}))


def _search(
    setup: Setup, folder: RunFolder, watcher: Watcher, interrupt: Interrupt, audit: DataAudit | None
) -> RunEnded:
    config, memory, began_s = setup.config, Memory(), time.monotonic()
    before = read_ledger(tuple(folder.events))
    tasks = Tasks(setup, folder)
    rungs, checkpoints = rungs_of(setup), Checkpoints(folder, (config.search.halving or HalvingConfig()).disk)
    study = open_run_study(setup, folder, memory, first=tasks.first, rungs=rungs, warm=tasks.warm)
    say_started(setup, folder, watcher.on_event, audit)
    with (
        _run_meter(setup, folder, watcher) as meter,
        open_workers(setup, interrupt) as workers,
        _lane_notice(setup, folder, watcher).watching(),
    ):
        reporter = Reporter(folder, config.report.every_s)

        def tick() -> None:
            meter.flush()
            reporter.tick()

        def on_event(event: Event) -> None:
            meter.note(event)
            tasks.note(event)
            checkpoints.note(event)
            watcher.on_event(event)

        def log(event: Event) -> None:
            folder.events.append(event)
            on_event(event)

        def wait() -> None:
            tick()
            interrupt.check()

        budget = _budget(setup, before, meter, began_s)
        desk = Desk(workers)
        loop = SearchLoop(
            Parts(
                space=setup.space,
                study=study,
                workers=desk,
                folder=folder,
                memory=memory,
                tally=GateTally(setup.constraints),
                screen=setup.screen,
                make_task=tasks.of,
                training_of=training_of,
                values=setup.objectives.values,
                errors=setup.objectives.errors,
                growth=_growth(setup),
                trials=config.search.trials,
                budget=budget,
                on_event=on_event,
                on_tick=tick,
                next_task=next_stage,
                rungs=rungs,
                rung_of=setup.rung_of,
                share_of=setup.share_of,
                go_on=setup.going_on,
                must_make_room=checkpoints.is_full,
                join=join,
            )
        )

        def is_over() -> bool:
            return loop.is_stopping or bool(loop.why_full())

        tasks.first.laboratory = Laboratory(desk, log, wait, is_over)
        checkpoints.tidy()
        interrupt.stops(loop)
        loop.restore()
        ended = loop.run()
        if ended.reason != "interrupted":
            _revise(setup, folder, workers, on_event, is_over=is_over, on_tick=tick)
        return ended


def _growth(setup: Setup) -> Growth:
    asked = setup.config.search.plateau
    plateau = Plateau(asked.trials, asked.gain) if asked is not None else None
    bounds = {item.name: item.bound for item in setup.constraints}
    return Growth(setup.objectives.names, setup.objectives.directions, bounds, plateau)


def _run_meter(setup: Setup, folder: RunFolder, watcher: Watcher) -> RunMeter | Prices:
    """Return what counts the joules of the whole run; where they are estimated, those of trainings are added up."""
    if setup.reference is None:
        return Prices()

    def log(event: Event) -> None:
        folder.events.append(event)
        watcher.on_event(event)

    return RunMeter(select_meter(setup.config.energy, gpu_uuid(setup.device)), log)


def _lane_notice(setup: Setup, folder: RunFolder, watcher: Watcher) -> LaneNotice:
    computes_on = compute_device(setup.device, setup.config.energy.root)
    device = f"{setup.reference.device}+{computes_on}" if setup.reference is not None else computes_on
    return LaneNotice(Lane(device), owner_of(folder.path), watcher.on_waiting)


def _budget(setup: Setup, before: Ledger, meter: RunMeter | Prices, began_s: float) -> Budget:
    """Return what the search may take, with what earlier sessions took already."""
    limits = setup.config.search.budget
    return Budget(
        limits.energy,
        limits.time,
        lambda: (before.search_energy_j or 0.0) + meter.counted_j,
        lambda: before.wall_s + time.monotonic() - began_s,
        setup.training_price_j if setup.is_priced else None,
    )


def _revise(
    setup: Setup,
    folder: RunFolder,
    workers: AnyWorkers,
    on_event: Callable[[Event], None],
    *,
    is_over: Callable[[], bool],
    on_tick: Callable[[], None],
) -> None:
    """Train doubtful members of the front again, then measure it again to the tighter target, until `is_over`."""
    if setup.config.search.replicates == "auto":
        replication = Replication(
            folder,
            workers,
            lambda one: as_given(setup.replicating_task(one, folder.path), setup.config),
            on_event,
            is_over,
            on_tick,
        )
        replication.run(lambda evaluations: doubtful(evaluations, setup.objectives))
    if setup.reference is not None:
        refinement = Refinement(
            folder, workers, lambda wish: setup.refining_task(wish, folder.path), on_event, is_over, on_tick
        )
        settings = setup.config.energy.protocol
        refinement.run(lambda evaluations: undecided(evaluations, setup.objectives, settings))
