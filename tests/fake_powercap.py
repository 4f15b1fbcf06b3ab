"""A powercap tree of real files whose counters are known: the truth that tests of RAPL are held against.

As a program it drives a tree in real time, for tests with real workers, which cannot share a virtual clock:
`python tests/fake_powercap.py ROOT --power-w 40`.
"""

import argparse
import os
import time
from collections.abc import Mapping
from pathlib import Path

INTEL_RANGE_UJ = 262_143_328_850

FULL = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram"}


class FakePowercap:
    """The tree below `root/sys/class/powercap`.

    Args:
        root: Where `sys`, `proc` and `etc` are made.
        domains: Name by folder, such as {"intel-rapl:0": "package-0", "intel-rapl:0:1": "dram"}.
        start_uj: Where all registers stand.
        range_uj: Where they wrap.
    """

    def __init__(
        self, root: Path, domains: Mapping[str, str] = FULL, start_uj: int = 1_000_000, range_uj: int = INTEL_RANGE_UJ
    ) -> None:
        self.root, self.range_uj = root, range_uj
        self._exact_uj = {folder: float(start_uj) for folder in domains}
        for folder, name in domains.items():
            path = self.folder(folder)
            path.mkdir(parents=True, exist_ok=True)
            (path / "name").write_text(f"{name}\n")
            (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
            self._write(folder)
        for file, text in {
            "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
            "proc/cpuinfo": "processor\t: 0\nmodel name\t: Fake CPU\n",
        }.items():
            (root / file).parent.mkdir(exist_ok=True)
            (root / file).write_text(text)

    def folder(self, name: str) -> Path:
        return self.root / "sys/class/powercap" / name

    def add(self, joules: Mapping[str, float] | float) -> None:
        """Let the registers count; one number is for all of them."""
        for folder in self._exact_uj:
            gained_j = joules if isinstance(joules, int | float) else joules.get(folder, 0.0)
            self._exact_uj[folder] += gained_j * 1e6
            self._write(folder)

    def set(self, folder: str, raw_uj: int) -> None:
        """Let a register show something, as a reset does."""
        self._exact_uj[folder] = float(raw_uj)
        self._write(folder)

    def _write(self, folder: str) -> None:
        """Write a register in one call of fixed width, so that a reader never sees a part of it."""
        raw_uj = int(self._exact_uj[folder]) % (self.range_uj + 1)
        file = os.open(self.folder(folder) / "energy_uj", os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(file, f"{raw_uj:020d}\n".encode(), 0)
        finally:
            os.close(file)


def drive(tree: FakePowercap, power_w: float, period_s: float) -> None:
    """Count `power_w` by real time until killed; a file `power_w` in the root changes it."""
    last_s, changed = time.perf_counter(), tree.root / "power_w"
    while True:
        time.sleep(period_s)
        now_s = time.perf_counter()
        tree.add((float(changed.read_text()) if changed.exists() else power_w) * (now_s - last_s))
        last_s = now_s


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--power-w", type=float, default=40.0)
    parser.add_argument("--period-s", type=float, default=0.002)
    arguments = parser.parse_args()
    tree = FakePowercap(arguments.root, {"intel-rapl:0": "package-0"})
    print("ready", flush=True)
    drive(tree, arguments.power_w, arguments.period_s)
