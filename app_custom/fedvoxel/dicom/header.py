"""Reads what a DICOM file says of its image, without the image.

The header is taken apart completely before it is handed on: a value that cannot be read, or sequences in sequences
without end, are refused here and not found by whoever looks later.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.stream import opened

MAX_DEPTH = 16
MAX_PIXELS = 2**28
MAX_FRAMES = 2**14
_MAX_SIDE = 2**16 - 1
_TEXTS = frozenset(
    {
        *("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"),
    }
)
"""What pydicom makes a value of whatever the bytes are: left for whoever looks at it."""
_MOST = {"Rows": _MAX_SIDE, "Columns": _MAX_SIDE, "NumberOfFrames": MAX_FRAMES, "SamplesPerPixel": 4}
_WANTED = {Tag(keyword): keyword for keyword in (*_MOST, "BitsAllocated", "ModalityLUTSequence")}


def read_header(path: Path) -> Dataset:
    """Returns a file's elements before the pixels, all of them read, and converted where that may fail.

    Values pass unvalidated: whoever uses them judges them. Private elements that cannot be read are left out.

    Raises:
        DicomError: The file cannot be read, a standard element has a value that is none, sequences lie deeper than
            `MAX_DEPTH`, the image would have more than `MAX_PIXELS` pixels (of single bits four times that), or its
            values go through a table. The message quotes nothing.
    """
    with opened(path) as file:
        _convert(file.header)
        values = values_of(file.header, _WANTED)
        check_dimensions(values)
        if values.get("ModalityLUTSequence"):
            raise dicom_error("modality_table", "the values go through a table (ModalityLUTSequence)")
        return file.header


def values_of(header: Dataset, wanted: Mapping[BaseTag, str]) -> dict[str, Any]:
    """Returns the values by keyword of those elements at the top level that are there."""
    return {keyword: header[tag].value for tag, keyword in wanted.items() if tag in header}


def check_dimensions(values: Mapping[str, Any]) -> None:
    """Refuses an image that would not fit into memory, before anything is allocated for it.

    Args:
        values: The values of a header by keyword.

    Raises:
        DicomError: absurd_dimensions.
    """
    pixels = 1
    for keyword, most in _MOST.items():
        value = values.get(keyword)
        if value is None:
            continue
        if not isinstance(value, int) or not 0 <= value <= most:
            raise dicom_error("absurd_dimensions", f"{keyword} is not a whole number up to {most}")
        pixels *= max(value, 1)
    # Single bits take a byte each in memory, a volume's voxels take four.
    most_pixels = 4 * MAX_PIXELS if values.get("BitsAllocated") == 1 else MAX_PIXELS
    if pixels > most_pixels:
        raise dicom_error("absurd_dimensions", f"expected an image of at most {most_pixels} pixels, got {pixels}")


def _convert(top: Dataset) -> None:
    """Has pydicom convert every value that may be none, at every depth, without recursion of our own."""
    waiting = [(top, 1)]
    while waiting:
        dataset, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise dicom_error("too_deep", f"expected at most {MAX_DEPTH} sequences in each other")
        waiting += [(item, depth + 1) for item in _items(dataset)]


def _items(dataset: Dataset) -> Iterator[Dataset]:
    for element in list(dataset.values()):
        tag = element.tag
        if isinstance(element, RawDataElement) and element.VR in _TEXTS:
            continue
        try:
            converted = dataset[tag]
        except (RecursionError, MemoryError):
            raise
        except Exception:
            if not tag.is_private:
                raise dicom_error("unreadable_value", f"the value of {tag} cannot be read") from None
            del dataset[tag]
            continue
        if converted.VR == "SQ" and converted.value is not None:
            yield from converted.value
