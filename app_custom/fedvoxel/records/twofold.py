"""Keeps a small file twice, so that one byte that changes on a disk costs nothing.

The copy beside it, `<name>.hashed`, begins with a line that holds the SHA-256 of the rest. It is written first, and
counts where it is whole; else the file itself, which is as an earlier release wrote it, is taken. A file that has no
copy is one that an earlier release wrote; a copy whose file is not there was cut off, and is none.
"""

import hashlib
from pathlib import Path

from fedvoxel.plain_file import MOST_ARRAYS_BYTES, read_plain
from fedvoxel.records.atomic import write_bytes

HASHED = ".hashed"


def write_twofold(path: Path, content: bytes) -> None:
    """Writes a file and its copy for their owner alone; see `write_bytes`.

    Raises:
        OSError: The disk is full or not writable.
    """
    sha256 = hashlib.sha256(content).hexdigest().encode("ascii")
    write_bytes(copy_of(path), sha256 + b"\n" + content, mode=0o600)
    write_bytes(path, content, mode=0o600)


def read_twofold(path: Path) -> bytes:
    """Returns a file's content: the copy's where that is whole.

    Raises:
        OSError: There is no such file, or it cannot be read.
    """
    return whole_copy(path) or read_plain(path, MOST_ARRAYS_BYTES)


def whole_copy(path: Path) -> bytes | None:
    """Returns what the copy of a file holds; None where there is none, or its hash does not fit."""
    try:
        head, _, content = read_plain(copy_of(path), MOST_ARRAYS_BYTES).partition(b"\n")
    except OSError:
        return None
    return content if head == hashlib.sha256(content).hexdigest().encode("ascii") else None


def move_twofold(source: Path, target: Path) -> None:
    """Puts a file and its copy in the place of others; what a crash leaves of it reads as the one or the other."""
    if copy_of(source).is_file():
        copy_of(source).replace(copy_of(target))
    else:
        copy_of(target).unlink(missing_ok=True)
    source.replace(target)


def drop_twofold(path: Path) -> None:
    """Removes a file, if it is there, and its copy."""
    copy_of(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def copy_of(path: Path) -> Path:
    """Returns where the copy of a file lies."""
    return path.with_name(path.name + HASHED)
