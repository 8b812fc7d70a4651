"""Cleans a data set at every depth: an attribute stays only by the allow-list, and every value passes a rule.

Default-deny: what the allow-list does not name is not looked at. So private attributes, overlays, curves, free text,
names, encrypted and unknown attributes are gone wherever they stand, whatever they are called.
"""

from collections.abc import Sequence
from typing import Any

from pydicom import Dataset
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.valuerep import VR

from fedvoxel.deid.allow_list import ALLOWED, Allowed
from fedvoxel.deid.codes import NEUTRAL, clean_code, new_code
from fedvoxel.deid.faults import deid_error
from fedvoxel.deid.subject import Subject

MAX_DEPTH = 32
"""Sequences in sequences beyond this are refused."""

_AMBIGUOUS = {"US or SS": ("US", "SS")}


def clean_dataset(dataset: Dataset, subject: Subject, depth: int = 0) -> Dataset:
    """Returns a new data set with what may stay of `dataset`; `dataset` is unchanged, nothing is shared with it.

    Args:
        dataset: As pydicom read it, at any depth.
        subject: Whom it is of.
        depth: How many sequences it stands in.

    Raises:
        DeidError: unusable_value, where geometry or values would be wrong without the attribute; nested_too_deep.

    Source: DICOM PS3.15 section E.1.1.
    """
    if depth > MAX_DEPTH:
        raise deid_error("nested_too_deep", f"expected at most {MAX_DEPTH} sequences in each other")
    clean = Dataset()
    for tag in sorted(tag for tag in list(dataset.keys()) if int(tag) in ALLOWED):
        allowed = ALLOWED[int(tag)]
        value = _clean_value(dataset, tag, subject, depth)
        if value is None:
            if allowed.otherwise == "refuse":
                raise deid_error("unusable_value", f"{allowed.keyword} has a value that cannot be used")
            if allowed.otherwise == "drop":
                continue
        clean.add(_element(tag, allowed, value, dataset))
    return clean


def _clean_value(dataset: Dataset, tag: Any, subject: Subject, depth: int) -> Any:
    """Returns what may go out for one attribute, None if nothing, "" if it came empty."""
    allowed = ALLOWED[int(tag)]
    try:
        value = dataset[tag].value
    except (RecursionError, MemoryError):
        raise
    except Exception:
        # A value that pydicom cannot read is one that fits no rule; its error quotes it.
        return None
    if allowed.kind != "value":
        return _clean_items(allowed, value, subject, depth)
    if _is_empty(value):
        return ""
    return allowed.rule(value, subject, dataset) if allowed.rule else None


def _is_empty(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, str | bytes | list | MultiValue) and len(value) == 0


def _clean_items(allowed: Allowed, value: Any, subject: Subject, depth: int) -> list[Dataset] | None:
    if not isinstance(value, Sequence):
        return None
    if allowed.kind in ("codes", "neutral codes"):
        items = [_clean_concept(allowed, item, subject, depth) for item in value]
    else:
        items = [clean_dataset(item, subject, depth + 1) for item in value]
    kept = [item for item in items if item is not None and (len(item) or allowed.kind == "frames")]
    return kept or None


def _clean_concept(allowed: Allowed, item: Dataset, subject: Subject, depth: int) -> Dataset | None:
    concept = clean_code(item, subject.names)
    if concept is None and allowed.kind == "neutral codes":
        concept = new_code(*NEUTRAL)
    if concept is not None:
        # Modifiers ("left") stand inside the concept that they modify.
        for element in clean_dataset(item, subject, depth + 1):
            if element.VR == VR.SQ:
                concept.add(element)
    return concept


def _element(tag: Any, allowed: Allowed, value: Any, dataset: Dataset) -> DataElement:
    vr = allowed.vr
    if vr in _AMBIGUOUS:
        signed = dataset.get("PixelRepresentation") == 1
        vr = _AMBIGUOUS[vr][signed]
        value = _in_16_bits(value, signed)
    empty: Any = [] if vr == VR.SQ else ""
    return DataElement(Tag(tag), vr, empty if value is None else value, validation_mode=IGNORE)


def _in_16_bits(value: Any, signed: bool) -> Any:
    """Returns padding values as the pixels have them: devices write -2000 as 63536 and the reverse."""
    if not isinstance(value, int):
        return "" if value in (None, "") else [_in_16_bits(int(part), signed) for part in value]
    low = value % 65536
    return low - 65536 if signed and low >= 32768 else low
