"""Reads and writes a chain's files so that a crash leaves what the next writer can mend; see `records.chain`."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fedvoxel.errors import DiskFullError, LedgerError
from fedvoxel.plain_file import open_plain
from fedvoxel.records.atomic import is_disk_full, open_to_readers

MOST_CHAIN_BYTES = 2**30
"""Largest chain that is read: some millions of entries."""


def bytes_of(path: Path, offset: int = 0) -> bytes | None:
    """Returns a file's content from a byte on, none behind its end; None where there is no file."""
    try:
        with open_plain(path) as stream:
            if os.fstat(stream.fileno()).st_size > MOST_CHAIN_BYTES:
                raise OSError(errno.EFBIG, f"more than {MOST_CHAIN_BYTES} bytes")
            stream.seek(offset)
            return stream.read()
    except FileNotFoundError:
        return None


def write_after(path: Path, size_bytes: int, content: bytes, public: bool) -> None:
    """Writes `content` after the first `size_bytes` of a file and syncs it; those bytes are never touched.

    The file is its owner's alone where it is made here, or for every account to read if it is `public`.
    """
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as stream:
        if public:
            open_to_readers(stream.fileno())
        stream.truncate(size_bytes)
        stream.seek(size_bytes)
        try:
            while content:
                content = content[stream.write(content) :]
            os.fsync(stream.fileno())
        except OSError:
            with suppress(OSError):
                stream.truncate(size_bytes)
            raise


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, each synced, so that a power cut cannot take them with what is in them."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def file_trouble(path: Path) -> Iterator[None]:
    """Turns what the file system refuses into one line, without the folder.

    Raises:
        LedgerError: It refused something; DiskFullError for want of room.
    """
    try:
        yield
    except OSError as error:
        kind = DiskFullError if is_disk_full(error) else LedgerError
        raise kind(f"{path.name} cannot be read or written ({error.strerror or type(error).__name__})") from None
