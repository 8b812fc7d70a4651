"""What a header promises of its pixels: how many, how wide, and which of their bits count."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.tag import Tag

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.header import check_dimensions, values_of

PIXEL_KEYWORDS = (
    "SamplesPerPixel",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
"""What `layout_of` reads of a header."""

_BY_TAG = {Tag(keyword): keyword for keyword in PIXEL_KEYWORDS}
PIXEL_TAGS = tuple(
    int(Tag(keyword)) for keyword in (*PIXEL_KEYWORDS, "ExtendedOffsetTable", "ExtendedOffsetTableLengths")
)
"""The elements from which `layout_of` and the reader of compressed frames learn what they need."""


@dataclass(frozen=True)
class PixelLayout:
    """Is the shape and type of the stored values of one file with one value per pixel.

    Attributes:
        frames: Number of frames, 1 for a single-frame image.
        rows: Pixels along a column.
        columns: Pixels along a row.
        bits_allocated: 1, 8, 16 or 32.
        bits_stored: How many of them count, the lowest ones.
        signed: True for two's complement.

    Source: DICOM PS3.3 C.7.6.3 (Image Pixel Module) and PS3.5 section 8.1.
    """

    frames: int
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    signed: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Returns (frames, rows, columns)."""
        return self.frames, self.rows, self.columns

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Returns the type of a value in memory; a single bit takes a byte."""
        size = max(self.bits_allocated // 8, 1)
        return np.dtype(f"{'i' if self.signed else 'u'}{size}")

    @property
    def size_bytes(self) -> int:
        """Returns the length of the uncompressed pixels in a file, without the padding to an even number."""
        return (self.frames * self.rows * self.columns * self.bits_allocated + 7) // 8


def layout_of(header: Dataset | Mapping[str, Any]) -> PixelLayout:
    """Returns what a header promises, or what its values by keyword do.

    Raises:
        DicomError: no_pixels, absurd_dimensions, colour_pixels or unsupported_pixels.
    """
    found = values_of(header, _BY_TAG) if isinstance(header, Dataset) else header
    values = {keyword: found.get(keyword) for keyword in PIXEL_KEYWORDS}
    check_dimensions(values)
    if not values["Rows"] or not values["Columns"] or not values["BitsAllocated"]:
        raise dicom_error("no_pixels", "the header promises no pixels")
    if values["SamplesPerPixel"] not in (None, 1):
        raise dicom_error("colour_pixels", f"expected one value per pixel, got {values['SamplesPerPixel']}")
    allocated, stored, high, sign = (values[key] for key in PIXEL_KEYWORDS[4:])
    stored = allocated if stored is None else stored
    if allocated not in (1, 8, 16, 32) or sign not in (0, 1, None) or (allocated == 1 and sign == 1):
        raise dicom_error("unsupported_pixels", "the number of bits per pixel, or their sign, is not as expected")
    if not isinstance(stored, int) or not 1 <= stored <= allocated or high not in (stored - 1, None):
        raise dicom_error("unsupported_pixels", "the used bits of a pixel are not its lowest ones")
    frames = 1 if values["NumberOfFrames"] is None else int(values["NumberOfFrames"])
    if frames < 1:
        raise dicom_error("no_pixels", "the header promises no frame")
    return PixelLayout(frames, values["Rows"], values["Columns"], allocated, stored, sign == 1)
