"""Reads uncompressed pixels straight from a regular file into the array that holds them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.datadict import keyword_for_tag

from fedvoxel.dicom.glance import Glance, glance
from fedvoxel.dicom.pixel_layout import PIXEL_TAGS, PixelLayout, layout_of
from fedvoxel.errors import DicomError

_KEYWORDS = {tag: keyword_for_tag(tag) for tag in PIXEL_TAGS}
_WANTED = frozenset(PIXEL_TAGS)
_PLAIN = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian)


def read_plain(path: Path, expected: PixelLayout) -> NDArray[np.generic] | None:
    """Returns stored values (frames, rows, columns) with all bits as they lie in the file.

    None where the file is compressed, packs single bits, or is not regular enough to be sure: whether it is refused,
    and why, is for the thorough reader to say.
    """
    seen = glance(path, _WANTED)
    if seen is None or seen.syntax not in _PLAIN or seen.pixels is None or _layout(seen) != expected:
        return None
    offset, length_bytes = seen.pixels
    size_bytes = expected.size_bytes
    if expected.bits_allocated == 1 or not size_bytes <= length_bytes <= size_bytes + size_bytes % 2:
        return None
    values: NDArray[np.generic] = np.empty(expected.shape, expected.dtype.newbyteorder("<"))
    try:
        with path.open("rb", buffering=0) as stream:
            stream.seek(offset)
            complete = stream.readinto(values.reshape(-1).view(np.uint8).data) == size_bytes
    except OSError:
        return None
    return values if complete else None


def _layout(seen: Glance) -> PixelLayout | None:
    try:
        found = {_KEYWORDS[tag]: _number(_KEYWORDS[tag], value) for tag, value in seen.values.items()}
        return layout_of(found)
    except (ValueError, DicomError):
        return None


def _number(keyword: str, value: bytes) -> int:
    """Returns an integer string (NumberOfFrames) or a 16-bit number (the others)."""
    if keyword == "NumberOfFrames":
        return int(value)
    if len(value) != 2:
        raise ValueError("expected two bytes")
    return int.from_bytes(value, "little")
