import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss

from ecoNAS.training.metrics import mean_loss, score_accuracy


def test_accuracy_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 3, 100), rng.integers(0, 3, 100)

    score = score_accuracy(predictions, labels, "validation")

    assert score.value == pytest.approx(accuracy_score(labels, predictions))
    assert (score.num_samples, score.split, score.kind) == (100, "validation", "measured")


def test_a_perfect_accuracy_still_has_an_error() -> None:
    score = score_accuracy(np.zeros(20, dtype=np.int64), np.zeros(20, dtype=np.int64), "test")

    assert score.value == 1.0
    # By hand: z^2 = 3.8415, n' = 23.8415, p' = 21.9207 / 23.8415 = 0.91943, sqrt(0.91943 * 0.08057 / 23.8415) = 0.05574
    assert score.standard_error == pytest.approx(0.05574, abs=1e-5)


def test_with_many_images_the_error_is_the_textbook_one() -> None:
    labels = np.zeros(10_000, dtype=np.int64)
    predictions = (np.arange(10_000) < 1_000).astype(np.int64)

    error = score_accuracy(predictions, labels, "validation").standard_error

    assert error == pytest.approx((0.9 * 0.1 / 10_000) ** 0.5, rel=1e-3)


def test_the_loss_is_that_of_scikit_learn() -> None:
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 4

    assert mean_loss(logits, labels) == pytest.approx(log_loss(labels.numpy(), logits.double().softmax(1).numpy()))
