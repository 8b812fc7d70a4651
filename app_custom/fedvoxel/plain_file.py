"""Reads a whole file that nobody vouches for: a regular one, of a size that was expected, or nothing.

What lies where a file should may be a pipe that never ends or never begins, a device, or a file larger than memory.
Whoever reads it as it comes waits for ever, or takes the machine with it.
"""

import errno
import os
import stat
from pathlib import Path
from typing import IO

MOST_TEXT_BYTES = 64 * 2**20
"""Largest configuration, record or policy that is read whole."""

MOST_ARRAYS_BYTES = 8 * 2**30
"""Largest file of arrays that is read whole: more than any message carries, see `flare.pieces`."""


class NotPlainError(OSError):
    """Says that what lies there is no regular file, or a larger one than was expected."""


def read_plain(path: Path, most_bytes: int = MOST_TEXT_BYTES) -> bytes:
    """Returns a regular file's content.

    Args:
        path: The file; a link is followed.
        most_bytes: Most bytes that it may have.

    Raises:
        NotPlainError: It is larger, or no regular file.
        OSError: It is missing or unreadable.
    """
    with open_plain(path) as stream:
        if os.fstat(stream.fileno()).st_size > most_bytes:
            raise NotPlainError(errno.EFBIG, f"more than {most_bytes} bytes")
        return stream.read()


def open_plain(path: Path) -> IO[bytes]:
    """Opens a regular file for reading; a link is followed.

    Raises:
        NotPlainError: It is no regular file.
        OSError: It is missing or unreadable.
    """
    stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise NotPlainError(errno.EINVAL, "not a regular file")
    return stream
