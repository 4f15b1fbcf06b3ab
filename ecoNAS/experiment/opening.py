"""What is written into a run folder, and said, when a search begins or goes on."""

from collections.abc import Callable

from ecoNAS.analysis.quantities import format_quantity
from ecoNAS.data.audit import DataAudit
from ecoNAS.data.datasets import DataSet
from ecoNAS.data.look_over import AuditedSplit, look_over
from ecoNAS.events import BaselineProfiled, DataLookedOver, Event, RunStarted, profiling
from ecoNAS.experiment.setup import Setup
from ecoNAS.export.formats import DataCard
from ecoNAS.run_folder import RunFolder, describe_environment, write_atomically


def write_beginning(setup: Setup, folder: RunFolder) -> DataAudit:
    """Write versions, split and data of a new run; return what was found among its images.

    Raises:
        DataError: if an image cannot be read.
        OSError: if the folder cannot be written.
    """
    write_atomically(folder.environment, describe_environment(setup.config.search.seed).encode())
    audit = look_over(setup.config.data, setup.data)
    split = AuditedSplit(**setup.data.split.model_dump(), audit=audit)
    write_atomically(folder.split, split.model_dump_json(indent=1).encode())
    write_atomically(folder.data, _data_card(setup).model_dump_json(indent=1).encode())
    folder.events.begin()
    return audit


def say_started(setup: Setup, folder: RunFolder, on_event: Callable[[Event], None], audit: DataAudit | None) -> None:
    """Write that the search begins, what its images are like, and what was measured before it could.

    Args:
        setup: The experiment.
        folder: Of the run.
        on_event: Who hears of it.
        audit: What was found among the images; None where a run goes on.
    """
    search = setup.config.search
    started = RunStarted(
        resumed=audit is None,
        trials=search.trials,
        sampler=search.sampler,
        energy=setup.config.energy.meter,
        meter=setup.reference,
    )
    folder.events.append(started)
    on_event(started)
    if audit is not None:
        looked_over = DataLookedOver(lines=(*audit.lines, *_where_decoded(setup.data)))
        folder.events.append(looked_over)
        on_event(looked_over)
    if setup.baseline is not None and folder.baseline() is None:
        folder.write_baseline(setup.baseline)
        model = setup.baseline.workload.model if setup.baseline.workload else ""
        folder.events.append(BaselineProfiled(model=model, phase=profiling(setup.baseline)))


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
