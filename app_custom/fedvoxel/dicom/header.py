"""Reads what a DICOM file says of its image, without the image.

The header is taken apart completely before it is handed on: a value that cannot be read, or sequences in sequences
without end, are refused here and not found by whoever looks later.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.tag import BaseTag

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.stream import opened

MAX_DEPTH = 16
MAX_PIXELS = 2**28
MAX_FRAMES = 2**14
_MAX_SIDE = 2**16 - 1


def read_header(path: Path) -> Dataset:
    """Returns a file's elements before the pixels, all of them read and converted.

    Values pass unvalidated: whoever uses them judges them. Private elements that cannot be read are left out.

    Raises:
        DicomError: The file cannot be read, a standard element has a value that is none, sequences lie deeper than
            `MAX_DEPTH`, the image would have more than `MAX_PIXELS` pixels, or its values go through a table. The
            message quotes nothing.
    """
    with opened(path) as file:
        _convert(file.header)
        check_dimensions(file.header)
        if file.header.get("ModalityLUTSequence"):
            raise dicom_error("modality_table", "the values go through a table (ModalityLUTSequence)")
        return file.header


def check_dimensions(header: Dataset | Mapping[str, Any]) -> None:
    """Refuses an image that would not fit into memory, before anything is allocated for it.

    Raises:
        DicomError: absurd_dimensions.
    """
    names = {"Rows": _MAX_SIDE, "Columns": _MAX_SIDE, "NumberOfFrames": MAX_FRAMES, "SamplesPerPixel": 4}
    pixels = 1
    for keyword, most in names.items():
        value = header.get(keyword)
        if value is None:
            continue
        if not isinstance(value, int) or not 0 <= value <= most:
            raise dicom_error("absurd_dimensions", f"{keyword} is not a whole number up to {most}")
        pixels *= max(value, 1)
    if pixels > MAX_PIXELS:
        raise dicom_error("absurd_dimensions", f"expected an image of at most {MAX_PIXELS} pixels, got {pixels}")


def _convert(top: Dataset) -> None:
    """Has pydicom convert every value at every depth, without recursion of our own."""
    waiting = [(top, 1)]
    while waiting:
        dataset, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise dicom_error("too_deep", f"expected at most {MAX_DEPTH} sequences in each other")
        waiting += [(item, depth + 1) for item in _items(dataset)]


def _items(dataset: Dataset) -> Iterator[Dataset]:
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
        except (RecursionError, MemoryError):
            raise
        except Exception:
            if not BaseTag(tag).is_private:
                found = f"the value of {BaseTag(tag)} cannot be read"
                raise dicom_error("unreadable_value", found) from None
            del dataset[tag]
            continue
        if element.VR == "SQ" and element.value is not None:
            yield from element.value
