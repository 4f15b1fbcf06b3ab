"""Cheaper epochs: what they take, and that what is left out is really left out."""

from dataclasses import replace

from torch import Tensor, nn

from ecoNAS.config import DataConfig
from ecoNAS.data.datasets import load_data
from ecoNAS.recipe import EarlyConfig, FreezeConfig, TrainingConfig
from ecoNAS.training.epochs import images_of, plan_epochs
from ecoNAS.training.seeding import seeded
from ecoNAS.training.trainer import EpochResult, train

DATA = load_data(DataConfig(name="digits"))
UPDATES = len(DATA.train) // 64


class Watching(nn.Module):
    """A small network that notes the sizes of what it is given while it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
        self.sizes: list[int] = []

    def forward(self, x_bchw: Tensor) -> Tensor:
        if self.training:
            self.sizes.append(x_bchw.shape[-1])
        return self.head(self.body(self.stem(x_bchw)))


def run(recipe: TrainingConfig) -> tuple[Watching, list[EpochResult]]:
    with seeded(0):
        network = Watching()
    return network, list(train(network, DATA, recipe, 1))


def test_early_epochs_see_fewer_and_smaller_images() -> None:
    recipe = TrainingConfig(epochs=4, early=EarlyConfig(until=0.5, data=0.5, resolution=0.5))
    network, epochs = run(recipe)
    assert network.sizes == [4] * (2 * (UPDATES // 2)) + [8] * (2 * UPDATES)
    assert epochs[-1].images_seen == 64 * (2 * (UPDATES // 2) + 2 * UPDATES)
    trained, validated = images_of(recipe, DATA)
    assert trained == 64 * (2 * (UPDATES // 2) / 4 + 2 * UPDATES)
    assert validated == 4 * len(DATA.validation)
    assert images_of(recipe, DATA, 2)[0] == 64 * 2 * UPDATES
    assert images_of(TrainingConfig(epochs=4), DATA)[0] == 64 * 4 * UPDATES


def test_frozen_parts_stay_as_they_are_and_the_others_go_on() -> None:
    recipe = TrainingConfig(epochs=4, freeze=FreezeConfig(after=0.5, parts=1))
    states = []
    with seeded(0):
        network = Watching()
    for _ in train(network, DATA, recipe, 1):
        states.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
    for name, tensor in states[3].items():
        if "num_batches" not in name:
            assert tensor.equal(states[1][name]) == name.startswith("stem"), name


def test_looking_seldom_changes_no_weight_and_no_key() -> None:
    often, late = TrainingConfig(epochs=4), TrainingConfig(epochs=4, validation="late")
    (one, _), (other, epochs) = run(often), run(late)
    assert [epoch.accuracy is None for epoch in epochs] == [True, True, True, False]
    assert all(tensor.equal(other.state_dict()[name]) for name, tensor in one.state_dict().items())
    assert often.digest == late.digest
    assert often.digest != TrainingConfig(epochs=4, early=EarlyConfig()).digest


def test_a_pause_and_a_rung_are_always_looked_at() -> None:
    recipe = TrainingConfig(epochs=9, validation="late", restarts=(3,))
    plans = plan_epochs(recipe, 10, 8, until=5)
    assert [place for place, plan in enumerate(plans, start=1) if plan.is_validated] == [3, 5, 7, 8, 9]


def test_a_recipe_with_all_of_it_still_learns() -> None:
    recipe = TrainingConfig(
        epochs=6, early=EarlyConfig(data=0.7, resolution=0.75), freeze=FreezeConfig(parts=1), validation="late"
    )
    _, epochs = run(recipe)
    assert epochs[-1].accuracy is not None
    assert epochs[-1].accuracy.value > 0.4


def test_a_data_set_of_one_batch_is_trained_on_in_early_epochs_too() -> None:
    few = replace(DATA, train=replace(DATA.train, images=DATA.train.images[:40], labels=DATA.train.labels[:40]))
    with seeded(0):
        network = Watching()
    epochs = list(train(network, few, TrainingConfig(epochs=2, early=EarlyConfig(data=0.1)), 1))
    assert epochs[-1].images_seen == 80
