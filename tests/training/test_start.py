"""Weights of a file go where name and shape fit, and nowhere else."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ecoNAS.errors import RunFolderError
from ecoNAS.training.start import fill_from


def network(classes: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.Linear(8, classes))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_what_fits_is_copied_and_the_rest_stays(tmp_path: Path, suffix: str) -> None:
    theirs, ours, path = network(3), network(5), tmp_path / f"w{suffix}"
    state = theirs.state_dict()
    save_file(state, path) if suffix == ".safetensors" else torch.save({"state_dict": state}, path)
    head = ours[1].weight.detach().clone()

    share = fill_from(ours, path)

    assert torch.equal(ours[0].weight, theirs[0].weight)
    assert torch.equal(ours[1].weight, head)
    assert share == pytest.approx((4 * 8 + 8) / (4 * 8 + 8 + 8 * 5 + 5))


class _Code:
    """What a pickle may hide."""


def test_a_file_that_could_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": _Code()}, tmp_path / "w.pth")
    with pytest.raises(RunFolderError, match=r"w.pth holds no weights that can be read safely") as caught:
        fill_from(network(3), tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"w.pth: no such file of weights"):
        fill_from(network(3), tmp_path / "w.pth")
