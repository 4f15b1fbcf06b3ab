"""Images per second of ecoNAS's training against hand-written PyTorch loops, on the same network, images and recipe.

    python experiments/benchmarks/training_speed.py [--data DIR] [--device cuda --precision bf16] [--repetitions 5]

Each way trains in a process of its own, in turns; figures are medians over the epochs after the first and over turns,
and hold training and validation. `loader` is what a tutorial shows: torchvision's transforms and a DataLoader, which
decodes each image each time. `tensor` has decoded images in one tensor and augments whole batches, as a careful author
would. Time on data is that before a batch is ready for the network; memory is the largest resident size of the process.
`DIR` holds cifar10_13k.zip.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import datasets, transforms

from ecoNAS.config import DataConfig
from ecoNAS.data.datasets import DataSet, load_data
from ecoNAS.models.network import build_network
from ecoNAS.recipe import TrainingConfig
from ecoNAS.space.search_space import SearchSpace
from ecoNAS.training import trainer
from ecoNAS.training.feed import Feed

ROOT = Path(__file__).resolve().parents[2]
SUBJECTS = {"digits": ("hybrid_tiny", ("ecoNAS", "loader", "tensor")),
            "image folder": ("mobile_hybrid", ("ecoNAS", "loader", "tensor"))}  # fmt: skip
Batches = Callable[[], Iterator[tuple[Tensor, Tensor]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("ECONAS_DATA", "data")))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--work", nargs=2, metavar=("SUBJECT", "WAY"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        print(json.dumps(work(*arguments.work, arguments)))
        return
    with tempfile.TemporaryDirectory() as name:
        subjects = dict(SUBJECTS)
        try:
            zipfile.ZipFile(arguments.data / "cifar10_13k.zip").extractall(name)
        except FileNotFoundError:
            print(f"{arguments.data}/cifar10_13k.zip is not there: digits alone")
            del subjects["image folder"]
        for subject, (space, ways) in subjects.items():
            found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
            for turn in range(arguments.repetitions):
                for way in ways if turn % 2 else reversed(ways):  # drifts of the machine touch all alike
                    found[way].append(measure(subject, way, arguments, Path(name)))
            show(f"{subject}, a network of {space}", found)


def measure(subject: str, way: str, arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    options = ["--device", arguments.device, "--precision", arguments.precision, "--folder", str(folder)]
    command = [sys.executable, __file__, "--work", subject, way, *options]
    said: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return said


def show(title: str, found: dict[str, list[dict[str, float]]]) -> None:
    print(title)
    ours = [one["images_per_s"] for one in found["ecoNAS"]]
    for way, results in found.items():
        rates = [one["images_per_s"] for one in results]
        ratios = sorted(mine / its for mine, its in zip(ours, rates, strict=True))
        middle = {name: statistics.median(one[name] for one in results) for name in results[0]}
        line = f"  {way:8} {middle['images_per_s']:8.0f} images/s, {middle['memory_mb']:5.0f} MB"
        if way == "ecoNAS":
            line += f", {middle['data']:.1%} of the time on data"
        else:
            line += f"; ecoNAS trains {statistics.median(ratios):.2f}x as fast ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"{line}; validation accuracy {middle['accuracy']:.3f}", flush=True)


def work(subject: str, way: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Train one network in one way in this process; return images per second, and what it took."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = (
        DataConfig(name="digits")
        if subject == "digits"
        else DataConfig(name="image_folder", path=arguments.folder / "cifar10_13k", cache=arguments.folder / "cache")
    )
    data = load_data(config)
    space = SearchSpace.from_yaml(ROOT / "search_spaces" / f"{SUBJECTS[subject][0]}.yaml")
    network = build_network(space.random(np.random.default_rng(3)).architecture, data.problem())
    recipe = TrainingConfig(epochs=10 if subject == "digits" else 4, precision=arguments.precision)
    if way == "ecoNAS":
        result = by_us(network, data, recipe, arguments.device)
    elif way == "loader":
        folder = None if subject == "digits" else arguments.folder / "cifar10_13k" / "train"
        result = by_hand(network, data, recipe, arguments.device, loader_batches(data, recipe.batch_size, folder))
    else:
        batches = tensor_batches(data, recipe.batch_size, mirrors=subject != "digits")
        result = by_hand(network, data, recipe, arguments.device, batches)
    return {**result, "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def by_us(network: nn.Module, data: DataSet, recipe: TrainingConfig, device: str) -> dict[str, float]:
    spent = {"data": 0.0}

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                spent["data"] += time.perf_counter() - started

        return call

    Feed.take = timed(Feed.take)  # type: ignore[method-assign]
    trainer.augment = timed(trainer.augment)  # type: ignore[attr-defined]
    seconds, accuracy, on_data = [], 0.0, 0.0
    for result in trainer.train(network, data, recipe, 0, device):
        seconds.append(result.record.duration_s)
        accuracy = result.record.validation_accuracy or 0.0
        on_data, spent["data"] = on_data + (spent["data"] if len(seconds) > 1 else 0.0), 0.0
    share = on_data / sum(seconds[1:])
    return {"images_per_s": len(data.train) / statistics.median(seconds[1:]), "accuracy": accuracy, "data": share}


def by_hand(
    network: nn.Module, data: DataSet, recipe: TrainingConfig, device: str, batches: Batches
) -> dict[str, float]:
    """The loop that one writes by hand: AdamW, a cosine after a warm-up, label smoothing, validation each epoch."""
    network = network.to(device)
    mean, std = (torch.tensor(one).view(1, -1, 1, 1) for one in (data.normalisation.mean, data.normalisation.std))
    held_x = ((torch.tensor(data.validation.images).permute(0, 3, 1, 2) / 255 - mean) / std).to(device)
    held_y = torch.tensor(data.validation.labels)
    updates = len(data.train) // recipe.batch_size
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, 1e-3, total_iters=updates)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates * (recipe.epochs - 1))
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm_up, cosine], [updates])
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    seconds, accuracy = [], 0.0
    for _ in range(recipe.epochs):
        started = time.perf_counter()
        network.train()
        for x_bchw, labels_b in batches():
            optimizer.zero_grad()
            with torch.autocast(device, torch.bfloat16, enabled=recipe.precision == "bf16"):
                loss = criterion(network(x_bchw.to(device)), labels_b.to(device))
            loss.backward()
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.inference_mode():
            answers = torch.cat([network(part).argmax(1).cpu() for part in held_x.split(4 * recipe.batch_size)])
        accuracy = float((answers == held_y).float().mean())
        seconds.append(time.perf_counter() - started)
    return {"images_per_s": len(data.train) / statistics.median(seconds[1:]), "accuracy": accuracy}


def loader_batches(data: DataSet, batch: int, folder: Path | None) -> Batches:
    """Batches as tutorials make them: one image at a time."""
    normalise = transforms.Normalize(data.normalisation.mean, data.normalisation.std)
    dataset: Any
    if folder is None:
        images_bchw = torch.tensor(data.train.images).permute(0, 3, 1, 2)
        change = transforms.Compose([transforms.RandomCrop(8, padding=1, padding_mode="edge"), normalise])
        dataset = TensorDataset(images_bchw / 255, torch.tensor(data.train.labels))

        def collate(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
            return torch.stack([change(image) for image, _ in items]), torch.stack([label for _, label in items])

        loader = DataLoader(dataset, batch, shuffle=True, drop_last=True, collate_fn=collate)
    else:
        steps = [transforms.RandomCrop(32, padding=4, padding_mode="edge"), transforms.RandomHorizontalFlip()]
        change = transforms.Compose([*steps, transforms.ToTensor(), normalise])
        whole = datasets.ImageFolder(str(folder), transform=change)
        chosen = torch.randperm(len(whole))[: len(data.train)]  # as many as ours; which ones does not touch the speed
        dataset = torch.utils.data.Subset(whole, chosen.tolist())
        loader = DataLoader(dataset, batch, shuffle=True, drop_last=True)
    return lambda: iter(loader)


def tensor_batches(data: DataSet, batch: int, *, mirrors: bool) -> Batches:
    """Batches from one tensor, augmented as a whole: one shift and one mirroring a batch."""
    mean, std = (torch.tensor(one).view(1, -1, 1, 1) for one in (data.normalisation.mean, data.normalisation.std))
    images_nchw = ((torch.tensor(data.train.images).permute(0, 3, 1, 2) / 255 - mean) / std).contiguous()
    labels_n, reach = torch.tensor(data.train.labels), max(1, images_nchw.shape[-1] // 8)

    def give() -> Iterator[tuple[Tensor, Tensor]]:
        order_n = torch.randperm(len(images_nchw))
        for start in range(0, len(order_n) - batch + 1, batch):
            indices_b = order_n[start : start + batch]
            shifts = torch.randint(-reach, reach + 1, (2,)).tolist()
            x_bchw = torch.roll(images_nchw[indices_b], shifts, (2, 3))
            if mirrors and torch.rand(()) < 0.5:
                x_bchw = x_bchw.flip(3)
            yield x_bchw, labels_n[indices_b]

    return give


if __name__ == "__main__":
    main()
