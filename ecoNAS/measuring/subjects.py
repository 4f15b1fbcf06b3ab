"""What is measured: timm models by name, exported folders, architecture files, ONNX files, members of a run.

A subject knows how to become something that runs, and what the record says of it. How it is measured is decided by
`measuring.measure`.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import timm
import torch
from pydantic import ValidationError
from torch import nn

from ecoNAS.analysis.run import Run, load_run
from ecoNAS.analysis.trial_view import find_trial
from ecoNAS.analysis.trials import Trial
from ecoNAS.architecture import AnyArchitecture, Deployment, Problem, load_architecture
from ecoNAS.block_conformance import check_architecture
from ecoNAS.costs.counts import UncountedOperatorError, count_network
from ecoNAS.energy.onnx_runner import OnnxRunner
from ecoNAS.energy.runner import Runner
from ecoNAS.errors import EcoNASError
from ecoNAS.evaluation.runners import build_runner
from ecoNAS.models.baseline import UNFIT, build_baseline
from ecoNAS.models.fused import fused
from ecoNAS.models.network import build_network
from ecoNAS.records import Costs, Workload
from ecoNAS.validation import in_one_line


@dataclass(frozen=True, slots=True)
class Images:
    """What a user says of the images; None where nothing was said.

    Attributes:
        resolution: Height and width in pixels.
        channels: Of the input.
        classes: Of the output.
    """

    resolution: int | None = None
    channels: int | None = None
    classes: int | None = None


class Subject(Protocol):
    """A network that can be run in different ways."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def deployment(self) -> Deployment:
        """How it runs where nobody says otherwise; a resolution is always given."""
        ...

    def workload(self, how: Deployment) -> Workload:
        """Return what the record says of it."""
        ...

    def make_runner(self, how: Deployment, device: str) -> Runner:
        """Return it ready to run; raises EcoNASError where it does not run that way."""
        ...


