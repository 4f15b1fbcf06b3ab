"""A search space of networks: one YAML file, flat parameters, and the space protocol over candidates.

Many parameter sets can mean one architecture (choices of blocks that were not taken, stages that are left out); they
are canonicalised away, so the digest of a candidate is its identity. How often one is proposed is the sampler's affair.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ecoNAS.architecture import (
    AnyArchitecture,
    Architecture,
    Candidate,
    Deployment,
    HeadSpec,
    ReadyArchitecture,
    StageSpec,
    StemSpec,
)
from ecoNAS.block_kinds import parse_block
from ecoNAS.errors import ArchitectureError
from ecoNAS.recipe import RecipeChoice
from ecoNAS.records import Costs
from ecoNAS.space.choices import ReadySpaceFile, SpaceFile, StageChoices
from ecoNAS.space.encoding import encode, feature_names
from ecoNAS.space.protocol import Choices, Parameters, Suggests, Value
from ecoNAS.space.rules import RULES, Draft
from ecoNAS.yaml_file import read_yaml

logger = logging.getLogger(__name__)


class Counter(Protocol):
    """What knows the costs of a network for images of a size in pixels; None: of the problem's size."""

    def __call__(self, architecture: AnyArchitecture, resolution: int | None = None, /) -> Costs:
        """Return its exact costs for one image."""
        ...


def _no_counter(architecture: AnyArchitecture, resolution: int | None = None) -> Costs:
    raise AssertionError("bind the space to a problem before asking for costs")


