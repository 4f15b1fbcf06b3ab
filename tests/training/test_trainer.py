import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from timm.models._efficientnet_blocks import EdgeResidual, InvertedResidual
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from ecoNAS.architecture import derive_seed
from ecoNAS.config import DataConfig
from ecoNAS.data.datasets import DataSet, load_data
from ecoNAS.data.images import ImageSplit
from ecoNAS.data.transforms import Normaliser
from ecoNAS.recipe import RandAugmentConfig, TrainingConfig
from ecoNAS.training.checkpoint import load_checkpoint, save_checkpoint
from ecoNAS.training.failures import DivergedError, MemoryExhaustedError
from ecoNAS.training.seeding import seeded
from ecoNAS.training.trainer import EpochResult, Start, predict, train


class Tokens(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x_bchw: Tensor) -> Tensor:
        return self.block(x_bchw.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x_bchw.shape)


def hybrid(seed: int = 0) -> nn.Module:
    """Two convolution blocks and one of attention, from timm: 25 thousand parameters."""
    with seeded(seed):
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            EdgeResidual(16, 24, exp_kernel_size=3, exp_ratio=2.0),
            InvertedResidual(24, 40, dw_kernel_size=3, stride=2, exp_ratio=3.0),
            Tokens(Block(40, num_heads=4, mlp_ratio=2, qkv_bias=True)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(40, 10),
        )


def tiny(seed: int = 0) -> nn.Module:
    """A network that trains in milliseconds, with what could break determinism: batch norm and dropout."""
    with seeded(seed):
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(72, 10)
        )


@pytest.fixture
def digits() -> DataSet:
    return load_data(DataConfig(name="digits"))


@pytest.fixture
def few(digits: DataSet) -> DataSet:
    """The first 200 training images."""
    return first_images(digits, 200)


def first_images(data: DataSet, count: int) -> DataSet:
    return replace(data, train=ImageSplit(data.train.images[:count], data.train.labels[:count]))


def trained(
    data: DataSet, seed: int = 1, epochs: int = 2, **recipe: object
) -> tuple[list[EpochResult], dict[str, Tensor]]:
    network = tiny()
    results = list(train(network, data, TrainingConfig(epochs=epochs, **recipe), seed))
    return results, network.state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_same_seed_gives_the_same_weights_whatever_ran_before(few: DataSet) -> None:
    results, weights = trained(few)
    torch.manual_seed(99)
    trained(few, seed=2, batch_size=16)
    again, weights_again = trained(few)

    assert same(weights, weights_again)
    np.testing.assert_array_equal(results[-1].validation_predictions, again[-1].validation_predictions)


def test_two_trainings_in_turns_do_not_disturb_each_other(few: DataSet) -> None:
    _, alone = trained(few)
    first, second = tiny(), tiny()
    recipe = TrainingConfig(epochs=2)

    for _ in zip(train(first, few, recipe, 1), train(second, few, recipe, 2), strict=True):
        torch.rand(7)

    assert same(first.state_dict(), alone)
    assert not same(second.state_dict(), alone)


def test_a_training_leaves_the_global_generator_as_it_was(few: DataSet) -> None:
    before = torch.get_rng_state()
    trained(few)

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("changed", [{"seed": 2}, {"augment": "none"}, {"lr": 1e-4}, {"label_smoothing": 0.0}])
def test_seed_and_recipe_decide_the_weights(few: DataSet, changed: dict[str, object]) -> None:
    assert not same(trained(few)[1], trained(few, **changed)[1])


