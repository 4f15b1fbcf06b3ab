"""Run folders for tests. EVERY NUMBER IN THEM IS MADE UP: drawn from a seed, not trained, not measured.

`write_run` writes what a search would leave behind, through the records: about 25 trials with every outcome, in two
sessions with a pause of an hour between them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from ecoNAS.analysis.run import Run, load_run
from ecoNAS.architecture import Architecture, Candidate, Deployment, HeadSpec, Problem, StageSpec, StemSpec
from ecoNAS.block_specs import AttentionSpec, BlockSpec, ConvNeXtSpec, FusedMBConvSpec, MBConvSpec
from ecoNAS.events import Event, RunEnded, RunStarted, ScaleFixed, TrialEnded, TrialProposed, TrialStarted, phases_of
from ecoNAS.joules import EstimatedJoules, Joules, MeasuredJoules
from ecoNAS.measurement import Latency
from ecoNAS.records import (
    Costs,
    EnergyProfile,
    EpochRecord,
    Evaluation,
    Outcome,
    ProfileKey,
    Score,
    Training,
    TrainingKey,
)
from ecoNAS.run_folder import RunFolder

START = datetime(2026, 11, 20, 23, 15, tzinfo=UTC)
PROBLEM = Problem(input_channels=1, resolution=8, num_classes=10)
NUM_VALIDATION = 360
SCALE = {
    "accuracy": (0.99, 0.85),
    "energy_per_image": (1e-6, 2e-5),
    "flops": (5e4, 2e6),
    "params": (2e3, 6e4),
}
EXPERIMENT = """\
# Made for tests: the numbers of this run were drawn from a seed.
search_space: search_space.yaml
data: {name: digits}
objectives: [accuracy, energy_per_image, flops, params]
constraints: ["params <= 60e3", "macs <= 1.5e6"]
search: {trials: 24, sampler: nsga2, seed: 0}
training: {epochs: 6, batch_size: 64}
energy: {meter: estimate}
workers: {kind: in_process}
"""
OUTCOMES = {
    2: Outcome.REFUSED,
    5: Outcome.REFUSED,
    7: Outcome.DUPLICATE,
    9: Outcome.STOPPED,
    11: Outcome.INFEASIBLE,
    13: Outcome.FAILED,
    17: Outcome.STOPPED,
    20: Outcome.REFUSED,
    22: Outcome.DUPLICATE,
}


@dataclass
class Writer:
    """Writes events on a clock of its own, which starts with the run."""

    folder: RunFolder
    measured: bool = False
    seconds: float = 0.0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    @property
    def time(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def log(self, event: Event) -> None:
        self.folder.events.append(event.model_copy(update={"time": self.time}))

    def joules(self, value: float) -> Joules:
        if self.measured:
            return MeasuredJoules(
                value_j=value, low_j=0.97 * value, high_j=1.03 * value, method="nvml", scope="gpu", device="GPU-1"
            )
        return EstimatedJoules(
            value_j=value, low_j=value / 3, high_j=value * 3, method="counts", scope="compute", device="cpu"
        )


def draw_architecture(rng: np.random.Generator) -> Architecture:
    def block(width: int) -> BlockSpec:
        kind = rng.integers(4)
        if kind == 0:
            return MBConvSpec(kernel_size=int(rng.choice([3, 5])), expansion=2, squeeze_excite=bool(rng.integers(2)))
        if kind == 1:
            return FusedMBConvSpec(kernel_size=3, expansion=2)
        if kind == 2:
            return ConvNeXtSpec(kernel_size=3, expansion=4)
        return AttentionSpec(num_heads=2, mlp_ratio=2)

    widths = np.cumsum(rng.choice([8, 16], size=int(rng.integers(2, 4)))).tolist()
    stages = tuple(
        StageSpec(width=width, depth=int(rng.integers(1, 3)), stride=2 if index else 1, block=block(width))
        for index, width in enumerate(widths)
    )
    stem = StemSpec(width=8, stride=1)
    return Architecture(stem=stem, stages=stages, head=HeadSpec(width=int(rng.choice([0, 64]))))


def make_evaluation(writer: Writer, number: int, architecture: Architecture, outcome: Outcome) -> Evaluation:
    """A record with made-up numbers: wider networks read better and cost more."""
    rng, candidate = writer.rng, Candidate(architecture=architecture)
    params = sum(30 * stage.width * stage.depth * (3 + len(stage.block.kind) % 5) for stage in architecture.stages)
    macs = 15_000 + sum(
        (PROBLEM.resolution >> index) ** 2 * stage.width**2 * stage.depth * int(rng.integers(2, 5))
        for index, stage in enumerate(architecture.stages)
    )
    trained = outcome is not Outcome.INFEASIBLE
    num_epochs = 2 if outcome is Outcome.STOPPED else 6
    goal = 0.985 - 0.25 * np.exp(-params / 6000) - rng.uniform(0, 0.02)
    accuracy = int(NUM_VALIDATION * goal * (1 - 0.3 ** (num_epochs + 0.5))) / NUM_VALIDATION
    duration = 0.2 * num_epochs + macs / 4e6
    training = Training(
        key=TrainingKey(architecture=architecture.digest, data="made-up", recipe="made-up", resolution=8, seed=number),
        accuracy=Score(
            value=accuracy,
            standard_error=float(np.sqrt(accuracy * (1 - accuracy) / NUM_VALIDATION)),
            num_samples=NUM_VALIDATION,
            split="validation",
            kind="measured",
        ),
        curve=tuple(
            EpochRecord(
                epoch=epoch,
                train_loss=2.3 * 0.6**epoch,
                validation_loss=2.3 * 0.65**epoch,
                validation_accuracy=accuracy * (1 - 0.3**epoch) / (1 - 0.3**num_epochs),
                duration_s=duration / num_epochs,
            )
            for epoch in range(1, num_epochs + 1)
        ),
        num_train_images=1077,
        images_seen=1077 * num_epochs,
        validation_predictions=(0,) * NUM_VALIDATION,
        energy=writer.joules(macs * 3 * 1077 * num_epochs * 5e-12),
        weights_file=f"weights/{candidate.digest}.safetensors",
        device="cpu",
        duration_s=duration,
        started=writer.time,
        ended=writer.time,
    )
    profile = EnergyProfile(
        key=ProfileKey(architecture=architecture.digest, deployment=Deployment(), device="cpu"),
        energy=writer.joules(macs * 8e-12 + params * 5e-11 + 4e-7),
        latency=Latency(median_s=2e-3, p95_s=3e-3, standard_error_s=1e-5, num_iterations=50, batch=32)
        if writer.measured
        else None,
        runner="eager",
        started=writer.time,
        ended=writer.time,
    )
    return Evaluation(
        trial=number,
        candidate=candidate,
        problem=PROBLEM,
        outcome=outcome,
        reason={
            Outcome.STOPPED: "stopped at rung 1 (2 epochs): accuracy 0.61 is below the better half",
            Outcome.INFEASIBLE: "training diverged in epoch 1: the loss is not finite",
        }.get(outcome, ""),
        costs=Costs(params=params, macs=macs, activation_memory_bytes=8 * macs // 100),
        profile=profile,
        training=training if trained else None,
        violations={"params <= 60e3": params / 60e3 - 1, "macs <= 1.5e6": macs / 1.5e6 - 1}
        | ({} if trained else {"trainable": 1.0}),
        worker="in_process",
        started=writer.time,
        ended=writer.time,
    )


def _write_trial(writer: Writer, number: int, first: list[Architecture]) -> None:
    outcome = OUTCOMES.get(number, Outcome.EVALUATED)
    architecture = first[number % 3] if outcome is Outcome.DUPLICATE else draw_architecture(writer.rng)
    digest = Candidate(architecture=architecture).digest
    parameters = {"stem.width": 8, "stage1.width": architecture.stages[0].width, "num_stages": len(architecture.stages)}
    writer.log(TrialProposed(trial=number, digest=digest, parameters=parameters))
    ended = TrialEnded(trial=number, digest=digest, outcome=outcome)
    if outcome is Outcome.REFUSED:
        ended = ended.model_copy(update={"reason": "params 84,120 > 60e3", "violations": {"params <= 60e3": 0.402}})
    elif outcome is Outcome.DUPLICATE:
        ended = ended.model_copy(update={"duplicate_of": number % 3})
    else:
        writer.log(TrialStarted(trial=number, digest=digest, attempt=1))
        evaluation = make_evaluation(writer, number, architecture, outcome)
        training = evaluation.training
        duration = 0.4 + (training.duration_s if training else 0.3)
        writer.seconds += duration
        ended = ended.model_copy(update={"duration_s": duration, "reason": evaluation.reason})
        if outcome is Outcome.FAILED:
            ended = ended.model_copy(update={"reason": "MemoryError (see logs/13.log)"})
        else:
            writer.folder.write_evaluation(evaluation)
            first.append(architecture)
            update = {"violations": evaluation.violations, "phases": phases_of(evaluation)}
            ended = ended.model_copy(update=update)
    writer.log(ended)


def write_run(path: Path, *, trials: int = 25, measured: bool = False, ends: bool = True) -> Path:
    """Write a run folder with made-up numbers and return its path.

    Args:
        path: The folder to make.
        trials: How many trials end; the outcomes are those of OUTCOMES, all others are evaluated.
        measured: Whether the joules pretend to be a counter's.
        ends: Whether the driver ends in its own words; otherwise it leaves one trial under way.
    """
    folder = RunFolder(path)
    folder.create()
    experiment = EXPERIMENT.replace("meter: estimate", "meter: nvml") if measured else EXPERIMENT
    folder.experiment.write_text(experiment, encoding="utf-8")
    folder.search_space.write_text("version: 1\nname: made_up\n", encoding="utf-8")
    packages = {"econas": "0.1.0", "torch": "2.15.0", "timm": "1.0.31", "optuna": "5.0.0"}
    environment = {"version": 1, "seed": 0, "python": "3.11.7", "cpu": "A made-up CPU", "cpus": 2, "packages": packages}
    folder.environment.write_text(json.dumps(environment | {"git_commit": None}), encoding="utf-8")
    shares = {"train": 1077, "validation": NUM_VALIDATION, "test": 360}
    split = {name: {"part": "train", "num_images": size, "indices": None} for name, size in shares.items()}
    folder.split.write_text(json.dumps({"version": 1, **split}), encoding="utf-8")
    writer, first = Writer(folder, measured), list[Architecture]()
    energy = "nvml" if measured else "estimate"
    writer.log(RunStarted(resumed=False, trials=24, sampler="nsga2", energy=energy))
    for number in range(trials):
        if number == 12:  # the driver died, and went on an hour later
            writer.seconds += 3600
            writer.log(RunStarted(resumed=True, trials=24, sampler="nsga2", energy=energy))
        _write_trial(writer, number, first)
        if number == 19:
            writer.log(ScaleFixed(source="first evaluations", objectives=SCALE))
    if ends:
        writer.log(RunEnded(reason="trials"))
    else:
        architecture = draw_architecture(writer.rng)
        digest = Candidate(architecture=architecture).digest
        writer.log(TrialProposed(trial=trials, digest=digest, parameters={"stem.width": 8}))
    return path


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """`write_run`, for tests that need a folder of their own."""
    return write_run


@pytest.fixture(scope="session")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "digits-20261120-231500")


@pytest.fixture(scope="session")
def run(run_path: Path) -> Run:
    return load_run(run_path)


@pytest.fixture(scope="session")
def measured_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return load_run(write_run(tmp_path_factory.mktemp("runs") / "measured", measured=True))


@pytest.fixture(scope="session")
def running_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """No scale yet, one trial under way."""
    return load_run(write_run(tmp_path_factory.mktemp("runs") / "running", trials=10, ends=False))


@pytest.fixture(scope="session")
def empty_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Nothing proposed yet."""
    return load_run(write_run(tmp_path_factory.mktemp("runs") / "empty", trials=0, ends=False))
