from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ecoNAS.errors import RunFolderError
from ecoNAS.training.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_weights


def network(width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width, 2))


def test_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    saved, loaded = network().to(memory_format=torch.channels_last), network()
    saved[1].running_mean.fill_(0.25)
    saved[1].num_batches_tracked.fill_(7)

    save_weights(saved, tmp_path / "w.safetensors")
    load_weights(loaded, tmp_path / "w.safetensors")

    for name, tensor in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_nothing_but_the_file_is_left_and_the_old_one_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(network(), path)
    second, loaded = network(), network()
    save_weights(second, path)

    load_weights(loaded, path)

    assert list(tmp_path.iterdir()) == [path]
    assert torch.equal(loaded[0].weight, second[0].weight)


def test_missing_weights_say_why_they_may_be_missing(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"w.safetensors: no such weights; .*keep_weights: front"):
        load_weights(network(), tmp_path / "w.safetensors")


@pytest.mark.parametrize("content", [b"", b"hello, this is no tensor file", b"\x80\x04\x95 pickled"])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)

    with pytest.raises(RunFolderError, match=r"w\.safetensors is not a safetensors file"):
        load_weights(network(), tmp_path / "w.safetensors")


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    save_weights(network(width=4), tmp_path / "w.safetensors")

    with pytest.raises(RunFolderError, match=r"w.safetensors does not fit this architecture: .*0.weight") as caught:
        load_weights(network(width=5), tmp_path / "w.safetensors")
    assert "\n" not in str(caught.value)


def test_weights_of_another_version_are_refused(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "w.safetensors")

    with pytest.raises(RunFolderError, match=r"w.safetensors holds weights of version None; this ecoNAS reads 1"):
        load_weights(network(), tmp_path / "w.safetensors")


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    path, first, other = tmp_path / "1.safetensors", network(), network(8)
    save_checkpoint(first, torch.optim.AdamW(first.parameters()), None, path)
    with pytest.raises(RunFolderError, match="does not fit this architecture"):
        load_checkpoint(other, torch.optim.AdamW(other.parameters()), None, path)
