"""The pixels of one object: read lazily from the original file, with the device's text made black.

Only the image itself comes out: what old devices keep in unused bits, behind the last frame, or in icons stays behind.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.utils import pack_bits
from pydicom.tag import Tag

from fedvoxel.deid.faults import deid_error
from fedvoxel.deid.policy import DeviceText
from fedvoxel.dicom.pixel_layout import PIXEL_KEYWORDS
from fedvoxel.dicom.pixels import stored_pixels
from fedvoxel.dicom.quiet import quiet

Stored = NDArray[np.generic]
_LAYOUT = tuple(Tag(name) for name in (*PIXEL_KEYWORDS, "PhotometricInterpretation"))


@dataclass(frozen=True, repr=False, eq=False)
class CleanPixels:
    """Reads one object's pixels.

    Attributes:
        path: The original file.
        header: What the original header says of the pixels' layout, and nothing else of it; see `of`.
        text: Where the device writes text, or None.
    """

    path: Path
    header: Dataset
    text: DeviceText | None

    @classmethod
    def of(cls, path: Path, original: Dataset, text: DeviceText | None) -> Self:
        """Returns the reader of one object's pixels; it keeps no more of the header than it needs."""
        header = Dataset()
        for tag in _LAYOUT:
            if tag in original:
                header[tag] = original.get_item(tag)
        return cls(path, header, text)

    def read(self) -> Stored:
        """Returns the stored values (frames, rows, columns), with the text made black.

        Raises:
            DicomError: The file cannot be decoded.
            DeidError: The pixels hold more than the image's own bits.
        """
        with quiet():
            values: Stored = stored_pixels(self.path, self.header)
        _check_bits(values, self.header)
        return values if self.text is None else _blackened(values, self.text, self.header)

    def with_pixels(self, clean: Dataset) -> Dataset:
        """Returns a copy of a cleaned header with its pixels; without, if the object has none."""
        whole = Dataset(clean)
        whole.file_meta = clean.file_meta
        if "Rows" not in clean:
            return whole
        values = self.read()
        bits = int(clean.BitsAllocated)
        encoded = pack_bits(values.astype(np.uint8)) if bits == 1 else _bytes(values, bits)
        whole.add_new("PixelData", "OB" if bits <= 8 else "OW", encoded + b"\0" * (len(encoded) % 2))
        return whole


def _bytes(values: Stored, bits: int) -> bytes:
    if bits not in (8, 16, 32):
        raise deid_error("pixels_not_cleaned", "expected 1, 8, 16 or 32 bits per pixel")
    kind = "i" if np.issubdtype(values.dtype, np.signedinteger) else "u"
    return values.astype(f"<{kind}{bits // 8}", copy=False).tobytes()


def _check_bits(values: Stored, header: Dataset) -> None:
    """Refuses values outside BitsStored: an overlay may be hidden there."""
    bits = int(header.BitsStored)
    if values.ndim == 3 and values.dtype.kind in "iu" and bits == 8 * values.dtype.itemsize:
        return  # no value of this type needs more
    signed = header.get("PixelRepresentation") == 1
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    if values.ndim != 3 or values.dtype.kind not in "iub" or int(values.min()) < low or int(values.max()) > high:
        raise deid_error("pixels_not_cleaned", f"the image holds values that need more than its {bits} bits")


def _blackened(values: Stored, text: DeviceText, header: Dataset) -> Stored:
    if values.shape[1:] != (text.rows, text.columns):
        raise deid_error("burned_in_text", "the device's regions are given for images of another size")
    inverted = header.get("PhotometricInterpretation") == "MONOCHROME1"
    black = values.max() if inverted else values.min()
    masked = values.copy()
    for region in text.regions:
        masked[:, region.top : region.bottom, region.left : region.right] = black
    return masked
