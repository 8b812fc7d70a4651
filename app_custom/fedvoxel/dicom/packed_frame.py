"""Decodes frames that pydicom leaves alone: single bits in RLE, and deflated ones, both common for segmentations.

No more bytes are made than the data set promises.
"""

import zlib

import numpy as np
from numpy.typing import NDArray
from pydicom import uid

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.pixel_layout import PixelLayout

DEFLATED_FRAMES = uid.UID("1.2.840.10008.1.2.8.1")
"""Deflated Image Frame Compression, which pydicom 3.0 has no name for."""

_RLE_HEADER_BYTES = 64


def is_packed(syntax: str, layout: PixelLayout) -> bool:
    """Says whether a compressed frame is one for `decode_packed`."""
    return syntax == DEFLATED_FRAMES or (syntax == uid.RLELossless and layout.bits_allocated == 1)


def decode_packed(frame: bytes, syntax: str, layout: PixelLayout) -> NDArray[np.generic]:
    """Returns the values (rows, columns) of a frame.

    Raises:
        DicomError: undecodable_pixels.

    Source: DICOM PS3.5 8.1.1 and 8.2 (single bits are packed, the first pixel lowest), Annex G (RLE), A.4.13
        (deflated frames).
    """
    pixels = layout.rows * layout.columns
    expected = (pixels * layout.bits_allocated + 7) // 8
    content = _inflate(frame, expected) if syntax == DEFLATED_FRAMES else _unpack_runs(frame, expected)
    if len(content) < expected:
        raise dicom_error("undecodable_pixels", f"expected {expected} bytes in a compressed frame, got {len(content)}")
    packed = np.frombuffer(content, np.uint8, expected)
    if layout.bits_allocated == 1:
        return np.unpackbits(packed, count=pixels, bitorder="little").reshape(layout.rows, layout.columns)
    return packed.view(layout.dtype.newbyteorder("<")).reshape(layout.rows, layout.columns)


def _inflate(frame: bytes, expected: int) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, expected)
    except zlib.error:
        raise dicom_error("undecodable_pixels", "a frame is not deflated as it should be") from None


def _unpack_runs(frame: bytes, expected: int) -> bytes:
    """Undoes the run lengths of the only segment of a frame.

    Source: DICOM PS3.5 G.3.2 (the RLE decoder).
    """
    content = bytearray()
    at = _RLE_HEADER_BYTES
    while len(content) < expected and at + 1 < len(frame):
        control = frame[at]
        if control < 128:
            content += frame[at + 1 : at + 2 + control]
            at += 2 + control
        elif control > 128:
            content += frame[at + 1 : at + 2] * (257 - control)
            at += 2
        else:
            at += 1
    return bytes(content)
