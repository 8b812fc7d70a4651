"""The headers that results are made against: the original's, with what the standard wants and the source left out."""

from collections.abc import Sequence
from copy import copy

from pydicom import Dataset

_UNICODE = "ISO_IR 192"
_EMPTY_WHERE_MISSING = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator"),
)
"""Type 2: there, but possibly without a value (PS3.3 C.7.1.1, C.7.2.1, C.7.4.1)."""


def source_headers(headers: Sequence[Dataset]) -> list[Dataset]:
    """Returns copies that share the originals' values; private elements are left out.

    Source: PS3.3 C.7.1 to C.7.4.
    """
    return [_completed(header) for header in headers]


def _completed(header: Dataset) -> Dataset:
    made = Dataset()
    for tag in header.keys():  # noqa: SIM118  (a data set iterates over its elements)
        if not tag.is_private:
            # Read with the original's own character set; copied, since highdicom hands the very element on, and who
            # changes a result would change what it is then compared with.
            made[tag] = copy(header[tag])
    if not isinstance(made.get("SpecificCharacterSet", ""), str):
        made.SpecificCharacterSet = _UNICODE  # highdicom cannot take code extensions (PS3.3 C.12.1.1.2)
    for keyword in _EMPTY_WHERE_MISSING:
        if keyword not in made:
            setattr(made, keyword, "")
    return made


def write_text_as_unicode(made: Dataset, texts: Sequence[str]) -> None:
    """Has an object written in UTF-8 if `texts` need it; else in the original's characters, its names byte for byte."""
    if not all(text.isascii() for text in texts):
        made.SpecificCharacterSet = _UNICODE
