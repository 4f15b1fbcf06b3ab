"""The trained network that another learns from: a ready timm model with weights, or a network of ours."""

from pathlib import Path

from torch import nn

from ecoNAS.architecture import AnyArchitecture, Problem
from ecoNAS.errors import RunFolderError
from ecoNAS.frozen import Frozen
from ecoNAS.models.baseline import build_baseline
from ecoNAS.models.network import build_network
from ecoNAS.training.start import read_weights


class Teacher(Frozen):
    """Which network it is.

    Attributes:
        network: The name of a timm model, or an architecture.
        weights: The file of its weights.
    """

    network: str | AnyArchitecture
    weights: Path

    def build(self, problem: Problem) -> nn.Module:
        """Return it with its weights, in evaluation mode.

        Raises:
            RunFolderError: if the weights are missing or belong to another network, or to other classes.
        """
        name = self.network if isinstance(self.network, str) else "architecture"
        network = (
            build_baseline(self.network, problem)
            if isinstance(self.network, str)
            else build_network(self.network, problem)
        )
        try:
            network.load_state_dict(read_weights(self.weights))
        except RuntimeError as error:
            reason = " ".join(str(error).split()[:30])
            raise RunFolderError(
                f"{self.weights} are no weights of teacher {name} for these classes: {reason}"
            ) from None
        return network.eval().requires_grad_(requires_grad=False)
