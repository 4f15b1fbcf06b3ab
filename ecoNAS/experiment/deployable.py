"""Whether every deployment that a study may choose can be had here, said before a search rather than during it.

A deployment is fixed by the experiment or decided by the space; what runs it is `evaluation.runners`' affair.
"""

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Final

from ecoNAS.architecture import Problem
from ecoNAS.config import ExperimentConfig, available_cpus
from ecoNAS.errors import ConfigError
from ecoNAS.space.protocol import Value
from ecoNAS.space.search_space import SearchSpace

LEAST_RESOLUTION: Final = 4  # of `data.resolution`
COMPILERS: Final = ("g++", "clang++")  # that torch's inductor looks for


def check_deployments(config: ExperimentConfig, space: SearchSpace, problem: Problem, device: str) -> None:
    """Raise unless all ways in which a candidate may be deployed are possible on this machine.

    Args:
        config: Where the space does not decide, it does.
        space: With its deployment choices.
        problem: Its images are as large as the data has them.
        device: "cpu" or "cuda", where candidates run.

    Raises:
        ConfigError: naming the first deployment that is not possible, with the reason and the remedy.
    """
    for name, reason in _impossible(config, space, problem, device):
        raise _error(config, space, name, reason)


def resolutions(space: SearchSpace, problem: Problem) -> tuple[int, ...]:
    """Return the image sizes, in pixels, at which candidates may be trained and deployed."""
    decided = space.decisions.get("deployment.resolution", (problem.resolution,))
    return tuple(int(value) for value in decided)


def deployment_choices(config: ExperimentConfig, space: SearchSpace, name: str) -> tuple[Value, ...]:
    """Return what one field of a deployment may be: the choices of the space, or the experiment's value."""
    return space.decisions.get(f"deployment.{name}", (getattr(config.deployment, name),))


def _impossible(
    config: ExperimentConfig, space: SearchSpace, problem: Problem, device: str
) -> Iterator[tuple[str, str]]:
    """Yield the name of each field of a deployment that cannot be had, with the reason and the remedy."""
    chosen = {name: deployment_choices(config, space, name) for name in type(config.deployment).model_fields}
    if device == "cpu" and "fp16" in chosen["dtype"]:
        yield "dtype", "fp16 is made for GPUs, and this study runs on a CPU; choose fp32 or bf16"
    cpus, most = available_cpus(), max(int(threads) for threads in chosen["threads"])
    if most > cpus:
        yield "threads", f"{most} threads are more than the {cpus} CPUs that may be used here; choose at most {cpus}"
    if "compiled" in chosen["runtime"] and device == "cpu" and not has_compiler():
        yield "runtime", f"'compiled' needs a C++ compiler ({' or '.join(COMPILERS)}); install one, or choose eager"
    if "onnxruntime" in chosen["runtime"]:
        yield from _not_by_onnx(chosen)
    yield from _not_of_this_size(config, space, problem)


def _not_by_onnx(chosen: dict[str, tuple[Value, ...]]) -> Iterator[tuple[str, str]]:
    for package in ("onnxruntime", "onnxscript"):
        if find_spec(package) is None:
            yield "runtime", f"'onnxruntime' needs {package}: pip install 'econas[onnx]'"
    if "bf16" in chosen["dtype"]:
        yield "dtype", "ONNX Runtime has no bf16 on the CPU; leave out bf16, or the runtime onnxruntime"
    if "channels_last" in chosen["layout"]:
        yield "layout", "ONNX Runtime lays out its own memory; leave out channels_last, or the runtime onnxruntime"


def _not_of_this_size(config: ExperimentConfig, space: SearchSpace, problem: Problem) -> Iterator[tuple[str, str]]:
    if "deployment.resolution" not in space.decisions:
        if config.deployment.resolution not in (None, problem.resolution):
            yield (
                "resolution",
                f"networks of a search run at the resolution in which they are trained, not with resolution "
                f"{config.deployment.resolution}; leave it out, or set data.resolution",
            )
        return
    allowed = space.file.resolution
    for size in resolutions(space, problem):
        if size > problem.resolution:
            remedy = f"choose at most {problem.resolution}, or set data.resolution"
            yield "resolution", f"{size} pixels are more than the {problem.resolution} that the data has; {remedy}"
        least = max(allowed.min, LEAST_RESOLUTION)
        if not least <= size <= allowed.max:
            yield "resolution", f"{size} pixels are not within the {least} to {allowed.max} that the space is meant for"


def has_compiler() -> bool:
    """Return whether torch can compile for the CPU."""
    return any(shutil.which(name) is not None for name in (os.environ.get("CXX", ""), *COMPILERS) if name)


def _error(config: ExperimentConfig, space: SearchSpace, name: str, reason: str) -> ConfigError:
    if f"deployment.{name}" in space.decisions:
        return config.error(("search_space",), f"space '{space.file.name}': deployment.{name}: {reason}")
    return config.error(("deployment", name), reason)
