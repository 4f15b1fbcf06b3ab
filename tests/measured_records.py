"""Measured records of made-up networks, whose joules follow any rule a test likes."""

import hashlib
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from ecoNAS.architecture import Deployment
from ecoNAS.joules import EstimatedJoules, MeasuredJoules
from ecoNAS.records import Costs, EnergyProfile, ProfileKey, Workload

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MAC_J, BYTE_J, IMAGE_J = 5e-12, 40e-12, 2e-4  # what the made-up device spends
DEVICE = "GPU-1234"

Rule = Callable[[Costs, int], float]


def exact_j(costs: Costs, batch: int) -> float:
    """Return joules per image: MACs, weights once a batch, activations there and back, and a constant."""
    moved_bytes = 4 * costs.params / batch + 2 * costs.activation_memory_bytes
    return MAC_J * costs.macs + BYTE_J * moved_bytes + IMAGE_J


def noisy(rng: random.Random, spread: float) -> Rule:
    return lambda costs, batch: exact_j(costs, batch) * rng.lognormvariate(0, spread)


def networks(rng: random.Random, count: int) -> list[Costs]:
    """Return costs over two powers of ten, each of MACs, weights and activations by chance of its own."""
    return [
        Costs(
            params=round(10 ** rng.uniform(5.5, 7.5)),
            macs=round(10 ** rng.uniform(7, 9)),
            activation_memory_bytes=round(10 ** rng.uniform(6, 7.5)),
        )
        for _ in range(count)
    ]


def record(number: int, costs: Costs | None, value_j: float, **changes: Any) -> EnergyProfile:
    """Return a record; `device`, `method`, `scope`, `dtype`, `batch` and `kind` may be given, and any of its fields."""
    given = {"device": DEVICE, "method": "energy_counter", "scope": "gpu", "dtype": "fp32", "batch": 8}
    own = {name: changes.pop(name, value) for name, value in given.items()}
    joules = EstimatedJoules if changes.pop("kind", "measured") == "estimated" else MeasuredJoules
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    deployment = Deployment(dtype=own["dtype"], batch=own["batch"])
    provenance = {name: own[name] for name in ("device", "method", "scope")}
    fields: dict[str, Any] = {
        "key": ProfileKey(architecture=digest, deployment=deployment, device=own["device"]),
        "energy": joules(value_j=value_j, low_j=0.99 * value_j, high_j=1.01 * value_j, **provenance),
        "runner": "eager",
        "workload": Workload(
            model=f"net{number}",
            digest=digest,
            shape=(own["batch"], 3, 32, 32),
            deployment=deployment,
            costs=costs,
        ),
        "started": NOON + timedelta(minutes=number),
        "ended": NOON + timedelta(minutes=number, seconds=30),
    }
    return EnergyProfile(**{**fields, **changes})


def records(count: int = 12, seed: int = 0, rule: Rule = exact_j, **changes: Any) -> list[EnergyProfile]:
    """Return records of so many networks, at batches 1, 8 and 64 in turn unless `batch` is given."""
    made = []
    for number, costs in enumerate(networks(random.Random(seed), count)):
        batch = changes.get("batch", (1, 8, 64)[number % 3])
        made.append(record(number, costs, rule(costs, batch), **{**changes, "batch": batch}))
    return made
