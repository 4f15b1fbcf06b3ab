"""ecoNAS: energy-aware neural architecture search.

Searches hybrid convolution/attention networks for several objectives at once (accuracy, FLOPs, parameters, joules) and
hands back a Pareto front of architectures that can be deployed. The names below are the face of the package; those that
need torch are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from ecoNAS.analysis.run import Run, load_run
    from ecoNAS.architecture import (
        Architecture,
        Candidate,
        Deployment,
        Problem,
        ReadyArchitecture,
        load_architecture,
    )
    from ecoNAS.config import ExperimentConfig
    from ecoNAS.errors import EcoNASError
    from ecoNAS.experiment.prepare import prepare
    from ecoNAS.experiment.run import run_search
    from ecoNAS.models.network import build_network
    from ecoNAS.space.search_space import SearchSpace

__all__ = [
    "Architecture",
    "Candidate",
    "Deployment",
    "EcoNASError",
    "ExperimentConfig",
    "Problem",
    "ReadyArchitecture",
    "Run",
    "SearchSpace",
    "build_network",
    "load_architecture",
    "load_run",
    "prepare",
    "run_search",
]

_HOMES = {
    "Architecture": "ecoNAS.architecture",
    "Candidate": "ecoNAS.architecture",
    "Deployment": "ecoNAS.architecture",
    "EcoNASError": "ecoNAS.errors",
    "ExperimentConfig": "ecoNAS.config",
    "Problem": "ecoNAS.architecture",
    "ReadyArchitecture": "ecoNAS.architecture",
    "Run": "ecoNAS.analysis.run",
    "SearchSpace": "ecoNAS.space.search_space",
    "build_network": "ecoNAS.models.network",
    "load_architecture": "ecoNAS.architecture",
    "load_run": "ecoNAS.analysis.run",
    "prepare": "ecoNAS.experiment.prepare",
    "run_search": "ecoNAS.experiment.run",
}


def __getattr__(name: str) -> Any:  # Any: the face holds classes and functions
    if name == "__version__":
        from importlib import metadata  # noqa: PLC0415  slow to import, and seldom asked for

        return metadata.version("econas")
    if name not in _HOMES:
        raise AttributeError(f"module 'ecoNAS' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
