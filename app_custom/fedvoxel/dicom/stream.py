"""Opens a DICOM file so that nothing in it decides how much memory is taken.

Lengths, depths and compressed headers come from whoever wrote the file. They are held against the file's own size and
against fixed limits before anything is allocated, and every failure is a `DicomError`.
"""

import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from fedvoxel.dicom.faults import DicomReason, dicom_error
from fedvoxel.dicom.quiet import quiet
from fedvoxel.errors import DicomError

MAX_FILE_BYTES = 2**31
MAX_INFLATED_BYTES = 2**28
MAX_HEADER_BYTES = 2**25
MAX_ITEMS = 200_000
_MAX_READS = 3_000_000
_SMALL_READ_BYTES = 2**12
_PREAMBLE_BYTES = 128
_META_GROUP = 0x0002
_META_TAGS = (0x00020002, 0x00020003, 0x00020010)
_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")


class BoundedStream(io.BufferedReader):
    """Is a file that refuses to hand out more than it holds, or more of a header than `MAX_HEADER_BYTES`."""

    def __init__(self, raw: io.RawIOBase, size_bytes: int) -> None:
        super().__init__(raw)
        self.size_bytes = size_bytes
        self._reads, self._bytes, self._items = 0, 0, 0
        self._in_header = True

    def end_header(self) -> None:
        """Lifts the limits of a header: from here on only the file's own size counts."""
        self._in_header = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Returns the next `size` bytes, fewer at the end of the file.

        Raises:
            DicomError: beyond_the_file or header_too_large; nothing was allocated for it.
        """
        self._reads += 1
        if self._in_header and self._reads > _MAX_READS:
            raise dicom_error("header_too_large", f"expected at most {_MAX_READS} pieces in a header")
        if size is not None and 0 <= size <= _SMALL_READ_BYTES:
            return super().read(size)
        return self._read_much(size)

    def _read_much(self, size: int | None) -> bytes:
        left = self.size_bytes - self.tell()
        wanted = left if size is None or size < 0 else size
        if wanted > left:
            raise dicom_error("beyond_the_file", f"an element says it has {wanted} bytes, the file has {left} left")
        if not self._in_header:
            return super().read(wanted)
        self._bytes += wanted
        if self._bytes > MAX_HEADER_BYTES:
            raise dicom_error("header_too_large", f"expected at most {MAX_HEADER_BYTES} bytes before the pixels")
        value = super().read(wanted)
        self._items += sum(value.count(tag) for tag in _ITEM_TAGS)
        if self._items > MAX_ITEMS:
            raise dicom_error("header_too_large", f"expected at most {MAX_ITEMS} items in the sequences of a header")
        return value


@dataclass(frozen=True)
class OpenedFile:
    """Is a DICOM file whose elements before the pixels were read.

    Attributes:
        stream: Stands at the element with the pixels, or at the file's end; inflated where the file is deflated.
        syntax: The file's transfer syntax.
        header: The elements before the pixels, or those asked for; `file_meta` is set.
    """

    stream: BoundedStream
    syntax: UID
    header: Dataset


@contextmanager
def opened(path: Path, tags: tuple[int, ...] | None = None) -> Iterator[OpenedFile]:
    """Opens a file and reads its header; what goes wrong inside the block is a `DicomError` too.

    Args:
        path: The file.
        tags: The elements wanted, at the top level. If None, all, and the pixels are fetched from the disk meanwhile:
            who reads a whole header wants them next.

    Raises:
        DicomError: The file cannot be read; the message says nothing of its content or place.
    """
    with explained(), quiet(), ExitStack() as stack:
        stream = stack.enter_context(_plain_stream(path, whole=tags is None))
        meta = _read_meta(stream)
        syntax = UID(str(meta.TransferSyntaxUID))
        if syntax == DeflatedExplicitVRLittleEndian:
            stream = stack.enter_context(_inflated(stream))
        big, implicit = syntax == ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
        header = read_dataset(
            stream, implicit, not big, stop_when=_at_pixels, specific_tags=None if tags is None else list(tags)
        )
        header.file_meta = meta
        header.set_original_encoding(implicit, not big, header._character_set)
        yield OpenedFile(stream, syntax, header)


@contextmanager
def explained() -> Iterator[None]:
    """Turns whatever reading a damaged file raises into a `DicomError` that quotes nothing of it.

    Raises:
        DicomError: In place of any other error.
    """
    try:
        yield
    except DicomError:
        raise
    except RecursionError:
        raise dicom_error("too_deep", "sequences lie in each other beyond what can be read") from None
    except MemoryError:
        raise dicom_error("header_too_large", "the memory of this process does not suffice for the file") from None
    except EOFError:
        raise dicom_error("truncated_file", "the file ends inside an element") from None
    except OSError as error:
        reason: DicomReason = "unreadable_file" if error.errno else "malformed"
        raise dicom_error(reason, f"the file cannot be read ({type(error).__name__})") from None
    except Exception as error:
        raise dicom_error("malformed", f"the file is not as DICOM has it ({type(error).__name__})") from None


def _plain_stream(path: Path, whole: bool) -> BoundedStream:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    raw = io.FileIO(handle, closefd=True)
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        raw.close()
        raise dicom_error("unreadable_file", "expected a file, found something else")
    if facts.st_size > MAX_FILE_BYTES:
        raw.close()
        raise dicom_error("file_too_large", f"expected at most {MAX_FILE_BYTES} bytes, got {facts.st_size}")
    if whole:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_WILLNEED)
    return BoundedStream(raw, facts.st_size)


def _read_meta(stream: BoundedStream) -> FileMetaDataset:
    if stream.read(_PREAMBLE_BYTES + 4)[_PREAMBLE_BYTES:] != b"DICM":
        raise dicom_error("not_dicom", "the file lacks the mark of a DICOM file")
    found = read_dataset(stream, False, True, stop_when=_after_meta, specific_tags=list(_META_TAGS))
    meta = FileMetaDataset(found)
    if not isinstance(meta.get("TransferSyntaxUID"), str):
        raise dicom_error("no_transfer_syntax", "the file does not say how it is encoded")
    return meta


def _inflated(stream: BoundedStream) -> BoundedStream:
    """Returns the inflated rest of a file, whatever it claims to be, up to `MAX_INFLATED_BYTES`."""
    packed = super(BoundedStream, stream).read()
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflater.decompress(packed, MAX_INFLATED_BYTES)
    except zlib.error:
        raise dicom_error("malformed", "the deflated part of the file is damaged") from None
    if inflater.unconsumed_tail:
        raise dicom_error("file_too_large", f"the file inflates to more than {MAX_INFLATED_BYTES} bytes")
    if not inflater.eof:
        raise dicom_error("truncated_file", "the deflated part of the file ends early")
    return BoundedStream(io.BytesIO(content), len(content))  # type: ignore[arg-type]


def _after_meta(tag: int, vr: str | None, length: int) -> bool:
    return tag >> 16 != _META_GROUP


def _at_pixels(tag: int, vr: str | None, length: int) -> bool:
    return tag in _PIXEL_TAGS
