"""Each option of the recipe does what it says, and together they still learn."""

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score
from torch import Tensor, nn
from torch.nn import functional

from ecoNAS.config import DataConfig
from ecoNAS.data.datasets import DataSet, load_data
from ecoNAS.data.transforms import Augmentation, augment, choose_augmentation
from ecoNAS.errors import ConfigError
from ecoNAS.recipe import DistillationConfig, RandAugmentConfig, TrainingConfig
from ecoNAS.training.failures import MemoryExhaustedError
from ecoNAS.training.metrics import balanced_weights
from ecoNAS.training.mixing import ERASED_AREA, Mixing, erase
from ecoNAS.training.optim import build_optimizer
from ecoNAS.training.scores import score_all
from ecoNAS.training.seeding import seeded
from ecoNAS.training.step import Step
from ecoNAS.training.trainer import EpochResult, train

LINEAR = nn.Linear(4, 3)


@pytest.fixture(scope="module")
def digits() -> DataSet:
    return load_data(DataConfig(name="digits"))


@pytest.fixture
def images_bchw() -> Iterator[Tensor]:
    with seeded(0):
        yield torch.rand(256, 3, 24, 24) + 1.0


def small(seed: int = 0) -> nn.Module:
    with seeded(seed):
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)
        )


def results(digits: DataSet, network: nn.Module, **recipe: Any) -> list[EpochResult]:
    return list(train(network, digits, TrainingConfig(**recipe), 0))


@pytest.mark.parametrize(
    "recipe",
    [
        {"optimizer": "sgd", "lr": 0.05, "schedule": "step"},
        {"optimizer": "lamb", "schedule": "linear"},
        {"optimizer": "adamw", "schedule": "wsd", "ema": 0.95, "grad_clip": 1.0},
        {"mixup": 0.2, "cutmix": 1.0, "erase": 0.3, "class_weights": "balanced"},
        {"randaugment": RandAugmentConfig(ops=1, magnitude=5)},
        {"precision": "bf16", "layout": "contiguous", "schedule": "constant"},
    ],
)
def test_the_digits_are_learned_with_every_option(digits: DataSet, recipe: dict[str, Any]) -> None:
    *_, last = results(digits, small(), epochs=4, **recipe)

    assert last.accuracy is not None
    assert last.accuracy.value > 0.7


def test_the_weights_kept_are_the_averaged_ones_and_give_the_accuracy_that_was_told(digits: DataSet) -> None:
    network = small()
    *_, last = results(digits, network, epochs=2, ema=0.99)
    plain = small()
    results(digits, plain, epochs=2)

    assert not torch.equal(network[0].weight, plain[0].weight)  # type: ignore[arg-type]
    from ecoNAS.data.transforms import Normaliser
    from ecoNAS.training.trainer import predict

    logits = predict(network, digits.validation, Normaliser(digits.normalisation, 8), 64, "cpu")
    assert last.validation_predictions is not None
    assert logits.argmax(dim=1).tolist() == last.validation_predictions.tolist()


def test_a_gradient_longer_than_allowed_is_clipped() -> None:
    network, inputs, targets = nn.Linear(4, 3), torch.randn(8, 4) * 100, torch.zeros(8, dtype=torch.int64)
    recipe = TrainingConfig(
        optimizer="momentum", lr=1.0, momentum=0.0, weight_decay=0.0, grad_clip=0.5, label_smoothing=0.0
    )
    before = [weight.detach().clone() for weight in network.parameters()]
    Step(network, build_optimizer(network, recipe), recipe, "cpu")(inputs, targets)
    moved = torch.cat([(now.detach() - then).flatten() for now, then in zip(network.parameters(), before, strict=True)])

    assert moved.norm() == pytest.approx(0.5, rel=1e-4)  # with a rate of 1 a step is the gradient


