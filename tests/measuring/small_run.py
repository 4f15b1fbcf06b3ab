"""A run of four trials whose accuracies and joules are written by hand, and records of them from another device."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ecoNAS.architecture import Architecture, Candidate, Deployment, HeadSpec, Problem, StageSpec, StemSpec
from ecoNAS.block_specs import MBConvSpec
from ecoNAS.events import RunEnded, RunStarted, TrialEnded, TrialProposed, TrialStarted
from ecoNAS.joules import MeasuredJoules
from ecoNAS.measurement import DeviceState, Latency, Measurement, MeterInfo
from ecoNAS.records import (
    Costs,
    EnergyProfile,
    Evaluation,
    Outcome,
    ProfileKey,
    Score,
    Training,
    TrainingKey,
    Workload,
)
from ecoNAS.run_folder import RunFolder

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PROBLEM = Problem(input_channels=1, resolution=8, num_classes=10)
DEPLOYMENT = Deployment(batch=4)
# (accuracy, mJ per image): 0 and 1 are the front, 2 is worse than 1 in both, 3 is bad at everything.
TRIALS = ((0.90, 1.0), (0.95, 2.0), (0.93, 3.0), (0.50, 5.0))
BLOCK = MBConvSpec(kernel_size=3, expansion=1, squeeze_excite=False)
SPACE = Path(__file__).parents[2] / "search_spaces" / "smoke.yaml"
EXPERIMENT = """\
search_space: search_space.yaml
data: {name: digits}
objectives: [accuracy, energy_per_image]
energy: {meter: nvml}
workers: {kind: in_process}
"""


def architecture(number: int) -> Architecture:
    """Return the small network of a trial: each has a width of its own."""
    stage = StageSpec(width=8 + 4 * number, depth=1, stride=1, block=BLOCK)
    return Architecture(stem=StemSpec(width=4, stride=2), stages=(stage,), head=HeadSpec(width=0))


def candidate(number: int) -> Candidate:
    return Candidate(architecture=architecture(number), deployment=DEPLOYMENT)


def joules(value_j: float, device: str = "GPU-1", **changes: str) -> MeasuredJoules:
    own = {"method": "energy_counter", "scope": "gpu", **changes}
    return MeasuredJoules(value_j=value_j, low_j=0.98 * value_j, high_j=1.02 * value_j, device=device, **own)


def evaluation(number: int) -> Evaluation:
    accuracy, energy_mj = TRIALS[number]
    digest = architecture(number).digest
    training = Training(
        key=TrainingKey(architecture=digest, data="made-up", recipe="made-up", resolution=8, seed=number),
        accuracy=Score(value=accuracy, standard_error=0.01, num_samples=900, split="validation", kind="measured"),
        curve=(),
        num_train_images=1000,
        images_seen=1000,
        validation_predictions=(0,),
        energy=None,
        weights_file=None,
        device="cpu",
        duration_s=1.0,
        started=NOON,
        ended=NOON,
    )
    return Evaluation(
        trial=number,
        candidate=candidate(number),
        problem=PROBLEM,
        outcome=Outcome.EVALUATED,
        costs=Costs(params=1000, macs=10_000, activation_memory_bytes=1000),
        profile=EnergyProfile(
            key=ProfileKey(architecture=digest, deployment=DEPLOYMENT, device="GPU-1"),
            energy=joules(energy_mj / 1e3),
            runner="eager",
            started=NOON,
            ended=NOON,
        ),
        training=training,
        started=NOON,
        ended=NOON,
    )


def write_small_run(path: Path, *, decided: str = "", trials: int = len(TRIALS)) -> Path:
    """Write the run and return its folder; `decided` is a line of the space about deployments."""
    folder = RunFolder(path)
    folder.create()
    folder.experiment.write_text(EXPERIMENT)
    folder.search_space.write_text(SPACE.read_text() + decided)
    folder.environment.write_text("{}")
    split = {name: {"part": "train", "num_images": 100, "indices": None} for name in ("train", "validation", "test")}
    folder.split.write_text(json.dumps({"version": 1, **split}))
    folder.events.append(RunStarted(time=NOON, resumed=False, trials=4, sampler="random", energy="nvml"))
    for number in range(trials):
        digest = candidate(number).digest
        folder.events.append(TrialProposed(time=NOON, trial=number, digest=digest, parameters={}))
        folder.events.append(TrialStarted(time=NOON, trial=number, digest=digest, attempt=1))
        folder.write_evaluation(evaluation(number))
        folder.events.append(TrialEnded(time=NOON, trial=number, digest=digest, outcome=Outcome.EVALUATED))
    folder.events.append(RunEnded(time=NOON, reason="trials"))
    return path


def measured_elsewhere(number: int, energy_mj: float, **changes: Any) -> EnergyProfile:
    """Return the record of a trial's network from a board; any field and any provenance may be changed."""
    provenance = {"device": "cpu:board", "method": "rapl", "scope": "package"}
    own = {name: changes.pop(name, value) for name, value in provenance.items()}
    how, energy_j = changes.pop("deployment", DEPLOYMENT), energy_mj / 1e3
    digest = architecture(number).digest
    fields: dict[str, Any] = {
        "key": ProfileKey(architecture=digest, deployment=how, device=own["device"]),
        "energy": joules(energy_j, **own),
        "latency": Latency(median_s=0.004, p95_s=0.005, standard_error_s=1e-5, num_iterations=50, batch=how.batch),
        "runner": "onnxruntime",
        "workload": Workload(
            model=f"trial {number}",
            digest=digest,
            shape=PROBLEM.input_shape(how.batch),
            deployment=how,
            candidate=candidate(number).digest,
        ),
        "measurement": measurement(energy_j, own),
        "started": NOON,
        "ended": NOON,
    }
    return EnergyProfile(**{**fields, **changes})


def measurement(energy_j: float, provenance: Mapping[str, str]) -> Measurement:
    return Measurement(
        meter=MeterInfo(name="rapl", kind="measured", device_name="A board", **provenance),
        period_s=0.001,
        batch=4,
        value_j=energy_j,
        repeatability=0.01,
        ranking_j=(0.98 * energy_j, 1.02 * energy_j),
        absolute_j=(0.93 * energy_j, 1.07 * energy_j),
        net_j=None,
        idle_w=(),
        windows=(),
        num_blocks=1,
        mean_power_w=7.5,
        peak_power_w=9.0,
        before=DeviceState(),
        after=DeviceState(),
        exclusivity="exclusive",
        duration_s=20.0,
    )
