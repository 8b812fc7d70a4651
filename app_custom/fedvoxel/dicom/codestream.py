"""Reads off a compressed frame what it would become, before a decoder believes it.

A decoder allocates what the compressed frame's own header says, not what the data set says: a few bytes can ask for
gigabytes. So the two must agree first.
"""

import struct
from collections.abc import Callable

from pydicom import uid

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.packed_frame import DEFLATED_FRAMES
from fedvoxel.dicom.pixel_layout import PixelLayout

MAX_RLE_BYTES = 2**23
"""A frame of RLE may grow 64-fold; a longer one is refused."""

_SOF_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})

Promise = tuple[int, int, int, int]
"""(rows, columns, components, bits per value)"""


def check_frame(frame: bytes, syntax: str, layout: PixelLayout) -> None:
    """Refuses a compressed frame whose own header promises another image than the data set does.

    Raises:
        DicomError: pixel_dimensions, undecodable_pixels or unsupported_syntax.
    """
    read = _READERS.get(syntax)
    if read is None:
        raise dicom_error("unsupported_syntax", "the pixels are compressed in a way that is not read here")
    try:
        rows, columns, components, bits = read(frame, layout)
    except (IndexError, struct.error):
        raise dicom_error("undecodable_pixels", "a compressed frame ends inside its own header") from None
    if (rows, columns, components) != (layout.rows, layout.columns, 1) or bits > max(layout.bits_allocated, 8):
        found = f"a compressed frame holds {rows}x{columns}x{components} values of {bits} bits"
        expected = f"the data set says {layout.rows}x{layout.columns}x1 of {layout.bits_allocated}"
        raise dicom_error("pixel_dimensions", f"{found}, {expected}")


def _read_jpeg(frame: bytes, _: PixelLayout) -> Promise:
    """Source: ITU-T T.81 B.2.2 and ITU-T T.87 C.2.2 (frame header)."""
    if frame[:2] != b"\xff\xd8":
        raise dicom_error("undecodable_pixels", "a compressed frame does not begin as JPEG does")
    at = 2
    while True:
        if frame[at] != 0xFF:
            raise dicom_error("undecodable_pixels", "a compressed frame is not as JPEG has it")
        marker = frame[at + 1]
        if marker in _SOF_MARKERS:
            bits, rows, columns, components = struct.unpack_from(">BHHB", frame, at + 4)
            return rows, columns, components, bits
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _BARE_MARKERS:
            at += 2
        else:
            at += 2 + max(struct.unpack_from(">H", frame, at + 2)[0], 2)


def _read_jpeg_2000(frame: bytes, _: PixelLayout) -> Promise:
    """Source: ISO/IEC 15444-1 A.5.1 (image and tile size)."""
    if frame[:4] != b"\xff\x4f\xff\x51":
        raise dicom_error("undecodable_pixels", "a compressed frame does not begin as JPEG 2000 does")
    right, bottom, left, top, wide, high, tiles_left, tiles_top, components = struct.unpack_from(">8IH", frame, 8)
    bits, *steps = struct.unpack_from(">3B", frame, 42)
    if steps != [1, 1] or not wide or not high:
        raise dicom_error("undecodable_pixels", "a compressed frame has tiles or components of no use")
    if (right - tiles_left) // wide * ((bottom - tiles_top) // high) > 2**16:
        raise dicom_error("undecodable_pixels", "a compressed frame is cut into too many tiles")
    return bottom - top, right - left, components, (bits & 0x7F) + 1


def _read_rle(frame: bytes, layout: PixelLayout) -> Promise:
    """Source: DICOM PS3.5 Annex G."""
    if len(frame) > MAX_RLE_BYTES:
        raise dicom_error("pixel_dimensions", f"expected at most {MAX_RLE_BYTES} bytes for a frame of RLE")
    segments = struct.unpack_from("<I", frame)[0]
    components, left_over = divmod(segments, max(layout.bits_allocated // 8, 1))
    return layout.rows, layout.columns, -1 if left_over else components, layout.bits_allocated


def _read_deflated(_: bytes, layout: PixelLayout) -> Promise:
    return layout.rows, layout.columns, 1, layout.bits_allocated  # has no header; no more is inflated than fits


_Reader = Callable[[bytes, PixelLayout], Promise]
_READERS: dict[str, _Reader] = {
    **dict.fromkeys((*uid.JPEGTransferSyntaxes, *uid.JPEGLSTransferSyntaxes), _read_jpeg),
    **dict.fromkeys(uid.JPEG2000TransferSyntaxes, _read_jpeg_2000),
    **dict.fromkeys((uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K), _read_jpeg_2000),
    uid.RLELossless: _read_rle,
    DEFLATED_FRAMES: _read_deflated,
}
