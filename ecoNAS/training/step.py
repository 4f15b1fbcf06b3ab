"""One update of the weights: forward, loss, backward, step, in the precision that the recipe asks for.

Where a batch does not fit into memory, it is passed in two halves from then on, once; whoever trains records it.
"""

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from ecoNAS.recipe import TrainingConfig
from ecoNAS.training.failures import MemoryExhaustedError, memory_checked

logger = logging.getLogger(__name__)

DTYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Step:
    """Takes steps on batches; knows the average of the weights, if there is one.

    Attributes:
        num_parts: In how many parts a batch is passed: 1, or 2 once memory ran out.
        num_steps: Taken since the training began.
        average: Of the weights, kept up with each step; None where the recipe asks for none.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        recipe: TrainingConfig,
        device: str,
        *,
        class_weights_k: Tensor | None = None,
        teacher: nn.Module | None = None,
    ) -> None:
        """Prepare.

        Args:
            network: On the device.
            optimizer: Of its weights.
            recipe: Precision, clipping, averaging and the loss.
            device: 'cpu' or a CUDA device.
            class_weights_k: What each class counts in the loss; None for all alike.
            teacher: On the device, in evaluation mode, where the recipe asks for distillation.
        """
        assert (teacher is None) == (recipe.distillation is None)
        self._network, self._optimizer, self._recipe = network, optimizer, recipe
        self._device, self._class_weights_k, self._teacher = device, class_weights_k, teacher
        if recipe.compile:
            torch.compiler.reset()  # else the ninth network of one class would run eagerly, with a warning only
        self._forward = torch.compile(network) if recipe.compile else network
        self._scaler = torch.amp.GradScaler(device, enabled=recipe.precision == "fp16")
        self.num_parts, self.num_steps = 1, 0
        self.average: ModelEmaV3 | None = None
        if recipe.ema is not None:
            self.average = ModelEmaV3(network, decay=recipe.ema, use_warmup=True)

    @property
    def evaluated(self) -> nn.Module:
        """The network whose accuracy counts: that of the averaged weights, if there is one."""
        return self._network if self.average is None else self.average.module

    def __call__(self, images_bchw: Tensor, targets: Tensor) -> Tensor:
        """Take one step; return the mean loss of the batch.

        Args:
            images_bchw: As the network sees them.
            targets: Classes (B,), or shares of the classes (B, K).

        Raises:
            MemoryExhaustedError: if even half a batch does not fit.
        """
        loss = self._tried(images_bchw, targets)
        if loss is None:  # not where the error is handled: with it, all that the failed batch made is held in memory
            self.num_parts = 2
            self._optimizer.zero_grad()
            if self._device.startswith("cuda"):
                torch.cuda.empty_cache()
            with memory_checked("half a batch"):
                loss = self._gradients(images_bchw, targets)
        if self._recipe.grad_clip is not None:
            self._scaler.unscale_(self._optimizer)
            clip_grad_norm_(self._network.parameters(), self._recipe.grad_clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self.num_steps += 1
        if self.average is not None:
            self.average.update(self._network, step=self.num_steps)
        return loss

    def precision(self) -> AbstractContextManager[None]:
        """Return the context in which forward passes have the precision of the recipe."""
        dtype = DTYPES.get(self._recipe.precision)
        return torch.autocast(self._device.partition(":")[0], dtype) if dtype is not None else nullcontext()

    def _tried(self, images_bchw: Tensor, targets: Tensor) -> Tensor | None:
        """Return the loss after a backward pass; None where memory ran out and a smaller part may fit."""
        try:
            with memory_checked("a batch"):
                return self._gradients(images_bchw, targets)
        except MemoryExhaustedError as error:
            if self.num_parts > 1 or len(images_bchw) < 2:
                raise
            logger.warning("%s; batches are passed in two halves from here on", str(error))
            return None

    def _gradients(self, images_bchw: Tensor, targets: Tensor) -> Tensor:
        self._optimizer.zero_grad()
        total = torch.zeros((), device=images_bchw.device)
        for images, wanted in zip(images_bchw.chunk(self.num_parts), targets.chunk(self.num_parts), strict=True):
            with self.precision():
                logits_bk = self._forward(images)
                loss = self._loss(logits_bk, wanted)
                if self._teacher is not None and self._recipe.distillation is not None:
                    share = self._recipe.distillation.weight
                    loss = (1 - share) * loss + share * self._distance(logits_bk, images)
            part = loss * self._share(wanted, targets) if self.num_parts > 1 else loss
            self._scaler.scale(part).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            total += part.detach()
        return total

    def _share(self, part: Tensor, whole: Tensor) -> Tensor | float:
        """Return what a part of the targets counts in the mean loss of all: images, or the weights of their classes."""
        if self._class_weights_k is None or whole.ndim > 1:
            return len(part) / len(whole)
        return self._class_weights_k[part].sum() / self._class_weights_k[whole].sum()

    def _loss(self, logits_bk: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(
            logits_bk, targets, weight=self._class_weights_k, label_smoothing=self._recipe.label_smoothing
        )

    def _distance(self, logits_bk: Tensor, images_bchw: Tensor) -> Tensor:
        """Return how far the softened answers are from the teacher's: the divergence, in the scale of a loss."""
        assert self._teacher is not None
        assert self._recipe.distillation is not None
        heat = self._recipe.distillation.temperature
        with torch.no_grad():
            wanted_bk = functional.log_softmax(self._teacher(images_bchw) / heat, dim=1)
        given_bk = functional.log_softmax(logits_bk / heat, dim=1)
        # Gradients shrink with the square of the temperature, which is undone (section 2 of the paper).
        return heat**2 * functional.kl_div(given_bk, wanted_bk, reduction="batchmean", log_target=True)
