"""A run folder: files that are whole or not there, and one driver at a time, whatever dies."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ecoNAS.errors import RunFolderError
from ecoNAS.events import RunEnded
from ecoNAS.records import Evaluation
from ecoNAS.run_folder import RunFolder, describe_environment, write_atomically

HOLDER = """
import sys, time
from pathlib import Path
from ecoNAS.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "runs" / "one")
    folder.create()
    return folder


@contextmanager
def held_by_another(folder: RunFolder) -> Iterator[subprocess.Popen[str]]:
    """Let another process own the folder."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder.path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        yield holder
    finally:
        holder.kill()
        holder.communicate(timeout=30)


def test_a_folder_held_by_another_process_is_refused_in_one_line(folder: RunFolder) -> None:
    with held_by_another(folder) as holder, pytest.raises(RunFolderError) as caught, folder.locked():
        pass

    assert str(caught.value) == (
        f"run folder {folder.path} is in use by process {holder.pid}; wait for it, or give another --run-dir"
    )


def test_the_lock_dies_with_its_holder(folder: RunFolder) -> None:
    with held_by_another(folder) as holder:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(30)

        with folder.locked():
            assert (folder.path / "run.lock").read_text() == str(os.getpid())


def test_the_lock_is_given_back_after_an_error(folder: RunFolder) -> None:
    with pytest.raises(ZeroDivisionError), folder.locked():
        raise ZeroDivisionError
    with folder.locked():
        pass


def test_a_folder_that_is_not_there_cannot_be_locked(tmp_path: Path) -> None:
    with (
        pytest.raises(RunFolderError, match=r"run\.lock cannot be opened: No such file or directory; check --run-dir$"),
        RunFolder(tmp_path / "nowhere").locked(),
    ):
        pass


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    old, new = b"a" * 300_000, b"b" * 300_000
    write_atomically(path, old)
    program = (
        "import sys; from pathlib import Path; from ecoNAS.run_folder import write_atomically\n"
        "for _ in range(100): write_atomically(Path(sys.argv[1]), b'b' * 300_000); "
        "write_atomically(Path(sys.argv[1]), b'a' * 300_000)"
    )
    writer = subprocess.Popen([sys.executable, "-c", program, str(path)])
    seen = set()
    while writer.poll() is None:
        seen.add(path.read_bytes())

    assert writer.returncode == 0
    assert seen <= {old, new}
    assert os.listdir(tmp_path) == ["file.bin"]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "No space left on device; free space and go on with --resume"),
        (errno.EACCES, "Permission denied"),
    ],
)
def test_a_write_that_fails_leaves_the_old_file_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    path = tmp_path / "file.json"
    write_atomically(path, b"old")

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RunFolderError) as caught:
        write_atomically(path, b"new")

    assert str(caught.value) == f"{path} cannot be written: {message}"
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.json"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk needs the right to mount; the injected error covers the same path")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_old_files_and_whole_events(
    small_disk: Path, make_evaluation: Callable[..., Evaluation]
) -> None:
    folder = RunFolder(small_disk)
    folder.create()
    evaluation = make_evaluation()
    folder.write_evaluation(evaluation)
    first = RunEnded(reason="trials")
    folder.events.append(first)

    with pytest.raises(RunFolderError, match="No space left on device; free space and go on with --resume"):
        write_atomically(folder.report, b"x" * 200_000)
    filler = small_disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        for _ in range(1000):
            file.write(b"x" * 512)
    with pytest.raises(RunFolderError, match="No space left on device; free space"):
        folder.events.append(RunEnded(reason="trials", detail="y" * 9000))
    with pytest.raises(RunFolderError, match="No space left on device; free space"):
        folder.write_evaluation(make_evaluation(reason="z" * 9000))

    assert folder.evaluations() == {evaluation.digest: evaluation}
    assert list(folder.events) == [first]
    filler.unlink()
    folder.events.append(first)
    assert list(folder.events) == [first, first]


def test_evaluations_come_back_by_digest(folder: RunFolder, make_evaluation: Callable[..., Evaluation]) -> None:
    evaluation = make_evaluation()
    folder.write_evaluation(evaluation)

    assert folder.evaluation(evaluation.digest) == evaluation
    assert folder.evaluations() == {evaluation.digest: evaluation}
    assert folder.evaluation("0" * 64) is None


def test_half_written_files_are_not_read_as_evaluations(folder: RunFolder) -> None:
    (folder.path / "evaluations" / ".abc.json.4711").write_text("{")

    assert folder.evaluations() == {}


def test_a_broken_evaluation_is_named_in_one_line(
    folder: RunFolder, make_evaluation: Callable[..., Evaluation]
) -> None:
    path = folder.path / "evaluations" / "abc.json"
    path.write_text(make_evaluation().model_dump_json().replace('"trial":7', '"trial":"seven"'))

    with pytest.raises(RunFolderError) as caught:
        folder.evaluations()

    assert str(caught.value).startswith(f"{path}: not an evaluation of this version: trial: must be a whole number")
    assert "\n" not in str(caught.value)


def test_only_a_run_folder_is_taken_for_one(tmp_path: Path, folder: RunFolder) -> None:
    with pytest.raises(RunFolderError, match="no such run folder"):
        RunFolder(tmp_path / "nowhere").check()
    with pytest.raises(RunFolderError, match=r"is not a run folder: it holds no experiment\.yaml and events\.jsonl"):
        folder.check()
    folder.experiment.touch()
    folder.events.path.touch()
    folder.check()


def test_a_folder_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(RunFolderError, match=r"cannot be made: Not a directory$"):
        RunFolder(tmp_path / "file" / "run").create()


def test_the_environment_names_versions_machine_and_seed() -> None:
    facts = json.loads(describe_environment(seed=5))

    assert facts["seed"] == 5
    assert facts["python"] == sys.version.split()[0]
    assert facts["packages"]["optuna"].startswith("5.")
    assert facts["cpus"] >= 1
    assert facts["time"].endswith("+00:00")
