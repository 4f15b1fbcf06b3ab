"""One training as a generator: an item an epoch, so that whoever listens can stop it at a rung.

The weights depend on the network as it was given, the data, the recipe and the seed, and on nothing that ran before or
runs between two epochs; on one thread of one machine they are bit-identical. Batches are gathered in this process
(`feed`), as uint8 and channels last: for decoded images a DataLoader only costs. What one update does is decided by
`step`, what the images go through before it by `transforms` and `mixing`.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from ecoNAS.architecture import derive_seed
from ecoNAS.data.datasets import DataSet
from ecoNAS.data.images import ImageSplit, Ints
from ecoNAS.data.transforms import Normaliser, augment, choose_augmentation, shrink
from ecoNAS.recipe import TrainingConfig
from ecoNAS.records import EpochRecord, Score
from ecoNAS.training.batch_norm import quicken_batch_norm
from ecoNAS.training.epochs import EpochPlan, plan_epochs
from ecoNAS.training.failures import DivergedError, memory_checked
from ecoNAS.training.feed import Feed
from ecoNAS.training.metrics import balanced_weights, mean_loss, score_accuracy
from ecoNAS.training.mixing import Mixing
from ecoNAS.training.optim import build_optimizer, build_schedule
from ecoNAS.training.seeding import seeded
from ecoNAS.training.step import Step

Floats = NDArray[np.float64]

EVALUATION_BATCHES: Final = 4  # times the batch of training: without gradients memory is no concern
CHECK_EVERY: Final = 16  # updates between two looks at the loss, since each makes a GPU wait


@dataclass(frozen=True, slots=True, eq=False)
class EpochResult:
    """What one epoch yields.

    Attributes:
        record: Losses, accuracy and seconds.
        accuracy: On the validation split, with its standard error; None where that was not looked at.
        probabilities_nk: Of each class for each validation image, in the order of the split; likewise.
        images_seen: Training images since the first epoch.
        num_parts: In how many parts each batch is passed: 2 once memory ran out.
    """

    record: EpochRecord
    accuracy: Score | None
    probabilities_nk: Floats | None
    images_seen: int
    num_parts: int = 1

    @property
    def validation_predictions(self) -> Ints | None:
        """The class (N,) of each validation image."""
        return None if self.probabilities_nk is None else self.probabilities_nk.argmax(axis=1)


Keep = Callable[[Optimizer, nn.Module | None], None]


@dataclass(frozen=True, slots=True)
class Start:
    """Where a training goes on.

    Attributes:
        epoch: How many epochs are over.
        fill: Fills the network, its optimiser and the network of the averaged weights, if there is one, with what they
            had come to.
    """

    epoch: int
    fill: Callable[[nn.Module, Optimizer, nn.Module | None], None]


def train(
    network: nn.Module,
    data: DataSet,
    recipe: TrainingConfig,
    seed: int,
    device: str = "cpu",
    *,
    at_batch_boundary: Callable[[], None] = lambda: None,
    start: Start | None = None,
    until: int | None = None,
    keep: Keep | None = None,
    teacher: nn.Module | None = None,
) -> Iterator[EpochResult]:
    """Train a network in place and yield after each epoch; between two items it is in evaluation mode.

    Where the recipe averages weights, results are those of the averaged ones, and the network has them after the last
    epoch of the recipe.

    Args:
        network: Maps images (B, C, H, W) to logits (B, K); moved to the device and to channels last.
        data: Its training and validation splits.
        recipe: The whole training; whoever wants less stops listening.
        seed: Decides the order of images, augmentation and dropout.
        device: 'cpu' or a CUDA device.
        at_batch_boundary: Called before each batch, of training and of validation; may wait while others measure the
            device.
        start: Where the training goes on; None to begin it.
        until: The last epoch of this part; None for that of the recipe.
        keep: Called after the last epoch of this part, with the optimiser that goes on and the network of the averaged
            weights, if there is one.
        teacher: Whose answers are learned, where the recipe asks for distillation.

    Yields:
        One result an epoch; fewer than the recipe has where its patience is over.

    Raises:
        DivergedError: if a loss is not finite.
        MemoryExhaustedError: if the network with its batch does not fit into memory.
        DataError: if the recipe's augmentation does not suit the data.
        ConfigError: if its optimiser cannot be had.
    """
    with memory_checked("moving network and images to the device"):
        loop = _Loop(network, data, recipe, device, at_batch_boundary, start=start, teacher=teacher)
    last = until or recipe.epochs
    plans = plan_epochs(recipe, loop.updates_per_epoch, data.problem().resolution, until)
    patience = _Patience(recipe.patience)
    for epoch in range(1 if start is None else start.epoch + 1, last + 1):
        with memory_checked(f"epoch {epoch}"):
            result = loop.run_epoch(epoch, plans[epoch - 1], seed)
        is_over = patience.is_over(result)
        if epoch == last and keep is not None:
            keep(loop.optimizer, loop.average)
        elif (epoch == recipe.epochs or is_over) and loop.average is not None:
            network.load_state_dict(loop.average.state_dict())
        yield result
        if is_over:
            return


def as_probabilities(logits_nk: Tensor) -> Floats:
    """Return the probability of each class, (N, K)."""
    return np.asarray(logits_nk.double().softmax(dim=1).numpy())


def predict(
    network: nn.Module,
    split: ImageSplit,
    normaliser: Normaliser,
    batch_size: int,
    device: str,
    *,
    at_batch_boundary: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return the float32 logits (N, K) of a split on the CPU; leaves the network in evaluation mode."""
    network.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(split), batch_size):
            at_batch_boundary()
            images_bhwc = torch.tensor(split.images[start : start + batch_size], device=device)
            parts.append(network(normaliser(images_bhwc)))
        return torch.cat(parts).float().cpu()


