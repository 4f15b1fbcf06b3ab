"""What decoded images cost each worker in memory, shared from the cache and copied by each, and how fast batches are.

    python experiments/benchmarks/data_memory.py [--images 60000] [--resolution 32] [--workers 2]

Memory is the proportional set size (PSS, man 5 proc): a page that two processes share counts half for each. Linux only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from ecoNAS.config import DataConfig
from ecoNAS.data.datasets import load_data
from ecoNAS.training.feed import Feed

BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description="memory of workers that train on the same images")
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--work", nargs=2, metavar=("CONFIG", "WAY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(DataConfig.model_validate_json(arguments.work[0]), arguments.work[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        path, cache = Path(folder, "images.npz"), Path(folder, "cache")
        rng, shape = np.random.default_rng(0), (arguments.images, arguments.resolution, arguments.resolution, 3)
        np.savez(path, x_train=rng.integers(0, 256, shape, np.uint8), y_train=np.arange(arguments.images) % 10)
        config = DataConfig(name="npz", path=path, cache=cache)
        started = time.perf_counter()
        data = load_data(config)
        seconds, size = time.perf_counter() - started, data.train.images.nbytes
        print(f"decoded and kept in {seconds:.1f} s: {size / 1e6:.0f} MB to train on")
        results = {}
        for way in ("shared", "copied"):
            for count in sorted({1, arguments.workers}):
                results[way, count] = measure(config, way, count)
                pss, batch_s = results[way, count]
                print(f"{way}, {count} worker(s): {pss / 1e6:.0f} MB each, {batch_s * 1e6:.0f} us a batch")
        most = max(count for _, count in results)
        ratio = results["shared", most][0] / results["copied", most][0]
        print(f"shared / copied with {most}: {ratio:.2f} of the memory")


def measure(config: DataConfig, way: str, count: int) -> tuple[float, float]:
    """Return bytes for the images, and seconds a batch, as means over workers that are there at the same time."""
    command = [sys.executable, __file__, "--work", config.model_dump_json(), way]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    for worker in workers:  # each has gone through all images
        assert worker.stdout is not None
        worker.stdout.readline()
    said = [json.loads(worker.communicate("\n")[0]) for worker in workers]
    return float(np.mean([one["bytes"] for one in said])), float(np.mean([one["batch_s"] for one in said]))


def work(config: DataConfig, way: str) -> None:
    """Go through all images batch by batch; say what they take once the others have, too."""
    before = pss_bytes()
    data = load_data(config)
    if way == "shared":
        feed = Feed(data.train, "cpu")
        take = lambda indices: feed.take(indices)[0]  # noqa: E731
    else:
        decoded = np.array(data.train.images)  # as where each process decodes for itself
        images = torch.tensor(decoded)
        take = lambda indices: images[indices]  # noqa: E731
    order = torch.randperm(len(data.train))
    started = time.perf_counter()
    for start in range(0, len(order), BATCH):
        take(order[start : start + BATCH])
    batch_s = (time.perf_counter() - started) / (len(order) / BATCH)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps({"bytes": pss_bytes() - before, "batch_s": batch_s}))


def pss_bytes() -> int:
    """Return the proportional set size of this process."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise OSError("no Pss in /proc/self/smaps_rollup")


if __name__ == "__main__":
    main()