@dataclass(frozen=True, slots=True)
class TorchSubject:
    """A network that PyTorch can build.

    Attributes:
        digest: Equal for equal networks.
        problem: Its images and classes; the resolution may be changed.
        candidate: Digest of the candidate of a run that it is; empty for others.
    """

    name: str
    digest: str
    problem: Problem
    deployment: Deployment
    build: Callable[[Problem], nn.Module]
    candidate: str = ""

    def workload(self, how: Deployment) -> Workload:
        """Return what the record says of it, with its costs where they can be counted."""
        shape = self._problem(how).input_shape(how.batch)
        return Workload(
            model=self.name,
            digest=self.digest,
            shape=shape,
            deployment=how,
            costs=self._costs(how),
            candidate=self.candidate,
        )

    def make_runner(self, how: Deployment, device: str) -> Runner:
        """Return it with new weights, as the deployment says."""
        return build_runner(self.network(how), self._problem(how).input_shape(how.batch), how, device)

    def network(self, how: Deployment) -> nn.Module:
        """Return it with new weights, in evaluation mode."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.build(self._problem(how)).eval()

    def _problem(self, how: Deployment) -> Problem:
        return self.problem.model_copy(update={"resolution": how.resolution or self.problem.resolution})

    def _costs(self, how: Deployment) -> Costs | None:
        try:
            network = self.network(how)
            return count_network(fused(network) if how.form == "fused" else network, self._problem(how))
        except UncountedOperatorError:
            return None
        except UNFIT as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            size = " x ".join(map(str, self._problem(how).input_shape(1)[1:]))
            raise EcoNASError(f"{self.name} cannot read images of {size}: {reason[:200]}") from None


@dataclass(frozen=True, slots=True)
class OnnxSubject:
    """An ONNX file, run by ONNX Runtime as it is.

    Attributes:
        path: The file.
    """

    path: Path
    deployment: Deployment

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.path.name

    def workload(self, how: Deployment) -> Workload:
        """Return what the record says of it; nobody counts what an ONNX file computes."""
        if how.form != "training":
            raise EcoNASError(f"{self.path} is run as it is, in the form it was written in; leave out --form")
        shape = OnnxRunner(self.path, how.batch, how.threads, resolution=how.resolution).shape
        if len(shape) != 4:
            raise EcoNASError(f"{self.path} takes inputs of {shape}; images are (batch, channels, height, width)")
        batch, channels, height, width = shape
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return Workload(model=self.name, digest=digest, shape=(batch, channels, height, width), deployment=how)

    def make_runner(self, how: Deployment, device: str) -> Runner:
        """Return a session on it."""
        if (how.runtime, how.dtype, how.layout) != ("onnxruntime", "fp32", "contiguous"):
            raise EcoNASError(f"{self.path} is run by ONNX Runtime as it is; leave out --runtime, --dtype and --layout")
        return OnnxRunner(self.path, how.batch, how.threads, device, resolution=how.resolution)


def find_subjects(target: str, images: Images, trials: str = "front") -> list[Subject]:
    """Return what a user names: one network, or the members of a run.

    Args:
        target: A timm name, or the path of an ONNX file, an architecture file, an exported folder or a run folder.
        images: What the user says of the images.
        trials: Of a run: `front`, `all` that were evaluated, or numbers and `knee` with commas.

    Raises:
        EcoNASError: if nothing of that kind is there, or it cannot be read.
    """
    path = Path(target)
    if path.suffix == ".onnx":
        if not path.is_file():
            raise EcoNASError(f"no such file: {path}")
        return [OnnxSubject(path, Deployment(runtime="onnxruntime", batch=1, resolution=images.resolution))]
    if path.suffix == ".json":
        return [_architecture(path, images)]
    if (path / "experiment.yaml").exists():
        return _members(load_run(path), trials)
    if (path / "metrics.json").exists():
        return [_export(path)]
    if path.exists():
        raise EcoNASError(f"{path} is no run folder, exported folder, ONNX file or architecture file")
    if len(path.parts) > 1:  # no timm model has a slash in its name
        raise EcoNASError(f"no such file or folder: {path}")
    return [_timm(target, images)]


def _timm(name: str, images: Images) -> TorchSubject:
    try:
        config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    except RuntimeError:  # no such weights
        config = None
    if config is None:  # raises, with what is near, unless it is a model of which timm knows no images
        build_baseline(name, Problem(input_channels=3, resolution=224, num_classes=1000))
    channels, height, _ = config.input_size if config is not None else (3, 224, 224)
    problem = _problem(images, channels, height, config.num_classes if config is not None else 1000)
    digest = f"timm:{name}/{problem.input_channels}/{problem.num_classes}"
    deployment = Deployment(resolution=problem.resolution)
    return TorchSubject(name, digest, problem, deployment, lambda problem: build_baseline(name, problem))


def _architecture(path: Path, images: Images) -> TorchSubject:
    architecture = load_architecture(path)
    architecture.check()
    if images.resolution is None:
        raise EcoNASError(f"{path} says nothing of its images; give --resolution, and --channels and --classes")
    problem = _problem(images, 3, images.resolution, 1000)
    return _of_architecture(path.stem, architecture, problem, Deployment(resolution=problem.resolution))


def _problem(images: Images, channels: int, resolution: int, classes: int) -> Problem:
    """Return what the user says of the images, and where nothing is said what is given here."""
    said = (images.channels, images.resolution, images.classes)
    own = (channels, resolution, classes)
    values = [mine if value is None else value for value, mine in zip(said, own, strict=True)]
    try:
        return Problem(input_channels=values[0], resolution=values[1], num_classes=values[2])
    except ValidationError as error:
        raise EcoNASError(f"no such images: {in_one_line(error)}") from None


def _export(folder: Path) -> TorchSubject:
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        problem = Problem.model_validate(metrics["problem"])
        profile = metrics.get("profile") or {}
        deployment = Deployment.model_validate(profile.get("key", {}).get("deployment", {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = in_one_line(error) if isinstance(error, ValidationError) else str(error)
        raise EcoNASError(f"{folder / 'metrics.json'} does not say what the network is for: {reason}") from None
    architecture = load_architecture(folder / "architecture.json")
    return _of_architecture(folder.name, architecture, problem, _with_resolution(deployment, problem))


def _members(run: Run, trials: str) -> list[Subject]:
    """Return members of a run as they are deployed there."""
    if trials == "front":
        chosen = list(run.front_trials())
    elif trials == "all":
        chosen = [trial for trial in run.trials if trial.may_be_on_front]
    else:
        chosen = [find_trial(run, text.strip()) for text in trials.split(",")]
    if not chosen:
        raise EcoNASError(f"{run.folder} has no networks to measure: its front is empty")
    return [_member(trial) for trial in chosen]


def _member(trial: Trial) -> TorchSubject:
    evaluation = trial.evaluation
    if evaluation is None:
        raise EcoNASError(f"trial {trial.number} was {trial.state} and holds no network")
    candidate, problem = evaluation.candidate, evaluation.problem
    return _of_architecture(
        f"trial {trial.number}", candidate.architecture, problem, candidate.deployment, candidate.digest
    )


def _of_architecture(
    name: str, architecture: AnyArchitecture, problem: Problem, how: Deployment, candidate: str = ""
) -> TorchSubject:
    check_architecture(architecture)
    return TorchSubject(
        name, architecture.digest, problem, how, lambda problem: build_network(architecture, problem), candidate
    )


def _with_resolution(how: Deployment, problem: Problem) -> Deployment:
    return how if how.resolution else how.model_copy(update={"resolution": problem.resolution})