class _Patience:
    """How long ago the validation accuracy was the best so far."""

    def __init__(self, epochs: int | None) -> None:
        self._epochs, self._best, self._since = epochs, -1.0, 0

    def is_over(self, result: EpochResult) -> bool:
        """Take in one more epoch; return whether the training ends with it."""
        if self._epochs is None or result.accuracy is None:
            return False
        self._since = 0 if result.accuracy.value > self._best else self._since + 1
        self._best = max(self._best, result.accuracy.value)
        return self._since >= self._epochs


class _Loop:
    """A training between two of its epochs: everything on its device, the optimiser, and how far it has come."""

    def __init__(
        self,
        network: nn.Module,
        data: DataSet,
        recipe: TrainingConfig,
        device: str,
        at_batch_boundary: Callable[[], None],
        *,
        start: Start | None,
        teacher: nn.Module | None,
    ) -> None:
        self._data = data
        self._recipe = recipe
        self._device = device
        self._at_batch_boundary = at_batch_boundary
        self._augmentation = choose_augmentation(recipe, data)
        self._normaliser = Normaliser(data.normalisation, data.problem().resolution, device)
        self._feed = Feed(data.train, device)
        # A last batch of few images would spoil the statistics of batch norm: left out, unless it is the only one.
        self._batch_size = min(recipe.batch_size, len(data.train))
        self.updates_per_epoch = len(data.train) // self._batch_size
        # Channels last trains up to 1.4 times as fast on a CPU.
        self._memory_format = torch.channels_last if recipe.layout == "channels_last" else torch.contiguous_format
        self._network = network.to(device).to(memory_format=self._memory_format)
        quicken_batch_norm(network, self.updates_per_epoch)
        num_classes = len(data.class_names)
        weights_k = None
        if recipe.class_weights == "balanced":
            weights_k = balanced_weights(data.train.labels, num_classes).to(device)
        self.optimizer = build_optimizer(network, recipe)
        if teacher is not None:
            teacher = teacher.to(device).to(memory_format=self._memory_format).eval()
        self._step = Step(network, self.optimizer, recipe, device, class_weights_k=weights_k, teacher=teacher)
        self._mixing = Mixing(recipe, num_classes)
        if start is not None:
            start.fill(network, self.optimizer, self.average)
        epoch = start.epoch if start is not None else 0
        self._schedule = build_schedule(self.optimizer, recipe, self.updates_per_epoch, epoch)

    @property
    def average(self) -> nn.Module | None:
        """The network of the averaged weights; None where the recipe has none."""
        return self._step.average.module if self._step.average is not None else None

    def run_epoch(self, epoch: int, plan: EpochPlan, seed: int) -> EpochResult:
        """Train for one epoch (from 1) and look at the validation split where the plan says so."""
        started = time.perf_counter()
        with seeded(derive_seed(seed, "dropout", epoch), self._device):
            train_loss = self._train(epoch, plan, torch.Generator().manual_seed(derive_seed(seed, "batches", epoch)))
        loss, accuracy, probabilities = self._validate(epoch) if plan.is_validated else (None, None, None)
        self._network.eval()
        record = EpochRecord(
            epoch=epoch,
            train_loss=train_loss,
            validation_loss=loss,
            validation_accuracy=accuracy.value if accuracy is not None else None,
            duration_s=time.perf_counter() - started,
        )
        images_seen = (plan.updates_before + plan.num_updates) * self._batch_size
        return EpochResult(record, accuracy, probabilities, images_seen, self._step.num_parts)

    def _validate(self, epoch: int) -> tuple[float, Score, Floats]:
        labels = self._data.validation.labels
        batch_size = EVALUATION_BATCHES * self._recipe.batch_size
        logits_nk = predict(
            self._step.evaluated,
            self._data.validation,
            self._normaliser,
            batch_size,
            self._device,
            at_batch_boundary=self._at_batch_boundary,
        )
        loss = mean_loss(logits_nk, torch.tensor(labels))
        _check_finite(loss, f"validation loss after epoch {epoch}")
        probabilities_nk = as_probabilities(logits_nk)
        return loss, score_accuracy(probabilities_nk.argmax(axis=1), labels, "validation"), probabilities_nk

    def _train(self, epoch: int, plan: EpochPlan, generator: torch.Generator) -> float:
        """Go through what an epoch takes of the training split, in an order drawn anew; return the mean loss."""
        self._network.train()
        self._step.num_steps = plan.updates_before
        self._freeze(plan.num_frozen)
        order_n = torch.randperm(len(self._feed), generator=generator)
        loss_sum = torch.zeros((), device=self._device)
        for update in range(plan.num_updates):
            self._at_batch_boundary()
            indices_b = order_n[update * self._batch_size : (update + 1) * self._batch_size]
            loss_sum += self._update(indices_b, plan.resolution, generator)
            # An epoch of fewer updates moves the learning rate as far as any other.
            done = plan.begins_at + round((update + 1) * self.updates_per_epoch / plan.num_updates)
            self._schedule.step_update(done)
            if update % CHECK_EVERY == 0:
                _check_finite(float(loss_sum), f"training loss in epoch {epoch}, update {update + 1}")
        train_loss = float(loss_sum) / plan.num_updates
        _check_finite(train_loss, f"training loss in epoch {epoch}")
        return train_loss

    def _freeze(self, num_parts: int) -> None:
        """Leave the first parts of the network as they are, the statistics of their norms too."""
        for part in list(self._network.children())[:num_parts]:
            part.eval().requires_grad_(requires_grad=False)

    def _update(self, indices_b: Tensor, resolution: int, generator: torch.Generator) -> Tensor:
        """Take one step on the images at `indices_b`; return their mean loss."""
        images_bhwc, labels_b = self._feed.take(indices_b)
        images_bhwc = augment(images_bhwc, self._augmentation, generator)
        images_bchw, targets = self._mixing(shrink(self._normaliser(images_bhwc), resolution), labels_b)
        return self._step(images_bchw.contiguous(memory_format=self._memory_format), targets)


def _check_finite(loss: float, what: str) -> None:
    if not math.isfinite(loss):
        raise DivergedError(f"{what} is {loss}; a lower training.lr or a longer warm-up may help")
