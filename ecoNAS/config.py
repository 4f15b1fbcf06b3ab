"""The experiment file as frozen values, its sections in the order in which a user writes them.

Everything that a single section can know is checked here, once. Names that plug-ins define (objectives, samplers,
meters, data sets) are checked where the plug-ins live, through `ExperimentConfig.error`: nothing here imports torch.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, field_validator, model_validator

from ecoNAS.architecture import Deployment
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import ConfigError
from ecoNAS.frozen import Frozen
from ecoNAS.recipe import Fraction, TrainingConfig
from ecoNAS.units import read_quantity
from ecoNAS.validation import KeyPath, shorten
from ecoNAS.yaml_file import YamlFile, expand, read_yaml

CONFIG_VERSION: Final = 1


class SplitConfig(Frozen):
    """The shares of validation and test images, where the data set does not come with splits of its own."""

    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test: Fraction = 0.2
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _leaves_images_to_train_on(self) -> "SplitConfig":
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation {self.validation} and test {self.test} leave no image to train on; keep their sum below 1"
            )
        return self


class DataConfig(Frozen):
    """Which images, and where their files are."""

    name: Annotated[str, Field(description="of `ecoNAS.data.datasets.DATA_SETS`, or package.module:function")]
    dataset: str | None = Field(None, description="which of torchvision's or Hugging Face's data sets")
    path: Path | None = None
    download: bool = Field(False, description="fetch what is not there, for torchvision and Hugging Face")
    label: str | None = Field(None, description="the column of the labels, where a data set has several")
    resolution: Annotated[int, Field(ge=4, le=1024)] | None = Field(None, description="None: as the images are")
    split: SplitConfig = SplitConfig()
    # None by default: which images were trained on is part of a result, and must not change unasked.
    max_broken: Fraction = Field(0.0, description="share of the images of a split that may be unreadable and left out")
    cache: Path | None = Field(None, description="of decoded images; None: ECONAS_CACHE, or ~/.cache/econas")


class BaselineConfig(Frozen):
    """A ready timm model, never pretrained, that relative bounds such as `0.8 * baseline` refer to."""

    timm: str


class BudgetConfig(Frozen):
    """What a search may take in all, in SI units; a user writes `50 kJ` and `2 h`."""

    energy: Annotated[float, Field(gt=0), BeforeValidator(lambda given: read_quantity(given, "J"))] | None = None
    time: Annotated[float, Field(gt=0), BeforeValidator(lambda given: read_quantity(given, "s"))] | None = None


class PlateauConfig(Frozen):
    """When a front counts as found: so many candidates in a row raised the hypervolume by less than `gain` of it."""

    trials: Annotated[int, Field(ge=1)] = 20
    gain: Annotated[float, Field(gt=0, lt=1)] = 0.01


class HalvingConfig(Frozen):
    """When trainings are paused and ranked, so that only the best are finished."""

    first: Annotated[int, Field(ge=1)] = Field(4, description="epochs to the first rung")
    factor: Annotated[float, Field(gt=1)] = Field(3.0, description="one in so many goes on; rungs lie so far apart")
    spread: Literal["crowding", "epsilon_net"] = Field("crowding", description="who is ahead among equals")
    disk: Annotated[float, Field(gt=0), BeforeValidator(lambda given: read_quantity(given, "B"))] = Field(
        2 * 1024**3, description="bytes that checkpoints may take together; then the worst paused candidate is stopped"
    )

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Return the epochs after which trainings of so many epochs are paused; none where the first comes too late."""
        found, epoch = list[int](), self.first
        while epoch < epochs:
            found.append(epoch)
            epoch = max(epoch + 1, round(epoch * self.factor))
        return tuple(found)


class SearchConfig(Frozen):
    """How many candidates are evaluated within which budget, who proposes them, and the seed of everything random."""

    trials: Annotated[int, Field(ge=1)] = 40
    budget: BudgetConfig = BudgetConfig()
    plateau: PlateauConfig | None = Field(None, description="stop early where the front grows no more; None: never")
    sampler: str = "auto"
    halving: HalvingConfig | None = Field(None, description="pause trainings at rungs; None: finish each at once")
    warm_start: tuple[Path, ...] = Field((), description="run folders whose evaluations are reused and learned from")
    enqueue: tuple[Path, ...] = Field((), description="what comes first: architecture.json files, or runs' fronts")
    proxies: tuple[str, ...] = Field((), description="zero-cost proxies that help `auto` to predict: naswot, snip")
    measure_first: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="candidates that `auto` measures before it trains one; auto: as many as cost little beside it",
    )
    replicates: Literal["none", "auto"] = Field(
        "none", description="auto: train doubtful front members again, up to twice"
    )
    seed: Annotated[int, Field(ge=0)] = 0
    storage: str | None = Field(None, description="an Optuna storage URL; None: study.db in the run folder")


class WeightsConfig(Frozen):
    """Trainings begin with the weights of a file, wherever name and shape fit."""

    weights: Path = Field(description="a file, or a folder with one file a network: <name>.safetensors")


