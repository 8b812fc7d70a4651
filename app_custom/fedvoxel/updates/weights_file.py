"""Named arrays as `.npz` bytes and files: no pickle, so that opening one can never run code.

numpy takes memory for whatever a header says, and unpacks whatever was packed. So a member counts only if it is stored
as it is, and its header says as many bytes as it has: what is read takes no more memory than its file.
"""

import io
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.plain_file import MOST_ARRAYS_BYTES, read_plain
from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.twofold import read_twofold, write_twofold
from fedvoxel.updates.update import Arrays

_NUMBERS = "biuf"
"""Kinds of values that are kept: truth values, whole numbers, floats."""

_ENCRYPTED = 0x1
_SIZES_OFFSET = 18
_SIZES_ELSEWHERE = b"\xff" * 8
"""Where a member's own header has its two sizes, and what says that they are in its ZIP64 field (APPNOTE.TXT 4.3.7)."""
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_NO_ARRAYS = (
    *(ValueError, TypeError, OSError, EOFError, RuntimeError, KeyError, OverflowError, AttributeError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)
"""What reading such bytes may end with, by the words of the readers of ZIP and of numpy."""


def to_bytes(arrays: Arrays) -> bytes:
    """Returns `arrays` as an uncompressed `.npz`, sorted by name: the same arrays give the same bytes anywhere.

    So server and sites of unlike Pythons have the same hash of the same arrays. They are those of `numpy.savez` under
    Python 3.11.4 or newer: before, `zipfile` wrote another version, and the sizes twice.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in sorted(arrays):
            member = zipfile.ZipInfo(f"{name}.npy")
            member.create_version = member.extract_version = zipfile.ZIP64_VERSION
            with archive.open(member, "w", force_zip64=True) as opened:
                npy.write_array(opened, np.asarray(arrays[name], order="C"), allow_pickle=False)
    with stream.getbuffer() as content:
        for member in archive.infolist():
            place = member.header_offset + _SIZES_OFFSET
            content[place : place + len(_SIZES_ELSEWHERE)] = _SIZES_ELSEWHERE
    return stream.getvalue()


def from_bytes(content: bytes) -> dict[str, NDArray[np.float32]]:
    """Returns the arrays of an `.npz`.

    Raises:
        UpdateError: `content` is not an `.npz` of plain arrays.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > len(content):
                raise ValueError("members of more bytes than have come")
            return {_name(member): _array(archive, member) for member in members}
    except _NO_ARRAYS as error:
        # The words of others may quote the file, over many lines.
        kind = type(error).__name__
        raise UpdateError(f"expected an .npz file of plain arrays, got something else ({kind})") from None


def _name(member: zipfile.ZipInfo) -> str:
    if not member.filename.endswith(".npy") or not member.filename.isprintable():
        raise ValueError("a member that is no array")
    return member.filename.removesuffix(".npy")


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[np.float32]:
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & _ENCRYPTED:
        raise ValueError("a member that is packed or encrypted")
    with archive.open(member) as stream:
        _check_header(stream, member.file_size)
    with archive.open(member) as stream:
        found: NDArray[np.float32] = npy.read_array(stream, allow_pickle=False)
        return found


def _check_header(stream: IO[bytes], size_bytes: int) -> None:
    shape, _, dtype = _HEADERS[npy.read_magic(stream)](stream)
    if dtype.kind not in _NUMBERS or stream.tell() + math.prod(shape) * dtype.itemsize != size_bytes:
        raise ValueError("an array of other values, or of another size than its header says")


def save_weights(path: Path, arrays: Arrays) -> None:
    """Writes `arrays` atomically to `path`."""
    write_bytes(path, to_bytes(arrays))


def load_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Reads what `save_weights` wrote.

    Raises:
        UpdateError: The file is missing, cannot be read, or is not an `.npz` of plain arrays.
    """
    if not path.is_file():
        raise UpdateError(f"no weights here: expected a file {path.name}")
    try:
        content = read_plain(path, MOST_ARRAYS_BYTES)
    except OSError as error:
        raise UpdateError(f"{path.name} cannot be read ({error.strerror or type(error).__name__})") from None
    return from_bytes(content)


def keep_weights(path: Path, arrays: Arrays) -> None:
    """Writes `arrays` to `path` and to a copy beside it, see `records.twofold`."""
    write_twofold(path, to_bytes(arrays))


def kept_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Reads what `keep_weights`, or `save_weights` of an earlier release, wrote.

    Raises:
        UpdateError: The file is missing, or neither it nor its copy is what was written.
    """
    try:
        return from_bytes(read_twofold(path))
    except (OSError, UpdateError):
        # Not from a backup: an older one does not belong to what the server and secure sums have of the site by now.
        raise UpdateError(
            f"what this site keeps of the run, {path.name} in the run's folder of state/runs/, is missing or damaged, "
            "with its copy: give the job a new run_key"
        ) from None
