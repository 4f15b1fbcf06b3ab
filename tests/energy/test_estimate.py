"""Estimates are deterministic, linear, and equal hand arithmetic on the published figures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoNAS.architecture import Architecture, Deployment
from ecoNAS.energy.estimate import (
    COEFFICIENTS,
    MacsAndBytes,
    Work,
    estimate_energy_per_image,
    estimate_profile,
    estimate_training,
    forward_work,
)
from ecoNAS.errors import MeterError
from ecoNAS.records import Costs, ProfileKey

# By hand: sqrt(190 * 4400) pJ = 914.3304 pJ per MAC, and sqrt(1.3 * 2.6) nJ / 8 bytes = 229.8097 pJ per byte.
MAC_J = 914.3304e-12
BYTE_J = 229.8097e-12

COSTS = Costs(params=1000, macs=20_000, activation_memory_bytes=4096)
WORK = st.builds(Work, *(st.integers(0, 10**12) for _ in range(3)))


def test_estimate_of_one_image_is_that_of_hand_arithmetic() -> None:
    # Weights 1000 x 4 bytes over a batch of 32: 125 bytes an image. Activations written and read: 8192 bytes.
    expected = 20_000 * MAC_J + (125 + 8192) * BYTE_J

    energy = estimate_energy_per_image(MacsAndBytes("cpu"), COSTS, Deployment(batch=32))

    assert energy.value_j == pytest.approx(expected, rel=1e-6)
    assert expected == pytest.approx(20.198e-6, rel=1e-4)


def test_estimate_of_a_training_is_that_of_hand_arithmetic() -> None:
    # 3 passes over 10 epochs of 400 images, and 10 validations of 100: 13,000 forward passes of 20,000 MACs, each with
    # 4000 / 64 = 62.5 bytes of weights and 8192 bytes of activations.
    expected = 13_000 * (20_000 * MAC_J + 8254.5 * BYTE_J)

    energy = estimate_training(MacsAndBytes("cpu"), COSTS, batch=64, images_trained=4000, images_validated=1000)

    assert energy.value_j == pytest.approx(expected, rel=1e-6)


def test_estimates_say_that_they_are_estimates_and_how_wide_they_are() -> None:
    energy = estimate_energy_per_image(MacsAndBytes("cpu"), COSTS, Deployment())

    assert energy.kind == "estimated"
    assert (energy.method, energy.device) == ("macs_and_bytes", "class:cpu")
    assert energy.high_j / energy.value_j == pytest.approx(3)
    assert energy.value_j / energy.low_j == pytest.approx(3)


def test_joules_of_a_training_and_of_images_add_up_to_a_lifetime() -> None:
    estimator = MacsAndBytes("cpu")
    training = estimate_training(estimator, COSTS, batch=64, images_trained=4000, images_validated=0)
    image = estimate_energy_per_image(estimator, COSTS, Deployment())

    lifetime = training + image * 1e6

    assert lifetime.value_j == pytest.approx(training.value_j + 1e6 * image.value_j)


@given(WORK, WORK, st.integers(0, 1000))
def test_estimates_are_linear_in_work(one: Work, other: Work, times: int) -> None:
    estimator = MacsAndBytes("cpu")

    together = estimator.price(one * times + other, "fp32").value_j

    apart = times * estimator.price(one, "fp32").value_j + estimator.price(other, "fp32").value_j
    assert together == pytest.approx(apart, rel=1e-9)


@given(WORK)
def test_estimates_repeat_to_the_last_bit(work: Work) -> None:
    assert MacsAndBytes("cpu").price(work, "fp32") == MacsAndBytes("cpu").price(work, "fp32")


def test_weights_are_read_once_per_batch() -> None:
    alone, shared = forward_work(COSTS, batch=1), forward_work(COSTS, batch=1000)

    assert alone.moved_bytes - shared.moved_bytes == pytest.approx(4000 - 4)
    assert alone.macs == shared.macs


def test_profile_is_keyed_by_what_decides_its_joules(example_architecture: Architecture) -> None:
    estimator = MacsAndBytes("cpu")
    key = ProfileKey(architecture=example_architecture.digest, deployment=Deployment(batch=8), device=estimator.device)

    profile = estimate_profile(estimator, COSTS, key)

    assert profile.key.architecture == example_architecture.digest
    assert profile.key.deployment == Deployment(batch=8)
    assert profile.key.device == "class:cpu"
    assert profile.energy == estimate_energy_per_image(MacsAndBytes("cpu"), COSTS, Deployment(batch=8))
    assert profile.status == "ok"
    assert profile.latency is None


def test_coefficients_lie_within_the_published_spread() -> None:
    assert 190e-12 < COEFFICIENTS["cpu"]["fp32"].mac_j < 4400e-12


def test_a_device_class_without_a_source_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        MeterError, match=r"^no published figures to estimate device_class 'gpu' from; choose from cpu$"
    ):
        MacsAndBytes("gpu")


def test_a_data_type_without_a_source_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        MeterError, match=r"^no published figures to estimate dtype 'bf16' on .* choose deployment\.dtype from fp32$"
    ):
        estimate_energy_per_image(MacsAndBytes("cpu"), COSTS, Deployment(dtype="bf16"))