class EnergyConfig(Frozen):
    """Where joules come from, and for how many images a deployed network is meant to live."""

    meter: str = "auto"
    device: str | None = Field(None, description="UUID of one of several; None: the one that candidates run on")
    path: Path | None = Field(None, description="the log of an external meter, for `csv`")
    clock_offset_s: float | Literal["align"] = Field(0.0, description="seconds that clock is ahead of ours, for `csv`")
    root: Path = Field(Path("/"), description="where `sys` and `proc` lie; elsewhere where a host's are mounted")
    protocol: EnergySettings = EnergySettings()
    device_class: str = Field("cpu", description="whose coefficients an estimate uses")
    coefficients: Path | None = Field(None, description="of `econas calibrate`, for `estimate`; None: device_class's")
    lifetime_images: Annotated[float, Field(gt=0)] = 1e6


class WorkersConfig(Frozen):
    """Who trains: Ray actors, or this process itself."""

    kind: Literal["ray", "in_process"] = "ray"
    count: Annotated[int, Field(ge=1)] | None = Field(None, description="None: as many as the machine's CPUs allow")
    cpus_per_trial: Annotated[int, Field(ge=1)] = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    candidates_per_worker: Annotated[int, Field(ge=1)] = Field(200, description="then the process is replaced")


class SiteConfig(Frozen):
    """Where the machine stands, for grams and money; what is not given is left out."""

    g_per_kwh: Annotated[float, Field(ge=0)] | None = Field(None, description="grams of CO2 equivalents")
    pue: Annotated[float, Field(ge=1)] | None = Field(None, description="power usage effectiveness of the building")
    price_kwh: Annotated[float, Field(ge=0)] | None = None
    price_hour: Annotated[float, Field(ge=0)] | None = Field(None, description="of the machine, per hour of the search")
    currency: str = ""


class ReportConfig(Frozen):
    """How often the report and the table of the front are rewritten while a search runs."""

    every_s: Annotated[float, Field(gt=0)] = 30.0


class ExperimentConfig(Frozen):
    """One experiment: what is searched, on which data, for what, and how it is trained and measured."""

    version: Literal[1] = CONFIG_VERSION
    search_space: Path
    data: DataConfig
    objectives: Annotated[tuple[str, ...], Field(min_length=1)]
    constraints: tuple[str, ...] = ()
    baseline: BaselineConfig | None = None
    deployment: Deployment = Deployment()
    search: SearchConfig = SearchConfig()
    training: TrainingConfig = TrainingConfig()
    start: Literal["scratch", "inherit"] | WeightsConfig = Field(
        "scratch", description="scratch: new weights; inherit: those of the nearest network trained before; or a file's"
    )
    energy: EnergyConfig = EnergyConfig()
    workers: WorkersConfig = WorkersConfig()
    site: SiteConfig = SiteConfig()
    keep_weights: Literal["all", "front"] = "all"
    report: ReportConfig = ReportConfig()

    _file: YamlFile | None = PrivateAttr(default=None)

    @field_validator("objectives")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"objective '{name}' stands twice; keep one")
        return names

    @classmethod
    def from_yaml(cls, path: str | Path, overrides: dict[str, Any] | None = None) -> "ExperimentConfig":
        """Read an experiment file; its paths become absolute.

        Args:
            path: The YAML file.
            overrides: Values by dotted key that replace those of the file, such as `{"search.trials": 5}`.

        Raises:
            ConfigError: with file, line, key, value and rule.
        """
        file = read_yaml(path)
        for key, value in (overrides or {}).items():
            place = tuple(key.split("."))
            _set(file, place, expand(value, place, file))
        config = file.validate(cls)
        data = config.data
        data = data.model_copy(
            update={name: file.resolve(path) for name in ("path", "cache") if (path := getattr(data, name)) is not None}
        )
        energy = config.energy
        if energy.coefficients is not None:
            energy = energy.model_copy(update={"coefficients": file.resolve(energy.coefficients)})
        start = config.start
        if isinstance(start, WeightsConfig):
            start = WeightsConfig(weights=file.resolve(start.weights))
        space, search = file.resolve(config.search_space), config.search
        paths = {name: tuple(map(file.resolve, getattr(search, name))) for name in ("warm_start", "enqueue")}
        search = search.model_copy(update=paths)
        paths_of = {"data": data, "start": start, "energy": energy, "search_space": space, "search": search}
        config = config.model_copy(update=paths_of)
        config._file = file
        return config

    @property
    def recipe(self) -> TrainingConfig:
        """How candidates are trained: with halving, the learning rate starts anew after each rung."""
        if self.search.halving is None:
            return self.training
        return self.training.model_copy(update={"restarts": self.search.halving.rungs(self.training.epochs)})

    def error(self, key: KeyPath, message: str) -> ConfigError:
        """Return an error about `key` that opens with the file and line it came from."""
        if self._file is not None:
            return self._file.error(key, message)
        return ConfigError(f"{'.'.join(str(part) for part in key)}: {message}")


def available_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _set(file: YamlFile, keys: tuple[str, ...], value: Any) -> None:  # Any: YAML values
    section = file.data
    for place, key in enumerate(keys[:-1], start=1):
        inner = section.setdefault(key, {})
        if not isinstance(inner, dict):
            raise file.error(keys[:place], f"must be keys with values, got {shorten(inner)}")
        section = inner
    section[keys[-1]] = value
