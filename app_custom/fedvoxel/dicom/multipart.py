"""Takes apart and puts together the multipart messages of DICOMweb (PS3.18 8.6.1.2, RFC 2046 section 5.1), in pieces.

A part is never held as a whole, and a message that ends before its closing delimiter is an error: what was being
received then is not an instance.
"""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from email.message import Message

from fedvoxel.dicom.faults import dicom_error

MAX_PART_HEADER_BYTES = 2**14


def boundary_of(content_type: str) -> bytes:
    """Returns the boundary that a Content-Type names.

    Raises:
        DicomError: It is no multipart message.
    """
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_param("boundary")
    if message.get_content_type() != "multipart/related" or not isinstance(boundary, str) or not boundary:
        raise dicom_error("pacs_garbled", "expected a multipart answer with a boundary")
    return boundary.encode("latin-1", "replace")


def parts(pieces: Iterable[bytes], boundary: bytes) -> Iterator[Iterator[bytes]]:
    """Returns the content of each part, in pieces; a part must be read to its end before the next one.

    Raises:
        DicomError: pacs_cut_off if the message ends early, pacs_garbled if it is none.
    """
    reader = _Reader(pieces, boundary)
    for _ in reader.until_delimiter():
        pass
    while reader.begins_part():
        yield reader.until_delimiter()


class _Reader:
    """Reads pieces up to delimiters, keeping back only what may be the beginning of one."""

    def __init__(self, pieces: Iterable[bytes], boundary: bytes) -> None:
        # The first delimiter may stand at the very beginning, where no line ends before it.
        self._pieces, self._buffer = iter(pieces), bytearray(b"\r\n")
        self._delimiter = b"\r\n--" + boundary

    def until_delimiter(self) -> Iterator[bytes]:
        """Returns what stands before the next delimiter, and passes that."""
        keep = len(self._delimiter) - 1
        while (at := self._buffer.find(self._delimiter)) < 0:
            ready = len(self._buffer) - keep
            if ready > 0:
                yield bytes(self._buffer[:ready])
                del self._buffer[:ready]
            self._more()
        yield bytes(self._buffer[:at])
        del self._buffer[: at + len(self._delimiter)]

    def begins_part(self) -> bool:
        """Passes a part's header lines; returns False at the end of the message."""
        while len(self._buffer) < 2:
            self._more()
        if self._buffer.startswith(b"--"):
            return False
        while (at := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_PART_HEADER_BYTES:
                raise dicom_error("pacs_garbled", "a part of a multipart answer has no end of its header lines")
            self._more()
        del self._buffer[: at + 4]
        # An empty part: its delimiter follows at once, and needs the line's end before it.
        self._buffer[:0] = b"\r\n" if self._buffer.startswith(self._delimiter[2:]) else b""
        return True

    def _more(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise dicom_error("pacs_cut_off", "the answer ends before its closing delimiter")
        self._buffer += piece


def related(instances: Sequence[bytes]) -> tuple[str, bytes]:
    """Returns the Content-Type and body of a message that holds DICOM files."""
    boundary = secrets.token_hex(24)
    start = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join(piece for content in instances for piece in (start, content, b"\r\n"))
    return f'multipart/related; type="application/dicom"; boundary={boundary}', body + f"--{boundary}--\r\n".encode()
