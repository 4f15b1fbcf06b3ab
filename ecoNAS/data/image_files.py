"""Named files in a folder or in a zip, behind one signature: list them, read one.

What the names mean is decided by `image_folder`.
"""

import os
import zipfile
import zlib
from pathlib import Path
from typing import Protocol

from ecoNAS.errors import DataError


class NamedFiles(Protocol):
    """Files below one root, named by their paths from it, with `/` between folders."""

    def names(self) -> list[str]:
        """Return all names, sorted; that of a folder ends in `/`."""
        ...

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            DataError: with the reason if it cannot be read.
        """
        ...


class FolderFiles:
    """The files below a folder; links are followed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        """Return all names, sorted."""
        found = []
        for folder, folders, files in os.walk(self._root, followlinks=True):
            inside = Path(folder).relative_to(self._root)
            found += [(inside / name).as_posix() + "/" for name in folders]
            found += [(inside / name).as_posix() for name in files]
        return sorted(found)

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        try:
            return (self._root / name).read_bytes()
        except OSError as error:
            raise DataError(error.strerror or str(error)) from None


class ZipFiles:
    """The members of a zip file, read in place."""

    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)  # closed with the last reference: opening it reads the whole index
        except (OSError, zipfile.BadZipFile):
            raise DataError(f"{path} is not a zip file; give a folder, or a zip of one") from None

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._archive.namelist())

    def read(self, name: str) -> bytes:
        """Return the content of a member; its checksum is verified on the way."""
        try:
            return self._archive.read(name)
        # RuntimeError: encrypted; NotImplementedError: a compression that Python does not know.
        except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(str(error)) from None


def open_files(path: Path) -> NamedFiles:
    """Return the files of a folder or of a zip; raises DataError if `path` is neither."""
    return FolderFiles(path) if path.is_dir() else ZipFiles(path)