class _Narrow(nn.Module):
    """A network that the memory of a machine holds up to so many images of."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.inner = most, nn.Linear(4, 3)

    def forward(self, x_bf: Tensor) -> Tensor:
        if len(x_bf) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return self.inner(x_bf)


@pytest.mark.parametrize("weights_k", [None, torch.tensor([1.0, 2.0, 30.0])], ids=["alike", "weighted"])
def test_a_batch_that_does_not_fit_is_passed_in_two_halves_with_the_same_step(weights_k: Tensor | None) -> None:
    recipe = TrainingConfig(optimizer="sgd", lr=0.1)
    inputs, targets = torch.randn(8, 4), torch.tensor([0, 0, 1, 0, 2, 1, 2, 2])
    steps = []
    for most in (8, 4):
        with seeded(1):
            network = _Narrow(most)
        step = Step(network, build_optimizer(network, recipe), recipe, "cpu", class_weights_k=weights_k)
        loss = step(inputs, targets)
        steps.append((step.num_parts, float(loss), network.inner.weight.detach()))
    (whole, loss, weight), (halved, same_loss, same_weight) = steps

    assert (whole, halved) == (1, 2)
    assert same_loss == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(same_weight, weight)


def test_what_a_failed_batch_made_is_gone_before_its_halves_are_tried() -> None:
    made: list[weakref.ref[Tensor]] = []

    class Greedy(_Narrow):
        def forward(self, x_bf: Tensor) -> Tensor:
            made_before = [one for one in made if one() is not None]
            assert not made_before, "a failed batch still holds memory"
            activation = self.inner(x_bf)
            if len(x_bf) > self.most:
                made.append(weakref.ref(activation))
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
            return torch.as_tensor(activation)

    network, recipe = Greedy(4), TrainingConfig()
    step = Step(network, build_optimizer(network, recipe), recipe, "cpu")
    step(torch.randn(8, 4), torch.zeros(8).long())

    assert (len(made), step.num_parts) == (1, 2)


def test_a_batch_of_which_not_even_half_fits_is_infeasible() -> None:
    network, recipe = _Narrow(1), TrainingConfig()
    with pytest.raises(MemoryExhaustedError, match="out of memory"):
        Step(network, build_optimizer(network, recipe), recipe, "cpu")(torch.randn(8, 4), torch.zeros(8).long())


def test_mixed_images_are_sums_and_their_targets_say_of_what(images_bchw: Tensor) -> None:
    labels = torch.arange(256) % 5
    with seeded(3):
        mixed_bchw, shares_bk = Mixing(TrainingConfig(mixup=1.0), 5)(images_bchw, labels)
    torch.testing.assert_close(shares_bk.sum(dim=1), torch.ones(256))
    share = float(shares_bk[1, labels[1]])

    assert 0 < share < 1
    torch.testing.assert_close(mixed_bchw, share * images_bchw + (1 - share) * images_bchw.roll(1, 0))


def test_cutmix_takes_the_share_of_the_area_that_its_target_says(images_bchw: Tensor) -> None:
    labels = torch.arange(256) % 5
    with seeded(4):
        cut_bchw, shares_bk = Mixing(TrainingConfig(cutmix=1.0), 5)(images_bchw, labels)
    is_own = (cut_bchw == images_bchw).all(dim=1).float().mean(dim=(1, 2))[1:]  # the first is mixed with its own class

    assert is_own.tolist() == pytest.approx(shares_bk[torch.arange(1, 256), labels[1:]].tolist(), abs=1e-6)


def test_a_rectangle_is_erased_in_the_share_of_images_that_was_asked_for(images_bchw: Tensor) -> None:
    with seeded(0):
        is_zero_bhw = (erase(images_bchw, 0.5) == 0).all(dim=1)
    areas = is_zero_bhw.float().mean(dim=(1, 2))
    erased = areas[areas > 0]

    assert 0.4 < len(erased) / 256 < 0.6
    assert erased.max() <= ERASED_AREA[1] * 1.2  # sides are rounded to pixels
    rows, columns = is_zero_bhw.any(dim=2).sum(dim=1), is_zero_bhw.any(dim=1).sum(dim=1)
    assert torch.equal(is_zero_bhw.sum(dim=(1, 2)), rows * columns)  # one rectangle each


def test_randaugment_changes_images_and_keeps_what_they_are(digits: DataSet) -> None:
    augmentation = choose_augmentation(TrainingConfig(augment="none", randaugment=RandAugmentConfig()), digits)
    images = torch.tensor(digits.train.images[:64])
    with seeded(0):
        changed = augment(images, augmentation, torch.Generator())

    assert changed.shape == images.shape
    assert changed.dtype == torch.uint8
    assert 0.2 < float((changed != images).flatten(1).any(dim=1).float().mean()) <= 1.0
    assert Augmentation() == choose_augmentation(TrainingConfig(augment="none"), digits)


def test_balanced_weights_let_every_class_count_alike() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [2])
    weights = balanced_weights(labels, 4)

    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3, 1.0])
    assert float((weights[:3] * torch.tensor([6.0, 3.0, 1.0])).sum()) == pytest.approx(10)


def test_a_training_ends_when_its_patience_does(digits: DataSet) -> None:
    found = results(digits, small(), epochs=40, lr=1e-9, warmup_epochs=0, patience=2)

    assert len(found) < 40
    assert found[-1].record.epoch == len(found)


def test_scores_beyond_accuracy_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(5, size=400, p=[0.5, 0.3, 0.1, 0.07, 0.03])
    predictions = np.where(rng.random(400) < 0.7, labels, rng.integers(5, size=400))
    found = score_all(np.eye(5)[predictions], labels, "validation")

    assert found["macro_f1"].value == pytest.approx(f1_score(labels, predictions, average="macro"))
    assert found["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(labels, predictions))
    recalls = [float((predictions[labels == label] == label).mean()) for label in range(5)]
    assert found["worst_recall"].value == pytest.approx(min(recalls))
    # The error of the mean of five independent shares, as a binomial has it.
    counts = np.bincount(labels)
    error = np.sqrt(sum(r * (1 - r) / n for r, n in zip(recalls, counts, strict=True))) / 5
    assert found["balanced_accuracy"].standard_error == pytest.approx(error, rel=0.25)


def test_an_unknown_optimiser_is_named_with_its_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown optimizer of timm 'adamv'.*adam"):
        build_optimizer(LINEAR, TrainingConfig(optimizer="adamv"))


def test_a_compiled_training_learns_as_well_and_its_compile_time_is_in_the_first_epoch(digits: DataSet) -> None:
    found = results(digits, small(), epochs=3, compile=True)
    last = found[-1]

    assert last.accuracy is not None
    assert last.accuracy.value > 0.8
    assert found[0].record.duration_s > 5 * found[2].record.duration_s


def test_each_training_is_compiled_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch compiles code, not objects: of many networks of one class it would run the later ones eagerly."""
    done: list[str] = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: done.append("reset"))
    monkeypatch.setattr(torch, "compile", lambda network: (done.append("compile"), network)[1])
    recipe = TrainingConfig(compile=True)
    Step(LINEAR, build_optimizer(LINEAR, recipe), recipe, "cpu")

    assert done == ["reset", "compile"]


