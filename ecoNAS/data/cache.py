"""Decoded images on disk: written once, and mapped into memory by every process, so that all workers share them.

Small sets stay in memory, since decoding them takes no longer than starting. A large one lies below the cache folder
under the digest of its pixels and labels, and beside it records by which it is found again: by the state of its source
files, for the next search, and by that digest, for workers. What lies there is whole: it is written beside its place
and renamed. The folder may be deleted at any time.
"""

import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final
from uuid import uuid4

import numpy as np
import PIL
from pydantic import ValidationError

from ecoNAS.config import DataConfig
from ecoNAS.data.decoding import Decoded, DecodedRecord, Store
from ecoNAS.data.images import ImageSplit, Ints, Pixels
from ecoNAS.errors import DataError

logger = logging.getLogger(__name__)

CACHE_VERSION: Final = 1
VARIABLE: Final = "ECONAS_CACHE"
SMALL_BYTES: Final = 16 * 1024**2  # 5,000 photographs of 32 pixels are decoded in a second
TEMPORARY: Final = ".econas-decoding-"  # what is half written; the folder may hold other people's files, too
ABANDONED_S: Final = 24 * 3600.0  # after so long, what a process that died left half written is removed

_NOT_IN_KEY: Final = {"cache", "download"}  # where decoded images lie and whether files are fetched changes no pixel


class DecodedCache:
    """The cache as one data set sees it."""

    def __init__(self, config: DataConfig) -> None:
        self._config = config
        self.root = cache_root(config)

    def find(self, mark: str) -> Decoded | None:
        """Return the images that were kept under a mark of theirs; None where none are, or not all of them.

        Args:
            mark: The state of the source files, or the fingerprint.
        """
        try:
            record = DecodedRecord.model_validate_json(self._record(mark).read_bytes())
            folder = self.root / record.fingerprint
            train = _read_split(folder, "train", record.shape)
            validation = _read_split(folder, "validation", record.shape)
        except (OSError, ValueError, ValidationError):  # not there, of another version, or torn by a power cut
            return None
        return Decoded(record, train, validation)

    @contextmanager
    def making(self, mark: str) -> Iterator[None]:
        """Let one process at a time decode what has this mark; the others wait, and find it afterwards.

        Raises:
            DataError: if the cache folder cannot be written.
        """
        with self._refused():
            self.root.mkdir(parents=True, exist_ok=True)
            file = self._record(mark).with_suffix(".lock").open("w")
        with file:
            with suppress(OSError):  # a file system without locks: two may decode, and the first to end is kept
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def keep(self, mark: str, num_bytes: int, decode: Callable[[Store], Decoded]) -> Decoded:
        """Keep what `decode` gives, and return it mapped into memory.

        Args:
            mark: The state of the source files; empty where that cannot be told.
            num_bytes: About what it will take.
            decode: Decodes into a store.

        Raises:
            DataError: if there is no room for it, or what `decode` raises.
        """
        folder = self.root / f"{TEMPORARY}{uuid4().hex}"
        with self._refused():
            self._tidy()
            free = shutil.disk_usage(self.root).free
            if free < num_bytes:
                raise DataError(
                    f"decoded images of {self._config.name} take about {_gb(num_bytes)} and {_gb(free)} are free in "
                    f"{self.root}; {_remedy()}"
                )
            folder.mkdir()
            try:
                decoded = decode(lambda name, chunks: _write_images(folder, name, chunks))
                record = decoded.record
                for name, split in (("train", decoded.train), ("validation", decoded.validation)):
                    _write_labels(folder / f"{name}_labels.npy", split.labels)
                self._publish(folder, record)
                for name in {mark, record.fingerprint} - {""}:
                    _write(self._record(name), record.model_dump_json().encode())
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        logger.info("decoded images of %s: %s in %s", self._config.name, _gb(num_bytes), self.root)
        found = self.find(record.fingerprint)
        if found is None:
            raise DataError(f"decoded images in {self.root} vanished as they were written; {_remedy()}")
        return found

    def _record(self, mark: str) -> Path:
        """Return where the record with a mark lies: pixels depend on files, on how they are read, and on who reads."""
        config = self._config.model_dump(mode="json", exclude=_NOT_IN_KEY)
        text = json.dumps([CACHE_VERSION, PIL.__version__, config, mark], sort_keys=True)
        return self.root / f"{sha256(text.encode()).hexdigest()}.json"

    def _publish(self, folder: Path, record: DecodedRecord) -> None:
        place = self.root / record.fingerprint
        with suppress(OSError, ValueError):
            for name in ("train", "validation"):
                _read_split(place, name, record.shape)
            return  # equal pixels from other files, or from a process that was faster
        shutil.rmtree(place, ignore_errors=True)
        folder.rename(place)

    def _tidy(self) -> None:
        for path in self.root.glob(f"{TEMPORARY}*"):
            with suppress(OSError):
                if path.is_dir() and time.time() - path.stat().st_mtime > ABANDONED_S:
                    shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataError(f"decoded images cannot be written to {self.root}: {reason}; {_remedy()}") from None


