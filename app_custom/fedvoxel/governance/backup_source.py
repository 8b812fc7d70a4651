"""What of a kit or a consortium's workspace goes into a backup, read while it may be running; see `backup`."""

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fedvoxel.errors import BackupError
from fedvoxel.governance.authority_store import ROOT_FILE
from fedvoxel.governance.consortium import RECORD, authority_folder
from fedvoxel.governance.kit import STARTUP_FILES
from fedvoxel.governance.ledger_presence import MOVE_FILE, RESTORED_FILE
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_lock import LOCK_FILE

_FOLDERS = ("startup", "local", "state")
_FILES = ("audit.log", MOVE_FILE, RESTORED_FILE)
"""What is kept of a kit: logs and the workspaces of jobs are not."""

_LOCKS = (LOCK_FILE, "running.lock")
_HALF_WRITTEN = re.compile(r"\..+\.[0-9a-f]{16}")
"""The name of a file that `records.atomic` has not put in its place yet."""

Facts = dict[str, Any]


class Snapshot:
    """Reads a folder twice into an archive; of a file that is there twice the later one counts."""

    def __init__(self, folder: Path, archive: tarfile.TarFile) -> None:
        """Reads nothing yet."""
        self._folder, self._archive = folder, archive
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._manifest: dict[str, Facts] = {}

    def take(self) -> dict[str, Facts]:
        """Returns size, mode and hash of every file that counts, by its path.

        Raises:
            BackupError: The folder holds a link.
            LedgerError: A ledger or log stays locked.
        """
        self._read()
        with ExitStack() as locks:
            for path in sorted(path for path in _files_of(self._folder) if path.name == LOCK_FILE):
                locks.enter_context(Chain(path.with_name("any")).held())
            present = self._read()
        return {name: facts for name, facts in self._manifest.items() if name in present}

    def _read(self) -> set[str]:
        """Adds what is new or has changed, and returns all that there is."""
        present = set()
        for path in _files_of(self._folder):
            name = path.relative_to(self._folder).as_posix()
            if path.name in _LOCKS or _HALF_WRITTEN.fullmatch(path.name):
                continue
            try:
                status = path.stat()
                key = (status.st_ino, status.st_size, status.st_mtime_ns)
                if self._seen.get(name) != key:
                    content, mode = path.read_bytes(), status.st_mode & 0o777
                    add_file(self._archive, name, content, mode)
                    self._seen[name], self._manifest[name] = key, facts_of(content, mode)
            except FileNotFoundError:
                continue  # What was proposed has been dropped, or another took its place; the locked reading decides.
            present.add(name)
        return present


def check_source(folder: Path) -> None:
    """Checks that a folder is something to back up.

    Raises:
        BackupError: It is neither a kit nor a workspace.
    """
    is_workspace = (folder / RECORD).is_file() or (authority_folder(folder) / ROOT_FILE).is_file()
    if not is_workspace and not _is_kit(folder):
        raise BackupError(
            f"{folder.name} is neither a kit nor a consortium's workspace (with authority/{ROOT_FILE}, or {RECORD}); "
            "give one of them"
        )


def kits_in(folder: Path) -> Iterator[Path]:
    """Yields the kits: the folder itself, or those in a workspace."""
    if _is_kit(folder):
        yield folder
        return
    for below in sorted(path for path in folder.iterdir() if path.is_dir()):
        yield from kits_in(below)


def add_file(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    """Adds a file to an archive, without owner and time."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    archive.addfile(info, io.BytesIO(content))


def facts_of(content: bytes, mode: int) -> Facts:
    """Returns what a manifest says of a file."""
    return {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content), "mode": mode}


def _is_kit(folder: Path) -> bool:
    return any((folder / "startup" / name).is_file() for name in STARTUP_FILES.values())


def _files_of(folder: Path, whole: bool = False) -> Iterator[Path]:
    """Yields files: all of a folder that is `whole` or holds no kit; of a kit what is kept of one.

    Raises:
        BackupError: A link is among them.
    """
    chosen = not whole and _is_kit(folder)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if chosen and entry.name not in (*_FOLDERS, *_FILES):
            continue
        if entry.is_symlink():
            raise BackupError(
                f"{entry.name} in {folder.name} is a link: put what it points to in its place, or keep it by itself"
            )
        if entry.is_dir():
            yield from _files_of(Path(entry.path), whole or chosen)
        else:
            yield Path(entry.path)
