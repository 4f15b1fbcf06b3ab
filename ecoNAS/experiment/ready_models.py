"""Whether the ready models that a space chooses among can be had here: built, counted, trained and begun with.

All are looked at before a search, since they are few and each is counted once anyway. That timm knows their names is
found out where the space is read.
"""

from ecoNAS.architecture import ReadyArchitecture
from ecoNAS.config import ExperimentConfig, WeightsConfig
from ecoNAS.costs.counts import CostTable
from ecoNAS.errors import EcoNASError, RunFolderError
from ecoNAS.experiment.deployable import resolutions
from ecoNAS.experiment.start import weights_in
from ecoNAS.models.baseline import check_reads
from ecoNAS.space.search_space import SearchSpace
from ecoNAS.training.epochs import early_resolution


def check_ready_models(config: ExperimentConfig, space: SearchSpace, table: CostTable) -> None:
    """Count every ready model of a space, if it has any.

    Raises:
        ConfigError: for a model that cannot read the images, in full or as small as early epochs show them, and where
            trainings are to begin with weights that are not there.
    """
    early, start = config.training.early, config.start
    for name in space.models:
        for resolution in resolutions(space, table.problem):
            try:
                table.costs(ReadyArchitecture(timm=name), resolution)
                if early is not None:
                    full, small = table.problem.at(resolution), early_resolution(resolution, early.resolution)
                    check_reads(name, full, [full.at(small)], "leave it out, or training.early.resolution")
            except EcoNASError as error:
                raise config.error(("search_space",), f"space '{space.file.name}': {error}") from None
        if isinstance(start, WeightsConfig) and start.weights.is_dir():
            try:
                weights_in(start.weights, (name,))
            except RunFolderError as error:
                raise config.error(("start", "weights"), str(error)) from None