@dataclass(frozen=True)
class SearchSpace:
    """Networks that a YAML file allows; implements `ecoNAS.space.protocol.Space`.

    Attributes:
        file: The choices as stated.
        deployment: What every candidate's deployment is, where the space does not decide it.
        count: Costs of an architecture on the problem at hand.
    """

    file: SpaceFile | ReadySpaceFile
    deployment: Deployment = field(default_factory=Deployment)
    count: Counter = _no_counter
    decisions: Choices = field(init=False)
    choices: Choices = field(init=False)

    def __post_init__(self) -> None:
        decisions = dict(self.file.flatten())
        object.__setattr__(self, "decisions", decisions)
        object.__setattr__(self, "choices", {name: values for name, values in decisions.items() if len(values) > 1})

    @classmethod
    def from_yaml(cls, path: str | Path) -> "SearchSpace":
        """Read a search space file; one that lists `models` chooses among ready ones.

        Raises:
            ConfigError: with file, line, key, value and rule.
        """
        file = read_yaml(path)
        return cls(file.validate(ReadySpaceFile) if "models" in file.data else file.validate(SpaceFile))

    def bind(self, deployment: Deployment, count: Counter) -> "SearchSpace":
        """Return the space for one study: its base deployment and its costs."""
        return replace(self, deployment=deployment, count=count)

    @property
    def stages(self) -> tuple[StageChoices, ...]:
        """What may be decided about each stage; none where the space chooses among ready models."""
        return self.file.stages if isinstance(self.file, SpaceFile) else ()

    @property
    def models(self) -> tuple[str, ...]:
        """The ready timm models that the space chooses among; none where it decides stages."""
        return self.file.models if isinstance(self.file, ReadySpaceFile) else ()

    @property
    def size(self) -> int:
        """Number of decided networks, without regard to rules and to stages left out in different ways."""
        sizes = []
        for stage in self.stages:
            blocks = sum(prod(len(values) for values in choices.values()) for choices in stage.block.values())
            depths = sum(1 for depth in stage.depth if depth != 0)
            sizes.append(depths * len(stage.width) * len(stage.stride) * blocks + (0 in stage.depth))
        others = [len(values) for name, values in self.decisions.items() if not name.startswith("stage")]
        return prod(sizes) * prod(others)

    @property
    def feature_decisions(self) -> tuple[str, ...]:
        """The decision that each feature of `encode` stands for, (num_features,)."""
        return feature_names(self.choices)

    def listing(self, limit: int) -> list[Candidate] | None:
        """Return every valid candidate, each once, or None where there may be more than `limit`."""
        if prod(len(values) for values in self.choices.values()) > limit:
            return None
        sets = product(*self.choices.values())
        drafts = (self.from_parameters(dict(zip(self.choices, values, strict=True))) for values in sets)
        found = {candidate.digest: candidate for candidate in drafts if self.is_valid(candidate)}
        return list(found.values())

    def sample(self, trial: Suggests) -> Candidate:
        """Ask `trial` for every parameter and return the candidate they mean."""
        return self.from_parameters({name: trial.suggest_categorical(name, c) for name, c in self.choices.items()})

    def random(self, rng: np.random.Generator) -> Candidate:
        """Return a candidate drawn uniformly over the parameters."""
        return self.from_parameters({name: c[int(rng.integers(len(c)))] for name, c in self.choices.items()})

    def neighbours(self, candidate: Candidate, rng: np.random.Generator) -> list[Candidate]:
        """Return the candidates that differ in one active decision, each once, in random order."""
        here = self.parameters(candidate)
        found: dict[str, Candidate] = {}
        for name, choices in self.choices.items():
            for value in choices:
                other = self.from_parameters({**here, name: value})
                if other.digest != candidate.digest:
                    found.setdefault(other.digest, other)
        return [list(found.values())[index] for index in rng.permutation(len(found))]

    def crossover(self, a: Candidate, b: Candidate, rng: np.random.Generator) -> Candidate:
        """Return a child that takes the stem, each stage, the head, deployment and recipe whole from either parent."""
        mother, father = self.parameters(a), self.parameters(b)
        parts = dict.fromkeys(name.partition(".")[0] for name in self.choices)
        from_mother = {part: bool(rng.integers(2)) for part in parts}
        return self.from_parameters(
            {name: (mother if from_mother[name.partition(".")[0]] else father)[name] for name in self.choices}
        )

    def encode(self, candidate: Candidate) -> NDArray[np.float64]:
        """Return (num_features,): numbers as 'is active' and rank in 0..1, names as one-hot; zero where inactive."""
        return encode(self.choices, self.parameters(candidate), self._active(candidate))

    def parameters(self, candidate: Candidate) -> Parameters:
        """Return the flat parameters of a candidate of this space; inactive ones hold their first choice.

        Raises:
            ArchitectureError: if the candidate is not of this space.
        """
        active = self._active(candidate)
        return {name: active.get(name, choices[0]) for name, choices in self.choices.items()}

    def from_parameters(self, parameters: Mapping[str, Value]) -> Candidate:
        """Return the candidate that flat parameters mean, repaired by the rules and without inactive choices."""
        draft = {name: parameters.get(name, choices[0]) for name, choices in self.decisions.items()}
        return Candidate(
            architecture=ReadyArchitecture(timm=str(draft["model"])) if self.models else self._staged(draft),
            deployment=Deployment.model_validate({**self.deployment.model_dump(), **_part(draft, "deployment")}),
            recipe=RecipeChoice.model_validate(_part(draft, "recipe")),
        )

    def deployed(self, architecture: AnyArchitecture) -> Candidate:
        """Return an architecture as the study deploys it, or in the first way where the space lists only others.

        What the space decides of the recipe is what it lists first.
        """
        base = self.deployment.model_dump()
        first = {n: values[0] for n, values in self.file.deployment.items() if base[n] not in values}
        return Candidate(
            architecture=architecture,
            deployment=Deployment.model_validate({**base, **first}),
            recipe=RecipeChoice.model_validate({name: values[0] for name, values in self.file.recipe.items()}),
        )

    def costs(self, candidate: Candidate) -> Costs:
        """Return parameters, MACs and activation memory, of images as large as those of the deployment."""
        return self.count(candidate.architecture, candidate.deployment.resolution)

    def is_valid(self, candidate: Candidate) -> bool:
        """Return whether every block can have the width of its stage."""
        try:
            candidate.architecture.check()
        except ArchitectureError:
            return False
        return True

    def _staged(self, draft: Draft) -> Architecture:
        """Return stem, stages and head of a draft, once the rules have repaired it."""
        for number in range(1, len(self.stages) + 1):
            for rule in RULES:
                note = rule(draft, self.decisions, f"stage{number}")
                if note:
                    logger.debug("repaired %s", note)
        stages = [self._stage(draft, number) for number in range(1, len(self.stages) + 1)]
        return Architecture(
            stem=StemSpec.model_validate(_part(draft, "stem")),
            stages=tuple(stage for stage in stages if stage is not None),
            head=HeadSpec.model_validate(_part(draft, "head")),
        )

    def _stage(self, draft: Mapping[str, Value], number: int) -> StageSpec | None:
        """Return stage `number` of a draft, or None where its depth is 0: the normal form leaves such a stage out."""
        values = _part(draft, f"stage{number}")
        if values["depth"] == 0:
            return None
        kind = values["block"]
        block = {"kind": kind, **_part(draft, f"stage{number}.{kind}")}
        return StageSpec.model_validate({**values, "block": parse_block(block)})

    def _active(self, candidate: Candidate) -> Parameters:
        """Return the active decisions of a candidate, each as the very choice that the space lists."""
        found = self._decided(candidate.architecture)
        found |= {f"deployment.{name}": getattr(candidate.deployment, name) for name in self.file.deployment}
        found |= {f"recipe.{name}": getattr(candidate.recipe, name) for name in self.file.recipe}
        return {name: _listed(self.decisions[name], found[name], name) for name in found if name in self.decisions}

    def _decided(self, architecture: AnyArchitecture) -> Parameters:
        """Return what was decided for an architecture, as the spec holds it."""
        if isinstance(architecture, ReadyArchitecture):
            if self.models:
                return {"model": architecture.timm}
        elif self.stages:
            stages = self._place_stages(architecture.stages, 1)
            if stages is not None:
                stem = {f"stem.{name}": value for name, value in architecture.stem.model_dump().items()}
                return stages | stem | {"head.width": architecture.head.width}
        raise ArchitectureError(f"this architecture is not of the space '{self.file.name}'")

    def _place_stages(self, stages: tuple[StageSpec, ...], number: int) -> Parameters | None:
        """Find which stage of the space each stage of an architecture is, trying the first possible place first."""
        if number > len(self.stages):
            return {} if not stages else None
        if stages:
            here = _flat_stage(stages[0], number)
            if all(name in self.decisions and value in self.decisions[name] for name, value in here.items()):
                rest = self._place_stages(stages[1:], number + 1)
                if rest is not None:
                    return here | rest
        if 0 in self.stages[number - 1].depth:
            rest = self._place_stages(stages, number + 1)
            if rest is not None:
                return {f"stage{number}.depth": 0} | rest
        return None


def _part(draft: Mapping[str, Value], prefix: str) -> Parameters:
    """Return the decisions directly below `prefix`, without it."""
    cut = len(prefix) + 1
    return {
        name[cut:]: value for name, value in draft.items() if name.startswith(prefix + ".") and "." not in name[cut:]
    }


def _flat_stage(stage: StageSpec, number: int) -> Parameters:
    block = stage.block.model_dump()
    kind = block.pop("kind")
    flat: Parameters = {"width": stage.width, "depth": stage.depth, "stride": stage.stride, "block": kind}
    flat |= {f"{kind}.{name}": value for name, value in block.items()}
    return {f"stage{number}.{name}": value for name, value in flat.items()}


def _listed(choices: tuple[Value, ...], value: Value, name: str) -> Value:
    """Return the choice equal to `value` as the space writes it (2 where the spec holds 2.0)."""
    if value not in choices:
        raise ArchitectureError(f"{name} {value!r} is not of the space; it lists {', '.join(map(str, choices))}")
    return choices[choices.index(value)]
