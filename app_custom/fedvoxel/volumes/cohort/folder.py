"""The folder of a built cohort while it is built: locked, for its owner alone, and whole at every instant.

A case's files are made in a folder of their own and renamed into place; what says that a case is done is written last.
Whatever the instant at which the power goes, the next build finds done cases and others, never a half one.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from fedvoxel.errors import CohortError
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.volumes.cohort.manifest import KINDS, MANIFEST, STAGED, FileHashes

JOURNAL = ".journal"
_LOCK, _WORK = ".lock", ".work"
_OWN = {MANIFEST, JOURNAL, _LOCK, _WORK, *(place.partition("/")[0] for place in KINDS.values())}
_CASE = re.compile(r"case-[0-9a-f]{12}(\.nii\.gz|\.json)")


class CohortFolder:
    """Is the folder of a cohort that this process builds; made by `opened`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tasks = 0

    def task_folder(self) -> Path:
        """Returns a new, empty folder in which a case's files can be made."""
        self._tasks += 1
        folder = self.path / _WORK / str(self._tasks)
        folder.mkdir(mode=0o700)
        return folder

    def place(self, case: str, task_folder: Path) -> None:
        """Moves a case's files from its task's folder to their places.

        Raises:
            OSError: The disk does not take them.
        """
        for kind, place in KINDS.items():
            target = self.path / place.format(case)
            os.replace(task_folder / STAGED[kind], target)
            _sync(target.parent)
        self.discard(task_folder)

    @staticmethod
    def discard(task_folder: Path) -> None:
        """Removes a task's folder with what is in it."""
        shutil.rmtree(task_folder, ignore_errors=True)

    def is_intact(self, case: str, hashes: FileHashes) -> bool:
        """Says whether a case's files are here as they were built."""
        try:
            return all(
                sha256_of_file(self.path / place.format(case)) == getattr(hashes, kind) for kind, place in KINDS.items()
            )
        except OSError:
            return False

    def sweep(self, cases: Collection[str]) -> None:
        """Removes the files of all cases but these."""
        wanted = {self.path / place.format(case) for case in cases for place in KINDS.values()}
        for place in KINDS.values():
            for path in (self.path / place).parent.iterdir():
                if path not in wanted and _CASE.fullmatch(path.name):
                    path.unlink()


@contextmanager
def opened(path: Path) -> Iterator[CohortFolder]:
    """Makes the folder if there is none and locks it for this process; the lock ends with the process.

    Raises:
        CohortError: Another process builds this cohort, the folder holds something else, or it cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        _require_own(path)
        path.chmod(0o700)
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise not_written(os.strerror(error.errno or 0)) from None
    try:
        _hold(lock)
        _prepare(path)
        yield CohortFolder(path)
    finally:
        shutil.rmtree(path / _WORK, ignore_errors=True)
        os.close(lock)


def not_written(why: str) -> CohortError:
    """Returns the error of a disk that takes no more: what is finished stays."""
    return CohortError(
        f"the cohort's folder cannot be written ({why}); free space or rights there and run the same command again: "
        "finished cases are kept"
    )


def nothing_left(found: str) -> CohortError:
    """Returns the error of a source without any image, which may be a mistake, and may be meant."""
    return CohortError(
        f"{found}; nothing was changed: if the last patient was withdrawn, remove the cohort's folder (source.folder), "
        "else look whether the source is all there"
    )


@contextmanager
def writing() -> Iterator[None]:
    """Turns what the disk says inside the block into the error of `not_written`.

    Raises:
        CohortError: The disk is full or not writable.
    """
    try:
        yield
    except OSError as error:
        raise not_written(os.strerror(error.errno or 0)) from None


def _require_own(path: Path) -> None:
    entries = [entry for entry in path.iterdir() if not _is_half_written(entry)]
    foreign = sum(entry.name not in _OWN or entry.is_symlink() for entry in entries)
    if foreign:
        raise CohortError(
            f"the cohort's folder holds {foreign} files, folders or links that are no part of a built cohort; "
            "give source.folder a folder of its own"
        )


def _is_half_written(entry: Path) -> bool:
    """Says whether an entry is what a process that was killed left of a manifest; see `records.atomic`."""
    return entry.name.startswith(f".{MANIFEST}.") and entry.is_file() and not entry.is_symlink()


def _hold(lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CohortError("this cohort is being built by another process; wait for it, or stop it first") from None


def _prepare(path: Path) -> None:
    try:
        shutil.rmtree(path / _WORK, ignore_errors=True)
        for entry in filter(_is_half_written, list(path.iterdir())):
            entry.unlink()
        for name in (_WORK, JOURNAL, *(Path(place).parent.name for place in KINDS.values())):
            (path / name).mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise not_written(os.strerror(error.errno or 0)) from None


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
