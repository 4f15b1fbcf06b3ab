"""The story of a run: own the folder, take up what is there, search, write what came out."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import optuna
from sqlalchemy.exc import SQLAlchemyError

from ecoNAS.analysis.ledger import Ledger, read_ledger
from ecoNAS.analysis.quantities import format_quantity
from ecoNAS.architecture import AnyArchitecture, Candidate
from ecoNAS.block_conformance import check_architecture
from ecoNAS.config import HalvingConfig
from ecoNAS.costs.screen import GateTally
from ecoNAS.data.audit import DataAudit
from ecoNAS.data.datasets import DataSet
from ecoNAS.data.look_over import AuditedSplit, look_over
from ecoNAS.energy.lane import Lane
from ecoNAS.energy.lane_files import LaneStatus
from ecoNAS.energy.select import select_meter
from ecoNAS.errors import RunFolderError
from ecoNAS.evaluation.devices import compute_device, gpu_uuid
from ecoNAS.evaluation.evaluate import evaluate
from ecoNAS.evaluation.profiling import owner_of
from ecoNAS.evaluation.workers import Desk
from ecoNAS.events import BaselineProfiled, DataLookedOver, Event, RunEnded, RunStarted, profiling
from ecoNAS.experiment.halving import Checkpoints, join, rungs_of
from ecoNAS.experiment.interrupt import Interrupt
from ecoNAS.experiment.lane_notice import LaneNotice
from ecoNAS.experiment.measure_first import Laboratory, MeasuredFirst
from ecoNAS.experiment.metering import Prices, RunMeter
from ecoNAS.experiment.outputs import Reporter, write_outputs
from ecoNAS.experiment.resume import check_meter, check_unchanged, write_config
from ecoNAS.experiment.setup import Setup
from ecoNAS.experiment.shared_trainings import SharedTrainings, training_of
from ecoNAS.experiment.start import Heritage, as_given
from ecoNAS.experiment.study import open_run_study
from ecoNAS.experiment.warm_start import WarmStart, queued
from ecoNAS.experiment.workers import AnyWorkers, next_stage, open_workers
from ecoNAS.export.formats import DataCard
from ecoNAS.records import Evaluation
from ecoNAS.run_folder import RunFolder, describe_environment, write_atomically
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
        write_config(setup.config, folder)
        if not resume:
            write_atomically(folder.environment, describe_environment(setup.config.search.seed).encode())
            audit = look_over(setup.config.data, setup.data)
            split = AuditedSplit(**setup.data.split.model_dump(), audit=audit)
            write_atomically(folder.split, split.model_dump_json(indent=1).encode())
            write_atomically(folder.data, _data_card(setup).model_dump_json(indent=1).encode())
        try:
            ended = _search(setup, folder, watcher, interrupt, audit)
        except (OSError, SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            reason = str(error.__cause__ or error).partition("\n")[0]  # Optuna wraps what SQLite said
            raise RunFolderError(
                f"run folder {folder.path} cannot be written ({reason}); mend that and go on with --resume"
            ) from error
        write_outputs(folder)
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
    first = MeasuredFirst(setup, folder)
    warm, heritage, shared = WarmStart(setup, folder), Heritage(setup, folder), SharedTrainings(folder)
    rungs, checkpoints = rungs_of(setup), Checkpoints(folder, (config.search.halving or HalvingConfig()).disk)
    study = open_run_study(setup, folder, memory, first=first, rungs=rungs, warm=warm)
    _say_started(setup, folder, watcher, audit)
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
            first.note(event)
            checkpoints.note(event)
            shared.note(event)
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
                make_task=lambda number, candidate, found: shared.task(
                    warm.task(first.task(heritage.task(setup.task(number, candidate, found.costs, folder.path))))
                ),
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

        first.laboratory = Laboratory(desk, log, wait, is_over)
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


def _say_started(setup: Setup, folder: RunFolder, watcher: Watcher, audit: DataAudit | None) -> None:
    """Write that the search begins, what its images are like, and what was measured before it could."""
    search = setup.config.search
    started = RunStarted(
        resumed=audit is None,
        trials=search.trials,
        sampler=search.sampler,
        energy=setup.config.energy.meter,
        meter=setup.reference,
    )
    folder.events.append(started)
    watcher.on_event(started)
    if audit is not None:
        looked_over = DataLookedOver(lines=(*audit.lines, *_where_decoded(setup.data)))
        folder.events.append(looked_over)
        watcher.on_event(looked_over)
    if setup.baseline is not None and folder.baseline() is None:
        folder.write_baseline(setup.baseline)
        model = setup.baseline.workload.model if setup.baseline.workload else ""
        folder.events.append(BaselineProfiled(model=model, phase=profiling(setup.baseline)))


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


def _where_decoded(data: DataSet) -> list[str]:
    """Say where decoded images lie on disk, and how large they are, if they do."""
    if data.cached_in is None:
        return []
    size = format_quantity(data.train.images.nbytes + data.validation.images.nbytes, "B")
    return [f"Decoded images: {size} in {data.cached_in}, shared by all workers; may be deleted when nothing runs."]


def _data_card(setup: Setup) -> DataCard:
    data, scale = setup.data, setup.data.normalisation
    smaller = {
        size: (found.normalisation.mean, found.normalisation.std)
        for size, found in setup.sizes.items()
        if size != setup.problem.resolution
    }
    return DataCard(name=data.name, class_names=data.class_names, mean=scale.mean, std=scale.std, smaller=smaller)
