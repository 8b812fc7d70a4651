"""Writes files so that a reader, or a power cut, sees the old content or the new, never a half."""

import errno
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any


def write_bytes(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Writes `content` to a temporary file beside `path`, syncs it and renames it into place.

    Raises:
        OSError: The disk is full or not writable; `path` is then unchanged and nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            _put_in_place(stream, temporary, path, mode)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def copy_file(source: Path, target: Path, mode: int = 0o644) -> None:
    """Copies a file of whatever size; see `write_bytes`.

    Raises:
        OSError: `source` cannot be read, or `target` not be written; `target` is then unchanged.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream, source.open("rb") as origin:
            shutil.copyfileobj(origin, stream, 1024**2)
            _put_in_place(stream, temporary, target, mode)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


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


def _put_in_place(stream: IO[bytes], temporary: str, path: Path, mode: int) -> None:
    stream.flush()
    os.fsync(stream.fileno())
    os.chmod(temporary, mode)
    os.replace(temporary, path)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