def cache_root(config: DataConfig) -> Path:
    """Return the folder of decoded images: `data.cache`, else ECONAS_CACHE, else the user's cache folder."""
    given = config.cache or os.environ.get(VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "econas"


def _read_split(folder: Path, name: str, shape: tuple[int, int, int]) -> ImageSplit:
    """Return a split with its images mapped into memory, and shared with every process that maps them.

    Raises:
        OSError: if a file is missing.
        ValueError: if it is of another size than labels and shape say, or a power cut tore the labels.
    """
    try:
        labels = np.load(folder / f"{name}_labels.npy")
    except EOFError:
        raise ValueError(f"{folder / name}_labels.npy is empty") from None
    path, whole = folder / f"{name}.u8", (len(labels), *shape)
    if path.stat().st_size != np.prod(whole, dtype=np.int64):
        raise ValueError(f"{path} is not of shape {whole}")
    return ImageSplit(_map(path, whole), labels)


def _write_images(folder: Path, name: str, chunks: Iterable[Pixels]) -> Pixels:
    """Write images chunk by chunk, and return them mapped into memory; grey ones become colour where some are.

    They are written and never mapped while they are: on a full disk, writing to a map kills the process.
    """
    path, num_images, shape = folder / f"{name}.u8", 0, (0, 0, 0)
    file = path.open("wb")
    try:
        for chunk in chunks:
            if shape[2] == 1 and chunk.shape[3] == 3:
                file.close()
                _colour(path, (num_images, *shape))
                file = path.open("ab")
            shape = (chunk.shape[1], chunk.shape[2], max(shape[2], chunk.shape[3]))
            file.write(np.ascontiguousarray(np.broadcast_to(chunk, (len(chunk), *shape))).data)
            num_images += len(chunk)
        file.flush()
        os.fsync(file.fileno())  # before the folder gets its name: a power cut must not leave zeros behind
    finally:
        file.close()
    return _map(path, (num_images, *shape))


def _map(path: Path, shape: tuple[int, ...]) -> Pixels:
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r", shape=shape))


def _colour(path: Path, shape: tuple[int, ...]) -> None:
    """Write images of one channel anew with three."""
    coloured = path.with_suffix(".colour")
    grey = _map(path, shape)
    with coloured.open("wb") as file:
        for image in grey:
            file.write(np.repeat(image, 3, axis=2).data)
    coloured.replace(path)


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{TEMPORARY}{uuid4().hex}.json")
    temporary.write_bytes(content)
    temporary.replace(path)


def _write_labels(path: Path, labels: Ints) -> None:
    with path.open("wb") as file:
        np.save(file, labels)
        file.flush()
        os.fsync(file.fileno())


def _remedy() -> str:
    return f"free space, or set {VARIABLE} or data.cache to a folder on a disk that has it"


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB"
