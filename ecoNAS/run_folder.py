"""A run folder: where each thing that a run leaves behind lies, and how it is written so that no death corrupts it.

Files are written beside their place and renamed. One driver at a time owns a folder, through a lock that dies with it.
What the files say is decided by `records` and `events`; how they are read together by `analysis.run`.
"""

import fcntl
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TextIO, TypeVar

from pydantic import ValidationError

from ecoNAS.errors import RunFolderError, why_not_written
from ecoNAS.event_log import EventLog
from ecoNAS.frozen import Frozen
from ecoNAS.records import EnergyProfile, Evaluation, ReadyModel, now
from ecoNAS.validation import in_one_line

RecordT = TypeVar("RecordT", bound=Frozen)
_WORDS: dict[type[Frozen], str] = {
    Evaluation: "an evaluation",
    ReadyModel: "a ready model",
    EnergyProfile: "an energy profile",
}
PACKAGES = ("econas", "optuna", "torch", "timm", "fvcore", "ray", "nvidia-ml-py", "numpy", "scikit-learn")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of one run."""

    path: Path

    @property
    def experiment(self) -> Path:
        """The experiment, resolved, exactly as run."""
        return self.path / "experiment.yaml"

    @property
    def search_space(self) -> Path:
        """The search space, exactly as run."""
        return self.path / "search_space.yaml"

    @property
    def environment(self) -> Path:
        """Versions, machine, commit, seed."""
        return self.path / "environment.json"

    @property
    def split(self) -> Path:
        """Which images were for training, validation and test."""
        return self.path / "split.json"

    @property
    def data(self) -> Path:
        """What the images are: classes and normalisation."""
        return self.path / "data.json"

    @property
    def study(self) -> Path:
        """The Optuna storage."""
        return self.path / "study.db"

    @property
    def events(self) -> EventLog:
        """Everything that happened."""
        return EventLog(self.path / "events.jsonl")

    @property
    def front_table(self) -> Path:
        """The front as CSV."""
        return self.path / "front.csv"

    @property
    def report(self) -> Path:
        """The browser report."""
        return self.path / "report.html"

    def write_baseline(self, profile: EnergyProfile) -> None:
        """Write what was measured of the baseline, for sessions to come."""
        write_atomically(self.path / "baseline.json", profile.model_dump_json(indent=1).encode())

    def baseline(self) -> EnergyProfile | None:
        """Return what was measured of the baseline; None where nothing had to be."""
        path = self.path / "baseline.json"
        return _read(path, EnergyProfile) if path.exists() else None

    @property
    def checkpoints(self) -> Path:
        """Where paused trainings wait, a folder each."""
        return self.path / "checkpoints"

    def weights(self, digest: str) -> Path:
        """The weights of a candidate."""
        return self.path / "weights" / f"{digest}.safetensors"

    def log(self, trial: int) -> Path:
        """What went wrong with a trial, with the traceback."""
        return self.path / "logs" / f"{trial}.log"

    def create(self) -> None:
        """Make the folder and its parts."""
        try:
            for part in ("evaluations", "weights", "logs"):
                (self.path / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"run folder {self.path} cannot be made: {error.strerror}") from None

    def check(self) -> None:
        """Raise RunFolderError unless this is a run folder."""
        if not self.path.is_dir():
            raise RunFolderError(f"{self.path}: no such run folder; `econas search` makes one and prints its name")
        if not self.experiment.exists() or not self.events.path.exists():
            raise RunFolderError(f"{self.path} is not a run folder: it holds no experiment.yaml and events.jsonl")

    def write_evaluation(self, evaluation: Evaluation) -> None:
        """Write the record of one candidate, whole or not at all."""
        write_atomically(self._evaluation(evaluation.digest), evaluation.model_dump_json(indent=1).encode())

    def evaluation(self, digest: str) -> Evaluation | None:
        """Return the record of a candidate, or None."""
        path = self._evaluation(digest)
        return _read(path, Evaluation) if path.exists() else None

    def digests(self) -> list[str]:
        """Return the digests of all candidates that have a record."""
        return sorted(path.stem for path in (self.path / "evaluations").glob("*.json"))

    def evaluations(self) -> dict[str, Evaluation]:
        """Return all records by digest."""
        return {digest: _read(self._evaluation(digest), Evaluation) for digest in self.digests()}

    def write_profiled(self, evaluation: Evaluation) -> None:
        """Write what was measured of a candidate before any training of it, whole or not at all."""
        folder = self.path / "profiles"
        folder.mkdir(exist_ok=True)
        write_atomically(folder / f"{evaluation.digest}.json", evaluation.model_dump_json(indent=1).encode())

    def profiled(self) -> dict[str, Evaluation]:
        """Return what was measured of candidates before any training of them, by digest."""
        return {path.stem: _read(path, Evaluation) for path in sorted((self.path / "profiles").glob("*.json"))}

    def write_ready_model(self, model: ReadyModel) -> None:
        """Write the record of a ready model, whole or not at all."""
        folder = self.path / "baselines"
        folder.mkdir(exist_ok=True)
        write_atomically(folder / f"{model.name}.json", model.model_dump_json(indent=1).encode())

    def ready_models(self) -> tuple[ReadyModel, ...]:
        """Return the records of all ready models that were evaluated, by name."""
        return tuple(_read(path, ReadyModel) for path in sorted((self.path / "baselines").glob("*.json")))

    def elsewhere(self, device: str) -> Path:
        """The records of candidates that were measured on another device."""
        return self.path / "elsewhere" / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', device)}.json"

    @property
    def is_in_use(self) -> bool:
        """Whether a driver owns the folder at this moment."""
        try:
            with (self.path / "run.lock").open("r") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # no lock file: nobody ever owned it
            return False
        return False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Own the folder as its only driver until the block ends or the process dies.

        Raises:
            RunFolderError: if another process owns it.
        """
        with self._lock():
            yield

    def _lock(self) -> TextIO:
        """Return the lock file, locked; closing it, or the end of the process, gives the lock back."""
        path = self.path / "run.lock"
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise RunFolderError(f"{path} cannot be opened: {error.strerror}; check --run-dir") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise RunFolderError(
                f"run folder {self.path} is in use by process {owner}; wait for it, or give another --run-dir"
            ) from None
        except OSError as error:
            file.close()
            raise RunFolderError(
                f"{path} cannot be locked: {error.strerror}; use a --run-dir on a local disk"
            ) from None
        with suppress(OSError):  # on a full disk the lock holds all the same; only its owner goes unnamed
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), str(os.getpid()).encode())
        return file

    def _evaluation(self, digest: str) -> Path:
        return self.path / "evaluations" / f"{digest}.json"


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` so that a reader sees the old file or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written: {why_not_written(error)}") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_record(path: Path, record: type[RecordT], what: str) -> RecordT:
    """Read a record from a JSON file.

    Args:
        path: Of the file.
        record: Its type.
        what: For people: `an evaluation`.

    Raises:
        RunFolderError: if it cannot be read, or is no such record of this version.
    """
    try:
        return record.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise RunFolderError(
            f"{path}: not {what} of this version: {in_one_line(error, record)}; restore it, or delete it"
        ) from None


def describe_environment(seed: int) -> str:
    """Return versions, machine, commit and seed of this process as JSON."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    facts = {
        "version": 1,
        "time": now().isoformat(),
        "seed": seed,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cpus": os.cpu_count(),
        "packages": versions,
        "git_commit": _git_commit(),
    }
    return json.dumps(facts, indent=2) + "\n"


def _read(path: Path, record: type[RecordT]) -> RecordT:
    return read_record(path, record, _WORDS[record])


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git_commit() -> str | None:
    here = Path(__file__).parent
    try:
        result = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