def test_a_student_comes_to_answer_as_its_teacher_does() -> None:
    with seeded(2):
        teacher, student, inputs = nn.Linear(4, 3), nn.Linear(4, 3), torch.randn(256, 4)
        misleading = torch.randint(3, (256,))
    recipe = TrainingConfig(optimizer="adam", lr=0.05, distillation=DistillationConfig(weight=1.0), label_smoothing=0.0)
    step = Step(student, build_optimizer(student, recipe), recipe, "cpu", teacher=teacher)
    losses = [float(step(inputs, misleading)) for _ in range(200)]

    assert losses[-1] < 1e-3 < losses[0]
    agrees = student(inputs).argmax(dim=1) == teacher(inputs).argmax(dim=1)
    assert float(agrees.float().mean()) > 0.95
    assert teacher.weight.grad is None


def test_the_loss_with_class_weights_is_that_of_torch() -> None:
    weights = torch.tensor([1.0, 2.0, 3.0])
    network, recipe = nn.Linear(4, 3), TrainingConfig(label_smoothing=0.0)
    inputs, targets = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    wanted = functional.cross_entropy(network(inputs), targets, weight=weights).detach()

    found = Step(network, build_optimizer(network, recipe), recipe, "cpu", class_weights_k=weights)(inputs, targets)
    assert float(found) == pytest.approx(float(wanted))