def test_it_computes_what_a_plain_loop_computes(few: DataSet) -> None:
    recipe = TrainingConfig(epochs=2, augment="none", warmup_epochs=0, weight_decay=0.0, lr=1e-3)
    network, twin = (nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.GELU(), nn.Linear(16, 10)) for _ in range(2))
    twin.load_state_dict(network.state_dict())

    results = list(train(network, few, recipe, seed=5))

    pixels = few.train.images.transpose(0, 3, 1, 2) / 255
    images = torch.tensor((pixels - few.normalisation.mean[0]) / few.normalisation.std[0], dtype=torch.float32)
    labels = torch.tensor(few.train.labels)
    optimizer = torch.optim.AdamW(twin.parameters(), weight_decay=0.0)
    losses = []
    for update in range(6):
        epoch, batch = divmod(update, 3)
        order = torch.randperm(200, generator=torch.Generator().manual_seed(derive_seed(5, "batches", epoch + 1)))
        chosen = order[batch * 64 : batch * 64 + 64]
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 + np.cos(np.pi * update / 6)) / 2
        loss = functional.cross_entropy(twin(images[chosen]), labels[chosen], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    for ours, theirs in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert [result.record.train_loss for result in results] == pytest.approx([np.mean(losses[:3]), np.mean(losses[3:])])


def test_an_epoch_reports_what_the_network_reads_after_it(digits: DataSet) -> None:
    network = tiny()
    result = next(train(network, digits, TrainingConfig(epochs=3), 0))

    normaliser = Normaliser(digits.normalisation, resolution=8)
    logits = predict(network, digits.validation, normaliser, batch_size=7, device="cpu")
    labels = digits.validation.labels
    np.testing.assert_array_equal(result.validation_predictions, logits.argmax(1).numpy())
    assert result.accuracy.value == result.record.validation_accuracy
    assert result.accuracy.value == pytest.approx(accuracy_score(labels, result.validation_predictions))
    assert result.accuracy.split == "validation"
    loss = log_loss(labels, logits.double().softmax(1).numpy())
    assert result.record.validation_loss == pytest.approx(loss, rel=1e-5)
    assert (result.record.epoch, result.images_seen) == (1, 16 * 64)
    assert not network.training


def test_it_can_be_stopped_after_any_epoch(few: DataSet) -> None:
    results = list(itertools.islice(train(tiny(), few, TrainingConfig(epochs=100), 0), 2))

    assert [result.record.epoch for result in results] == [1, 2]


class Spy(nn.Module):
    """Notes the size and the layout of every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.trained: list[int] = []
        self.evaluated: list[int] = []

    def forward(self, x_bchw: Tensor) -> Tensor:
        (self.trained if self.training else self.evaluated).append(len(x_bchw))
        assert x_bchw.is_contiguous(memory_format=torch.channels_last)
        assert torch.is_inference_mode_enabled() != self.training
        return self.linear(x_bchw.flatten(1))


def test_every_batch_is_whole_and_evaluation_takes_larger_ones(few: DataSet) -> None:
    spy = Spy()
    boundaries = []

    results = list(
        train(spy, few, TrainingConfig(epochs=2), 0, at_batch_boundary=lambda: boundaries.append(len(spy.trained)))
    )

    assert spy.trained == [64, 64, 64] * 2  # 200 images: the last 8 are left out, others in each epoch
    assert spy.evaluated == [256, 103] * 2
    assert results[-1].images_seen == 2 * 192
    assert boundaries == [0, 1, 2, 3, 3, 3, 4, 5, 6, 6]  # before each of three training and two validation batches


@pytest.mark.parametrize("count", [2, 63, 65])
def test_few_images_still_train(digits: DataSet, count: int) -> None:
    results = list(train(tiny(), first_images(digits, count), TrainingConfig(epochs=1), 0))

    assert results[0].images_seen == min(count, 64)


def test_a_training_that_runs_away_has_diverged(few: DataSet) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 10))

    with pytest.raises(DivergedError, match=r"loss .* is (nan|inf); a lower training.lr"):
        list(train(network, few, TrainingConfig(epochs=5, lr=1e30), 0))


def test_a_network_that_breaks_in_evaluation_only_has_diverged_too(few: DataSet) -> None:
    class Broken(nn.Linear):
        def forward(self, x_bchw: Tensor) -> Tensor:
            logits = super().forward(x_bchw.flatten(1))
            return logits if self.training else logits * torch.nan

    with pytest.raises(DivergedError, match="validation loss after epoch 1 is nan"):
        next(train(Broken(64, 10), few, TrainingConfig(), 0))


def test_a_network_that_does_not_fit_has_exhausted_memory(few: DataSet) -> None:
    class Huge(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x_bchw: Tensor) -> Tensor:
            return x_bchw.new_empty(1 << 46) * self.scale

    with pytest.raises(MemoryExhaustedError, match=r"memory ran out in half a batch: .*can't allocate memory"):
        next(train(Huge(), few, TrainingConfig(), 0))


def test_a_small_hybrid_reads_the_digits_after_three_epochs(digits: DataSet) -> None:
    *_, last = train(hybrid(), digits, TrainingConfig(epochs=3, lr=8e-3), 0)

    assert last.accuracy.value > 0.9


def test_the_first_epoch_already_tells_something(digits: DataSet) -> None:
    first = next(train(hybrid(), digits, TrainingConfig(lr=8e-3), 0))

    assert first.accuracy.value > 0.3  # 0.1 is chance, and what lagging statistics of batch norm would show


def test_a_small_hybrid_reads_98_of_100_digits_in_12_epochs(digits: DataSet) -> None:
    recipe = TrainingConfig(epochs=12, lr=8e-3)

    last = [list(train(hybrid(seed), digits, recipe, seed))[-1].accuracy.value for seed in range(3)]

    assert np.mean(last) >= 0.98  # of three, since the standard error of one is 0.008


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_trains_as_well(digits: DataSet) -> None:
    *_, last = train(hybrid(), digits, TrainingConfig(epochs=6, lr=8e-3), 0, device="cuda")

    assert last.accuracy.value > 0.9


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (tiny, {}),
        (hybrid, {}),
        (tiny, {"restarts": (2,)}),
        (tiny, {"ema": 0.99, "optimizer": "lamb", "grad_clip": 1.0}),
        (tiny, {"optimizer": "sgd", "mixup": 0.2, "cutmix": 1.0, "erase": 0.5, "schedule": "wsd"}),
        (tiny, {"optimizer": "adopt", "randaugment": RandAugmentConfig(), "precision": "bf16"}),
    ],
)
def test_a_training_goes_on_from_its_checkpoint_as_if_it_had_never_paused(
    tmp_path: Path, make: Callable[[], nn.Module], options: dict[str, Any]
) -> None:
    data, recipe = load_data(DataConfig(name="digits")), TrainingConfig(epochs=4, **options)
    path = tmp_path / "2.safetensors"

    def part(network: nn.Module, start: Start | None, until: int | None) -> list[EpochResult]:
        def keep(optimizer: Optimizer, average: nn.Module | None) -> None:
            save_checkpoint(network, optimizer, average, path)

        return list(train(network, data, recipe, 5, start=start, until=until, keep=keep if until else None))

    whole, second = make(), make()
    epochs = part(whole, None, None)
    begun = part(make(), None, 2)
    later = part(second, Start(2, partial(load_checkpoint, path=path)), None)

    assert [item.record.train_loss for item in begun + later] == [item.record.train_loss for item in epochs]
    assert [item.images_seen for item in begun + later] == [item.images_seen for item in epochs]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(second.state_dict()[name], tensor), name
    assert list(tmp_path.iterdir()) == [path]
