"""Who may read or write a chain at a moment: a lock file beside it, and the account that its folder belongs to.

The kernel frees the lock of a killed process. A reader makes nothing: where the lock cannot be taken (a copy without
one, a medium that cannot be written, a file system without locks) it reads without, and tries again.
"""

import fcntl
import os
import pwd
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

from fedvoxel.errors import LedgerError, LockedError
from fedvoxel.records.chain_file import file_trouble, make_folder

LOCK_FILE = "lock"
_LOCK_POLL_S = 0.01
_WRITTEN_BY_OTHERS = 0o022


@contextmanager
def writers_lock(path: Path, timeout_s: float) -> Iterator[None]:
    """Keeps everybody else from a chain; makes its folder and its lock where they are missing.

    Raises:
        LockedError: It stays locked.
        LedgerError: It cannot be locked.
    """
    with file_trouble(path):
        make_folder(path.parent)
        handle = os.open(path.with_name(LOCK_FILE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with file_trouble(path):
            _wait(handle, fcntl.LOCK_EX, path.name, timeout_s)
        yield
    finally:
        os.close(handle)


@contextmanager
def readers_lock(path: Path, timeout_s: float) -> Iterator[bool]:
    """Keeps writers from a chain, where its lock is there and can be taken; says whether it was.

    Raises:
        LockedError: A writer keeps it.
    """
    with _to_read(path.with_name(LOCK_FILE)) as handle:
        yield handle is not None and _is_taken(handle, path.name, timeout_s)


def require_owner(folder: Path, what: str) -> None:
    """Checks that this account may add to a folder whose files are its owner's alone.

    What another account (root too) writes there the owner could not read any more, and its service would stand still.
    Where the folder is not there yet, that one counts in which it would be made. One that others may write in is shared
    on purpose.

    Args:
        folder: The folder.
        what: What it holds, for the error.

    Raises:
        LedgerError: It belongs to another account, whom the error names.
    """
    status = next(each for each in (folder, *folder.absolute().parents) if each.exists()).stat()
    if status.st_uid == os.geteuid() or status.st_mode & _WRITTEN_BY_OTHERS:
        return
    owner = account(status.st_uid)
    raise LedgerError(
        f"{what} belongs to account {owner}, and this is account {account(os.geteuid())}, whose entries {owner} could "
        f"not read; nothing was written: give the command as {owner} (sudo -u {quote(owner)})"
    )


def account(uid: int) -> str:
    """Returns an account's name, its number where it has none here."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


@contextmanager
def _to_read(lock: Path) -> Iterator[int | None]:
    try:
        handle = os.open(lock, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        handle = None
    try:
        yield handle
    finally:
        if handle is not None:
            os.close(handle)


def _is_taken(handle: int, name: str, timeout_s: float) -> bool:
    try:
        _wait(handle, fcntl.LOCK_SH, name, timeout_s)
    except OSError:
        return False
    return True


def _wait(handle: int, kind: int, name: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise LockedError(f"{name} has been locked by another process for {timeout_s:.0f} s") from None
            time.sleep(_LOCK_POLL_S)
