import pytest
import torch
from torch import nn

from ecoNAS.recipe import TrainingConfig
from ecoNAS.training.optim import build_optimizer, build_schedule


def learning_rates(recipe: TrainingConfig, updates_per_epoch: int) -> list[float]:
    """Return the rate of each update, and that after the last."""
    optimizer = build_optimizer(nn.Linear(2, 2), recipe)
    schedule = build_schedule(optimizer, recipe, updates_per_epoch)
    rates = [optimizer.param_groups[0]["lr"]]
    for update in range(1, recipe.epochs * updates_per_epoch + 1):
        schedule.step_update(update)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def test_biases_and_norms_are_not_decayed() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LayerNorm(4), nn.Linear(4, 2))

    optimizer = build_optimizer(network, TrainingConfig(weight_decay=0.3))

    decay = {id(weight): group["weight_decay"] for group in optimizer.param_groups for weight in group["params"]}
    found = {name: decay.pop(id(weight)) for name, weight in network.named_parameters()}
    assert not decay
    assert {name for name, value in found.items() if value == 0.3} == {"0.weight", "4.weight"}
    assert {value for name, value in found.items() if name not in {"0.weight", "4.weight"}} == {0.0}


def test_the_rate_climbs_to_its_top_within_the_warm_up_and_falls_to_zero() -> None:
    rates = learning_rates(TrainingConfig(epochs=4, lr=0.8, warmup_epochs=1), updates_per_epoch=4)

    assert rates[:5] == pytest.approx([0.2, 0.35, 0.5, 0.65, 0.8])  # a straight line from lr / 4
    # Half a cosine over the 12 updates that are left: cos(pi / 3) = 1/2, cos(pi / 2) = 0, cos(2 pi / 3) = -1/2.
    assert [rates[8], rates[10], rates[12]] == pytest.approx([0.6, 0.4, 0.2])
    assert rates[16] == pytest.approx(0.0, abs=1e-12)


def test_a_recipe_without_warm_up_starts_at_the_top() -> None:
    assert learning_rates(TrainingConfig(epochs=2, lr=0.5, warmup_epochs=0), updates_per_epoch=4)[0] == 0.5


def test_a_recipe_of_one_epoch_still_leaves_its_warm_up() -> None:
    rates = learning_rates(TrainingConfig(epochs=1, lr=1.0, warmup_epochs=5), updates_per_epoch=10)

    assert max(rates) == rates[3] == pytest.approx(1.0)


@pytest.mark.parametrize("warmup", [0, 1, 3])
def test_a_training_of_a_single_update_has_a_rate(warmup: int) -> None:
    rates = learning_rates(TrainingConfig(epochs=1, lr=1.0, warmup_epochs=warmup), updates_per_epoch=1)

    assert rates[0] == 1.0


def test_weights_that_are_frozen_are_left_out() -> None:
    network = nn.Linear(2, 2)
    network.weight.requires_grad_(False)

    optimizer = build_optimizer(network, TrainingConfig())

    assert [len(group["params"]) for group in optimizer.param_groups] == [1]
    assert torch.equal(optimizer.param_groups[0]["params"][0], network.bias)
