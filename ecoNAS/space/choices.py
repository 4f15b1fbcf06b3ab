"""The choices of a search space as its YAML file states them: checked, and flattened to readable names.

A space decides stem, stages and head (`SpaceFile`), or chooses among ready models of timm (`ReadySpaceFile`). A choice
is a list of values or one fixed value. Every value is checked against the spec that it will end up in, so that a wrong
one is found when the file is read and not when it is sampled.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, field_validator, model_validator

from ecoNAS.architecture import Deployment, HeadSpec, ReadyArchitecture, StageSpec, StemSpec
from ecoNAS.block_kinds import spec_of
from ecoNAS.block_specs import BlockSpec
from ecoNAS.errors import ArchitectureError, unknown_name
from ecoNAS.frozen import Frozen
from ecoNAS.models.baseline import check_known
from ecoNAS.recipe import RecipeChoice
from ecoNAS.space.protocol import Value

SPACE_VERSION = 1


def _as_choices(value: object) -> tuple[Value, ...]:
    values = value if isinstance(value, list | tuple) else (value,)
    if not values:
        raise ValueError("a choice needs at least one value")
    for item in values:
        if not isinstance(item, bool | int | float | str):
            raise ValueError(f"a choice is a value or a list of values, got {item!r}")
        if sum(item == other and type(item) is type(other) for other in values) > 1:
            raise ValueError(f"{item!r} stands twice among the choices; keep one")
    return tuple(values)


Choice = Annotated[tuple[Value, ...], BeforeValidator(_as_choices)]


def _is_known_to_timm(name: str) -> str:
    try:
        ReadyArchitecture(timm=name)
        check_known(name)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    except ArchitectureError as error:
        raise ValueError(str(error)) from None
    return name


ModelName = Annotated[str, AfterValidator(_is_known_to_timm)]


class StemChoices(Frozen):
    """What may be decided about the stem."""

    width: Choice
    kernel_size: Choice = (3,)
    stride: Choice = (1,)


class StageChoices(Frozen):
    """What may be decided about one stage; a depth of 0 leaves the stage out."""

    width: Choice
    depth: Choice
    stride: Choice
    block: Annotated[dict[str, dict[str, Choice]], Field(min_length=1)]

    @field_validator("block")
    @classmethod
    def _check_blocks(cls, block: dict[str, dict[str, Choice]]) -> dict[str, dict[str, Choice]]:
        for kind, choices in block.items():
            try:
                spec = spec_of(kind)
            except ArchitectureError as error:
                raise ValueError(str(error)) from None
            _check_block(spec, kind, choices)
        return block


class HeadChoices(Frozen):
    """What may be decided about the head."""

    width: Choice = (0,)


class ResolutionRange(Frozen):
    """The image sizes, in pixels, that the space is meant for."""

    min: Annotated[int, Field(ge=1)]
    max: Annotated[int, Field(ge=1)]


class SpaceFile(Frozen):
    """A search space file: stem, stages from first to last, head, deployment, recipe."""

    version: Literal[1] = 1
    name: str
    resolution: ResolutionRange
    stem: StemChoices
    stages: Annotated[tuple[StageChoices, ...], Field(min_length=1, max_length=16)]
    head: HeadChoices = HeadChoices()
    deployment: dict[str, Choice] = {}
    recipe: dict[str, Choice] = {}

    @model_validator(mode="after")
    def _check_values(self) -> "SpaceFile":
        _check(StemSpec, "stem", dict(self.stem), {"width": 8})
        _check(HeadSpec, "head", dict(self.head), {})
        _check(Deployment, "deployment", self.deployment, {})
        _check(RecipeChoice, "recipe", self.recipe, {})
        some_block = BlockSpec(kind="any")
        for number, stage in enumerate(self.stages, start=1):
            choices = {name: values for name, values in dict(stage).items() if name != "block"}
            choices["depth"] = tuple(depth for depth in choices["depth"] if depth != 0) or (1,)
            _check(StageSpec, f"stage{number}", choices, {"width": 8, "depth": 1, "stride": 1, "block": some_block})
        return self

    def flatten(self) -> Iterator[tuple[str, tuple[Value, ...]]]:
        """Yield every decision, fixed ones too, as (readable name, choices), in the order of the network."""
        for name, values in dict(self.stem).items():
            yield f"stem.{name}", values
        for number, stage in enumerate(self.stages, start=1):
            for name in ("width", "depth", "stride"):
                yield f"stage{number}.{name}", getattr(stage, name)
            yield f"stage{number}.block", tuple(stage.block)
            for kind, choices in stage.block.items():
                for name, values in choices.items():
                    yield f"stage{number}.{kind}.{name}", values
        yield "head.width", self.head.width
        yield from _beside(self)


class ReadySpaceFile(Frozen):
    """A search space file that chooses among ready timm models: their names, deployment, recipe."""

    version: Literal[1] = 1
    name: str
    resolution: ResolutionRange
    models: Annotated[tuple[ModelName, ...], Field(min_length=2)]
    deployment: dict[str, Choice] = {}
    recipe: dict[str, Choice] = {}

    @field_validator("models")
    @classmethod
    def _check_models(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        for name in models:
            if models.count(name) > 1:
                raise ValueError(f"'{name}' stands twice among the models; keep one")
        return models

    @model_validator(mode="after")
    def _check_values(self) -> "ReadySpaceFile":
        _check(Deployment, "deployment", self.deployment, {})
        _check(RecipeChoice, "recipe", self.recipe, {})
        return self

    def flatten(self) -> Iterator[tuple[str, tuple[Value, ...]]]:
        """Yield every decision, fixed ones too, as (readable name, choices): the model, then what is beside it."""
        yield "model", self.models
        yield from _beside(self)


def _beside(file: SpaceFile | ReadySpaceFile) -> Iterator[tuple[str, tuple[Value, ...]]]:
    """Yield what a file decides beside the network: how it runs, and how it is trained."""
    for name, values in file.deployment.items():
        yield f"deployment.{name}", values
    for name, values in file.recipe.items():
        yield f"recipe.{name}", values


def _check_block(spec: type[BlockSpec], kind: str, choices: dict[str, tuple[Value, ...]]) -> None:
    names = [name for name in spec.model_fields if name != "kind"]
    for name in choices:
        if name not in names:
            raise ValueError(f"{kind}: {unknown_name('choice', name, names)}")
    for name in names:
        if name not in choices:
            raise ValueError(f"{kind}: the choice '{name}' is missing; a {kind} block decides {', '.join(names)}")
    _check(spec, kind, choices, {"kind": kind} | {name: values[0] for name, values in choices.items()})


def _check(spec: type[Frozen], where: str, choices: dict[str, Any], filler: dict[str, Any]) -> None:  # Any: YAML values
    """Raise ValueError unless `spec` takes every value; `filler` stands for the fields that are not being checked."""
    for name, values in choices.items():
        if name not in spec.model_fields:
            raise ValueError(f"{where}: {unknown_name('choice', name, spec.model_fields)}")
        for value in values:
            try:
                spec.model_validate({**filler, name: value})
            except ValidationError as error:
                for detail in error.errors():
                    if detail["loc"][:1] in ((name,), ()):
                        rule = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
                        raise ValueError(f"{where}: {name} {value!r} must be {rule}") from None
