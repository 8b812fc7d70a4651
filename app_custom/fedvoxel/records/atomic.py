"""Writes files so that a reader, or a power cut, sees the old content or the new, never a half."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


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
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_text(path: Path, content: str, mode: int = 0o644) -> None:
    """Writes `content` as UTF-8; see `write_bytes`."""
    write_bytes(path, content.encode("utf-8"), mode)


def write_json(path: Path, value: Any, mode: int = 0o644) -> None:
    """Writes `value` as indented JSON without NaN; see `write_bytes`.

    Raises:
        ValueError: `value` holds NaN or an infinity.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", mode)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
