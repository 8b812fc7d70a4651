"""A package's ZIP, read with suspicion: what a stranger's file says of its own sizes and names is checked first.

Only what a package needs is read: plain or deflated files with one name each, no more than the format's 32 bits can
say, nothing behind the directory. Nothing is ever written to disk.
"""

import copy
import io
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fedvoxel.errors import PackageError
from fedvoxel.plain_file import open_plain

_PIECE_BYTES = 1024**2
_END, _END_BYTES = b"PK\x05\x06", 22
_LARGEST_DIRECTORY_BYTES = 1024**2
_ENCRYPTED = 0x1
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Archive:
    """Is an open ZIP. Its members are read in pieces, at most once each at a time."""

    def __init__(self, stream: IO[bytes], most_members: int, largest_bytes: int) -> None:
        """Reads the directory; see `open_archive`."""
        _check_end(stream, most_members, largest_bytes)
        self._zip = zipfile.ZipFile(stream)
        counted = Counter(info.filename for info in self._zip.infolist())
        twice = [name for name, count in counted.items() if count > 1]
        if twice:
            raise PackageError(f"the package holds {_shown(twice[0])} more than once")
        self._infos = {info.filename: info for info in self._zip.infolist()}

    @property
    def names(self) -> frozenset[str]:
        """Are the names of the members."""
        return frozenset(self._infos)

    @property
    def members(self) -> tuple[zipfile.ZipInfo, ...]:
        """Are what the directory says of the members, each name once."""
        return tuple(self._infos.values())

    def read(self, name: str, largest_bytes: int) -> bytes:
        """Returns a small member's bytes.

        Raises:
            PackageError: It is missing, larger, or damaged.
        """
        info = self._info(name)
        if info.file_size > largest_bytes:
            raise PackageError(f"{name} has {info.file_size} bytes, more than the {largest_bytes} that it may have")
        return b"".join(self.pieces(name, info.file_size))

    def pieces(self, name: str, size_bytes: int) -> Iterator[bytes]:
        """Yields a member's bytes.

        Args:
            name: The member.
            size_bytes: Its size; not a byte more is read.

        Raises:
            PackageError: It is missing, of another size, or damaged.
        """
        info, count = self._info(name), 0
        if info.file_size != size_bytes:
            raise PackageError(f"{_shown(name)} has {info.file_size} bytes where {size_bytes} are expected")
        # `zipfile` cuts what a member unpacks to at the directory's size, and says nothing of the rest.
        one_more = copy.copy(info)
        one_more.file_size = size_bytes + 1
        try:
            with self._zip.open(one_more) as stream:
                while piece := stream.read(min(_PIECE_BYTES, size_bytes - count + 1)):
                    count += len(piece)
                    if count > size_bytes:
                        break
                    yield piece
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError):
            raise PackageError(f"{_shown(name)} is damaged; fetch the package again") from None
        if count != size_bytes:
            raise PackageError(f"{_shown(name)} does not have the {size_bytes} bytes that are expected")

    def _info(self, name: str) -> zipfile.ZipInfo:
        info = self._infos.get(name)
        if info is None:
            raise PackageError(f"the package has no {_shown(name)}")
        if info.flag_bits & _ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise PackageError(f"{_shown(name)} is encrypted or packed in a way that packages are not")
        return info


@contextmanager
def open_archive(path: Path, most_members: int, largest_bytes: int) -> Iterator[Archive]:
    """Opens a package's ZIP for reading.

    Args:
        path: The file.
        most_members: Most members that it may have.
        largest_bytes: Most bytes that it may have.

    Raises:
        PackageError: It is missing, too large, or not the plain ZIP that a package is.
    """
    try:
        stream = open_plain(path)
    except OSError as error:
        raise PackageError(f"{path.name} cannot be read ({error.strerror or type(error).__name__})") from None
    with stream:
        try:
            archive = Archive(stream, most_members, largest_bytes)
        except (zipfile.BadZipFile, struct.error, OSError, ValueError, NotImplementedError):
            raise PackageError(f"{path.name} is not a package, or a damaged one") from None
        yield archive


def archive_bytes(members: Mapping[str, bytes]) -> bytes:
    """Returns a ZIP of some members, in their order; the same members give the same bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return stream.getvalue()


def _check_end(stream: IO[bytes], most_members: int, largest_bytes: int) -> None:
    """Checks the end of the file before `zipfile` reads a directory of whatever length."""
    size_bytes = stream.seek(0, io.SEEK_END)
    if size_bytes > largest_bytes:
        raise PackageError(f"a file of {size_bytes} bytes is no package; the largest has {largest_bytes}")
    if size_bytes < _END_BYTES:
        raise zipfile.BadZipFile
    stream.seek(size_bytes - _END_BYTES)
    mark, disk, first_disk, here, entries, directory_bytes, _, comment = struct.unpack("<4s4H2LH", stream.read())
    if mark != _END or disk or first_disk or here != entries or comment:
        raise zipfile.BadZipFile
    if entries > most_members or directory_bytes > _LARGEST_DIRECTORY_BYTES:
        raise PackageError(f"the package says that it has {entries} members; at most {most_members} are read")


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "...")
