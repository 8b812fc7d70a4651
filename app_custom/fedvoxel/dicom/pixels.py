"""Reads one file's stored pixel values, uncompressed or compressed, into memory that was sized and checked before."""

import math
import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder

from fedvoxel.dicom.codestream import check_frame
from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.packed_frame import decode_packed, is_packed
from fedvoxel.dicom.pixel_layout import PIXEL_TAGS, PixelLayout, layout_of
from fedvoxel.dicom.plain_pixels import read_plain
from fedvoxel.dicom.stream import BoundedStream, OpenedFile, opened

Stored = NDArray[np.generic]
_PIXEL_DATA = (0x7FE0, 0x0010)
_UNDEFINED = 0xFFFFFFFF
_NATIVE = frozenset(
    {
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.DeflatedExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
    }
)

_PLUGINS = {uid.RLELossless: "pydicom"}
"""pylibjpeg-rle, where it is installed, panics on damaged frames and prints so, past every handler of Python."""


def stored_pixels(path: Path, header: Dataset) -> Stored:
    """Returns one file's stored values (frames, rows, columns), whole numbers of BitsStored bits, no rescale applied.

    Bits above BitsStored, where old devices kept overlays, are removed.

    Args:
        path: The file.
        header: What was read of it before: its dimensions must still hold.

    Raises:
        DicomError: The pixels are missing, shorter or longer than promised, compressed from other dimensions, in
            colour, or in an encoding without decoder.

    Source: DICOM PS3.5 section 8.
    """
    expected = layout_of(header)
    values = read_plain(path, expected)
    return _significant(_read(path, expected) if values is None else values, expected)


def _read(path: Path, expected: PixelLayout) -> Stored:
    with opened(path, PIXEL_TAGS) as file:
        layout = layout_of(file.header)
        if layout != expected:
            raise dicom_error("changed_file", "the file's image is not the one that its header told of before")
        file.stream.end_header()
        length_bytes, is_words = _read_element_header(file)
        native = file.syntax in _NATIVE
        if native == (length_bytes == _UNDEFINED):
            raise dicom_error("malformed", "the length of the pixels does not fit their transfer syntax")
        return _read_native(file, layout, length_bytes, is_words) if native else _read_compressed(file, layout)


def _read_element_header(file: OpenedFile) -> tuple[int, bool]:
    """Returns the length of the pixels, in bytes, and whether they are written as 16-bit words."""
    order = ">" if file.syntax == uid.ExplicitVRBigEndian else "<"
    start = file.stream.read(8)
    if len(start) < 8 or struct.unpack(f"{order}HH", start[:4]) != _PIXEL_DATA:
        raise dicom_error("no_pixels", "the file has no whole-number pixels")
    if file.syntax == uid.ImplicitVRLittleEndian:
        return int(struct.unpack("<I", start[4:])[0]), True
    return int(struct.unpack(f"{order}I", file.stream.read(4))[0]), start[4:6] == b"OW"


def _read_native(file: OpenedFile, layout: PixelLayout, length_bytes: int, is_words: bool) -> Stored:
    expected = layout.size_bytes
    left = file.stream.size_bytes - file.stream.tell()
    if length_bytes < expected or left < expected:
        raise dicom_error("short_pixels", f"expected {expected} bytes of pixels, got {min(length_bytes, left)}")
    if length_bytes > expected + expected % 2:
        raise dicom_error("long_pixels", f"expected {expected} bytes of pixels, got {length_bytes}")
    if layout.bits_allocated == 1:
        packed = np.empty(expected, np.uint8)
        _fill(packed, file.stream)
        return np.unpackbits(packed, count=math.prod(layout.shape), bitorder="little").reshape(layout.shape)
    values: Stored = np.empty(layout.shape, layout.dtype)
    _fill(values, file.stream)
    if file.syntax != uid.ExplicitVRBigEndian:
        return values
    if layout.bits_allocated == 8 and is_words:
        raise dicom_error("unsupported_syntax", "bytes are written as big-endian words")
    return values.byteswap(inplace=True)


def _fill(values: Stored, stream: BoundedStream) -> None:
    room = memoryview(values.reshape(-1).view(np.uint8).data)
    while room:
        count = stream.readinto(room)
        if not count:
            raise dicom_error("short_pixels", "the file ends inside its pixels")
        room = room[count:]


def _read_compressed(file: OpenedFile, layout: PixelLayout) -> Stored:
    frames = _compressed_frames(file, layout)
    values: Stored | None = None
    for index, frame in enumerate(frames):
        check_frame(frame, file.syntax, layout)
        if values is None:  # only now: the first frame is what it says
            values = np.empty(layout.shape, layout.dtype)
        values[index] = _decoded(frame, file.syntax, layout)
    if values is None or index + 1 < layout.frames:
        raise dicom_error("short_pixels", f"expected {layout.frames} compressed frames, got fewer")
    return values


def _compressed_frames(file: OpenedFile, layout: PixelLayout) -> Iterator[bytes]:
    """Yields the frames, one more than promised at most."""
    table = (file.header.get("ExtendedOffsetTable"), file.header.get("ExtendedOffsetTableLengths"))
    extended = table if all(isinstance(part, bytes) and part for part in table) else None
    frames = generate_frames(file.stream, number_of_frames=layout.frames, extended_offsets=extended)
    for index, frame in enumerate(islice(frames, layout.frames + 1)):
        if index == layout.frames:
            raise dicom_error("long_pixels", f"expected {layout.frames} compressed frames, got more")
        yield frame


def _decoded(frame: bytes, syntax: uid.UID, layout: PixelLayout) -> Stored:
    if is_packed(syntax, layout):
        return decode_packed(frame, syntax, layout)
    described: dict[str, Any] = {
        "transfer_syntax_uid": syntax,
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": int(layout.signed),
        "photometric_interpretation": "MONOCHROME2",
        "pixel_keyword": "PixelData",
    }
    try:
        decoder, plugin = get_decoder(syntax), _PLUGINS.get(syntax, "")
        values, _ = decoder.as_array(encapsulate([frame]), index=0, raw=True, decoding_plugin=plugin, **described)
    except (MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a decoder in Rust panics with what is no Exception
        raise dicom_error("undecodable_pixels", "no decoder makes sense of a compressed frame") from None
    if values.shape != (layout.rows, layout.columns) or values.dtype.itemsize > layout.dtype.itemsize:
        raise dicom_error("undecodable_pixels", "a decoder made another image than the data set promises")
    return values


def _significant(values: Stored, layout: PixelLayout) -> Stored:
    """Returns the values with the bits above BitsStored cleared, or filled with the sign."""
    unused = layout.dtype.itemsize * 8 - layout.bits_stored
    if unused and layout.bits_allocated > 1:
        numbers: NDArray[np.int64] = values  # type: ignore[assignment]
        np.left_shift(numbers, unused, out=numbers)
        np.right_shift(numbers, unused, out=numbers)
    return values
