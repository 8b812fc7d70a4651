"""Keeps coded concepts that the standard lists, with the standard's own words; others hold anything.

Source: DICOM PS3.3 section 8.8, PS3.16 (the concepts that pydicom 3.0 ships).
"""

from functools import cache
from typing import Any

from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.sr._concepts_dict import concepts
from pydicom.sr._snomed_dict import mapping

NEUTRAL = ("85756007", "SCT", "Tissue")
"""What a strange concept becomes where the standard wants one (value, scheme, meaning)."""

_OLD_SNOMED = ("SRT", "SNM3", "99SDM")


@cache
def _meanings() -> dict[tuple[str, str], str]:
    """Returns the meaning of each (scheme, value) that is known; old SNOMED values mean what their new ones do."""
    schemes: Any = concepts
    known = {
        (scheme, value): meaning
        for scheme, keywords in schemes.items()
        for values in keywords.values()
        for value, (meaning, _) in values.items()
    }
    for old, new in mapping["SRT"].items():
        if meaning := known.get(("SCT", new)):
            known |= {(scheme, old): meaning for scheme in _OLD_SNOMED}
    return known


@cache
def known_meanings() -> frozenset[str]:
    """Returns the standard's words for all concepts that are known, and their values and schemes."""
    known = _meanings()
    schemes, values = {scheme for scheme, _ in known}, {value for _, value in known}
    return frozenset(schemes | values | {meaning[:64] for meaning in known.values()})


def code_of(item: Dataset) -> tuple[str, str]:
    """Returns (scheme, value) of a coded item; ("", "") if it has none."""
    scheme, value = item.get("CodingSchemeDesignator"), item.get("CodeValue") or item.get("LongCodeValue")
    if not (isinstance(scheme, str) and isinstance(value, str)):
        return "", ""
    return scheme.strip(" \0"), value.strip(" \0")


def clean_code(item: Dataset, names: frozenset[str]) -> Dataset | None:
    """Returns a coded item with the standard's words, or None if it is neither standard nor among `names`.

    Args:
        item: The item as it came.
        names: Codes that the cohort's configuration holds ("SCT|10200004"); their meaning is then the code itself.
    """
    scheme, value = code_of(item)
    meaning = _meanings().get((scheme, value))
    if meaning is None and scheme and f"{scheme}|{value}" in names:
        meaning = f"{scheme} {value}"
    return None if meaning is None else new_code(value, scheme, meaning)


def new_code(value: str, scheme: str, meaning: str) -> Dataset:
    """Returns a coded item."""
    item = Dataset()
    keyword: Any = "CodeValue" if len(value) <= 16 else "LongCodeValue"
    setattr(item, keyword, value)
    item.CodingSchemeDesignator = scheme
    item.add(DataElement("CodeMeaning", "LO", meaning[:64]))
    return item
