"""Small finished records that many tests start from, and a cache folder that is not the user's."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ecoNAS.architecture import Architecture, Candidate, Deployment, HeadSpec, Problem, StageSpec, StemSpec
from ecoNAS.block_specs import AttentionSpec, MBConvSpec
from ecoNAS.joules import EstimatedJoules
from ecoNAS.measurement import Latency
from ecoNAS.records import (
    Costs,
    EnergyProfile,
    Evaluation,
    Outcome,
    ProfileKey,
    Score,
    Training,
    TrainingKey,
)

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded images of tests stay out of the user's cache folder, in worker processes too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "ECONAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def example_architecture() -> Architecture:
    """Stem 8, two mbconv blocks of width 12, one attention block of width 16 with 4 heads, head 32."""
    return Architecture(
        stem=StemSpec(width=8),
        stages=(
            StageSpec(width=12, depth=2, stride=2, block=MBConvSpec(kernel_size=3, expansion=2.0, squeeze_excite=True)),
            StageSpec(width=16, depth=1, stride=1, block=AttentionSpec(num_heads=4, mlp_ratio=2.0)),
        ),
        head=HeadSpec(width=32),
    )


def example_joules(value_j: float) -> EstimatedJoules:
    return EstimatedJoules(
        value_j=value_j,
        low_j=value_j / 3,
        high_j=value_j * 3,
        method="macs_and_bytes",
        scope="compute",
        device="class:cpu",
    )


@pytest.fixture
def make_evaluation(example_architecture: Architecture) -> Callable[..., Evaluation]:
    """Return a function that makes a finished evaluation, with any field replaced."""
    candidate = Candidate(architecture=example_architecture, deployment=Deployment(batch=32))
    profile = EnergyProfile(
        key=ProfileKey(architecture=example_architecture.digest, deployment=candidate.deployment, device="class:cpu"),
        energy=example_joules(0.002),
        latency=Latency(median_s=0.004, p95_s=0.005, standard_error_s=0.0001, num_iterations=50, batch=32),
        runner="eager",
        started=NOON,
        ended=NOON,
    )
    training = Training(
        key=TrainingKey(architecture=example_architecture.digest, data="d" * 64, recipe="r" * 64, resolution=8, seed=3),
        accuracy=Score(value=0.9, standard_error=0.03, num_samples=100, split="validation", kind="measured"),
        curve=(),
        num_train_images=400,
        scores={
            name: Score(value=value, standard_error=0.03, num_samples=100, split="validation", kind="measured")
            for name, value in (("macro_f1", 0.8), ("balanced_accuracy", 0.7), ("worst_recall", 0.6))
        },
        images_seen=4000,
        validation_predictions=(1, 2, 3),
        energy=example_joules(50.0),
        weights_file="weights/x.safetensors",
        device="cpu",
        duration_s=12.0,
        started=NOON,
        ended=NOON,
    )

    def make(**changes: Any) -> Evaluation:
        fields = {
            "trial": 7,
            "candidate": candidate,
            "problem": Problem(input_channels=1, resolution=8, num_classes=10),
            "outcome": Outcome.EVALUATED,
            "costs": Costs(params=1000, macs=20000, activation_memory_bytes=4096),
            "profile": profile,
            "profile_b1": profile.model_copy(
                update={"quantity": "energy_per_image_b1", "energy": example_joules(0.003)}
            ),
            "training": training,
            "violations": {"params <= 2000": -0.5},
            "started": NOON,
            "ended": NOON,
        }
        return Evaluation(**{**fields, **changes})

    return make
