"""Writes files so that a reader, or a power cut, sees the old content or the new, never a half.

A mode says what a file may be opened for at most; the umask of the process takes its own share away, so that a kit's
processes, which run with 077, write for their owner alone. What other accounts must read (certificates, revocation
lists, the index of releases) is written as public: whatever the umask, everybody may read it, and its owner write it.
"""

import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_PUBLIC, _READ_BY_ALL = 0o644, 0o444


def write_bytes(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Writes `content` to a temporary file beside `path`, syncs it and renames it into place.

    Raises:
        OSError: The disk is full or not writable; `path` is then unchanged and nothing is left beside it.
    """
    with _replacing(path, mode) as stream:
        stream.write(content)


def write_public(path: Path, content: bytes) -> None:
    """Writes what every account may read (0644 whatever the umask); see `write_bytes`."""
    with _replacing(path, _PUBLIC, public=True) as stream:
        stream.write(content)


def copy_file(source: Path, target: Path, mode: int = 0o644) -> None:
    """Copies a file of whatever size; see `write_bytes`.

    Raises:
        OSError: `source` cannot be read, or `target` not be written; `target` is then unchanged.
    """
    with _replacing(target, mode) as stream, source.open("rb") as origin:
        shutil.copyfileobj(origin, stream, 1024**2)


def copy_public(source: Path, target: Path) -> None:
    """Copies what every account may read (0644 whatever the umask); see `copy_file`."""
    with _replacing(target, _PUBLIC, public=True) as stream, source.open("rb") as origin:
        shutil.copyfileobj(origin, stream, 1024**2)


def open_to_readers(handle: int) -> None:
    """Lets every account read an open file that is written in place; what else its mode says stays."""
    mode = stat.S_IMODE(os.fstat(handle).st_mode)
    if mode & _READ_BY_ALL != _READ_BY_ALL:  # only then: who may write it need not own it
        os.fchmod(handle, mode | _READ_BY_ALL)


def write_text(path: Path, content: str, mode: int = 0o644) -> None:
    """Writes `content` as UTF-8; see `write_bytes`."""
    write_bytes(path, content.encode("utf-8"), mode)


def write_json(path: Path, value: Any, mode: int = 0o644) -> None:
    """Writes `value` as indented JSON without NaN; see `write_bytes`.

    Raises:
        ValueError: `value` holds NaN or an infinity.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", mode)


def is_disk_full(error: OSError) -> bool:
    """Says whether a write failed for want of room, so that it can be done when there is some."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def _replacing(path: Path, mode: int, public: bool = False) -> Iterator[IO[bytes]]:
    """Opens a file beside `path` that takes its place when the block ends, and is gone if that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:80]}.{secrets.token_hex(8)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "wb") as stream:
            if public:
                os.fchmod(handle, _PUBLIC)
            yield stream
            _put_in_place(stream, temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _put_in_place(stream: IO[bytes], temporary: Path, path: Path) -> None:
    stream.flush()
    os.fsync(stream.fileno())
    os.replace(temporary, path)


def sync_folder(folder: Path) -> None:
    """Has a folder's entries on the disk.

    Raises:
        OSError: They cannot be written.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
