"""The recipe: everything but the network, the images and the seed that decides what a training comes to.

Each option is off unless it is asked for, and one that is off says nothing in the digest: a new option leaves the keys
of older trainings as they are. What the options do is decided by `ecoNAS.training`.
"""

from itertools import pairwise
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from ecoNAS.frozen import Frozen, canonical_digest

Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]

Augment = Literal["auto", "none", "shift", "crop_flip"]
ScheduleName = Literal["cosine", "linear", "step", "constant", "wsd"]
Precision = Literal["fp32", "bf16", "fp16"]

# What every digest says, whatever it is; all else only where it is not what it is by default.
_ALWAYS: Final = frozenset(
    {"epochs", "batch_size", "lr", "weight_decay", "warmup_epochs", "label_smoothing", "augment"}
)
_NEVER: Final = frozenset({"validation"})  # looking changes nothing


class EarlyConfig(Frozen):
    """How the first epochs are made cheaper."""

    until: Share = Field(0.5, description="share of the epochs that are early")
    data: Share = Field(1.0, description="share of the training images in each of them, others each time")
    resolution: Share = Field(1.0, description="of the images in them, as a share of the full one")


class FreezeConfig(Frozen):
    """Which layers are left as they are late in a training."""

    after: Fraction = Field(0.7, description="share of the epochs after which they are")
    parts: Annotated[int, Field(ge=1)] = Field(2, description="how many of stem, stage 1, stage 2 and so on")


class RandAugmentConfig(Frozen):
    """Random operations on each image (Cubuk et al., "RandAugment", arXiv 1909.13719)."""

    ops: Annotated[int, Field(ge=1, le=8)] = Field(2, description="operations, one after the other")
    magnitude: Annotated[int, Field(ge=0, le=30)] = Field(9, description="how strong they are, of 30")


class DistillationConfig(Frozen):
    """A trained network whose answers are learned beside the labels (Hinton et al., arXiv 1503.02531).

    Attributes:
        teacher: What it is, as the key of a training says it; set by a refit.
    """

    teacher: str = ""
    weight: Share = Field(0.5, description="of the teacher's answers in the loss; the rest is the labels'")
    temperature: Annotated[float, Field(gt=0)] = Field(2.0, description="by which both networks' logits are divided")


class RecipeChoice(Frozen):
    """What a candidate decides of its recipe, where the search space lists it; None: as the experiment says."""

    lr: Annotated[float, Field(gt=0)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    randaugment: Annotated[int, Field(ge=0, le=30)] | None = Field(None, description="magnitude; 0: no RandAugment")

    def of(self, recipe: "TrainingConfig") -> "TrainingConfig":
        """Return a recipe with what is decided here."""
        changes: dict[str, object] = {
            name: value for name in ("lr", "weight_decay") if (value := getattr(self, name)) is not None
        }
        if self.randaugment is not None:
            usual = recipe.randaugment or RandAugmentConfig()
            stronger = usual.model_copy(update={"magnitude": self.randaugment})
            changes["randaugment"] = stronger if self.randaugment else None
        return recipe.model_copy(update=changes) if changes else recipe


class TrainingConfig(Frozen):
    """The recipe: it decides the weights, so its digest is part of the key of a training."""

    epochs: Annotated[int, Field(ge=1)] = 12
    batch_size: Annotated[int, Field(ge=2)] = 64
    optimizer: str = Field("adamw", description="a name of timm's optimisers")
    lr: Annotated[float, Field(gt=0)] = 1e-2
    momentum: Fraction = Field(0.9, description="of the optimisers that have one, such as sgd")
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    schedule: ScheduleName = Field("cosine", description="of the learning rate after its warm-up")
    warmup_epochs: Annotated[float, Field(ge=0)] = 1.0
    label_smoothing: Fraction = 0.1
    class_weights: Literal["none", "balanced"] = Field("none", description="balanced: each class counts alike")
    grad_clip: Annotated[float, Field(gt=0)] | None = Field(None, description="largest norm of all gradients together")
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="decay of an average of the weights, which then is what is validated and kept"
    )
    precision: Precision = Field("fp32", description="of the forward and backward pass; bf16 is slower on most CPUs")
    layout: Literal["channels_last", "contiguous"] = "channels_last"
    compile: bool = Field(False, description="torch.compile: tens of seconds for each network before its first update")
    patience: Annotated[int, Field(ge=1)] | None = Field(
        None, description="epochs without a better validation accuracy, after which the training ends"
    )
    augment: Augment = "auto"
    randaugment: RandAugmentConfig | None = None
    mixup: Annotated[float, Field(gt=0)] | None = Field(None, description="alpha of the shares of two images mixed")
    cutmix: Annotated[float, Field(gt=0)] | None = Field(None, description="alpha of the area taken from another image")
    erase: Share | None = Field(None, description="share of the images of which a rectangle is erased")
    distillation: DistillationConfig | None = Field(None, description="learn from a teacher; `econas refit --teacher`")
    early: EarlyConfig | None = Field(None, description="make the first epochs cheaper; None: all are alike")
    freeze: FreezeConfig | None = Field(None, description="freeze the first layers late; None: train all to the end")
    validation: Literal["every", "late"] = Field("every", description="late: in the last quarter of the epochs alone")
    restarts: tuple[int, ...] = Field(
        (), description="epochs after which the learning rate starts anew; set by halving"
    )

    @model_validator(mode="after")
    def _restarts_ascend_within_the_training(self) -> "TrainingConfig":
        ends = (0, *self.restarts, self.epochs)
        if self.restarts and any(later <= earlier for earlier, later in pairwise(ends)):
            raise ValueError(f"restarts {list(self.restarts)}: must rise and lie between 0 and {self.epochs} epochs")
        return self

    @model_validator(mode="after")
    def _patience_can_see(self) -> "TrainingConfig":
        if self.patience is not None and self.validation == "late":
            raise ValueError("patience needs validation: every, since it waits for a better validation accuracy")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe; an option that is as by default says nothing, unless it always did."""
        fields = type(self).model_fields
        said = {
            name
            for name in fields
            if name not in _NEVER and (name in _ALWAYS or getattr(self, name) != fields[name].default)
        }
        return canonical_digest(self.model_dump(mode="json", include=said))
