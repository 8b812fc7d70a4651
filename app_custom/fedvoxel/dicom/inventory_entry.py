"""What one file says of itself: to which series and patient it belongs, and on which series it was drawn."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import MediaStorageDirectoryStorage

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.glance import glance
from fedvoxel.dicom.stream import opened

_NAMES = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_REFERENCES = ("ReferencedSeriesSequence", "ReferencedFrameOfReferenceSequence")
_NESTED = (*_REFERENCES, "RTReferencedStudySequence", "RTReferencedSeriesSequence")
_OTHERS = ("Modality", "PatientID", "IssuerOfPatientID", "FrameOfReferenceUID", *_REFERENCES)
_TAGS = {int(Tag(keyword)): keyword for keyword in (*_NAMES, *_OTHERS)}
_WANTED = frozenset(_TAGS)
_UID = re.compile(r"[0-9][0-9.]{0,63}")
_MODALITY = re.compile(r"[A-Z0-9_ ]{1,16}")
_LONGEST_TEXT = 256

Source = Dataset | Mapping[str, str]
"""Has the values of elements by keyword."""


@dataclass(frozen=True)
class Entry:
    """Is what one file says of itself; shows nothing of it."""

    path: Path = field(repr=False)
    sop_class_uid: str = field(repr=False)
    sop_instance_uid: str = field(repr=False)
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    modality: str = field(repr=False)
    patient_id: str = field(repr=False)
    issuer: str = field(repr=False)
    frame_of_reference_uid: str = field(repr=False)
    referenced_series: tuple[str, ...] = field(repr=False)


def read_entry(path: Path) -> Entry:
    """Returns what a file says of itself; only the elements needed are read. A patient may be without PatientID.

    Raises:
        DicomError: The file cannot be read, is a DICOMDIR, or lacks what tells to whom it belongs.
    """
    seen = glance(path, _WANTED)
    plain = None if seen is None else _plain(seen.values)
    if plain is not None:
        return _entry(path, plain)
    with opened(path, tuple(_TAGS)) as file:
        if file.header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            raise dicom_error("directory_record", "the file is a DICOMDIR")
        return _entry(path, file.header)


def _plain(values: Mapping[int, bytes]) -> Mapping[str, str] | None:
    """Returns values by keyword; None if they take more than ASCII, or a sequence, to understand."""
    texts = {_TAGS[tag]: value for tag, value in values.items()}
    odd = any(not value.isascii() or b"\x1b" in value or b"\\" in value for value in texts.values())
    if odd or not texts.keys() >= set(_NAMES) or not texts.keys().isdisjoint(_REFERENCES):
        return None
    return {keyword: value.decode("ascii") for keyword, value in texts.items()}


def _entry(path: Path, header: Source) -> Entry:
    uids = [_uid(header, keyword) for keyword in _NAMES]
    modality = _text(header, "Modality")
    missing = [keyword for keyword, uid in zip(_NAMES, uids, strict=True) if not uid]
    missing += [] if _MODALITY.fullmatch(modality) else ["Modality"]
    missing += [] if len(str(header.get("PatientID") or "")) <= _LONGEST_TEXT else ["PatientID"]
    if missing:
        raise dicom_error("no_identity", f"no usable {', '.join(missing)}")
    class_uid, instance_uid, study_uid, series_uid = uids
    return Entry(
        path=path,
        sop_class_uid=class_uid,
        sop_instance_uid=instance_uid,
        study_uid=study_uid,
        series_uid=series_uid,
        modality=modality,
        patient_id=_text(header, "PatientID"),
        issuer=_text(header, "IssuerOfPatientID"),
        frame_of_reference_uid=_uid(header, "FrameOfReferenceUID"),
        referenced_series=tuple(sorted(set(_referenced(header)))),
    )


def _referenced(dataset: Source, depth: int = 0) -> Iterator[str]:
    """Yields the SeriesInstanceUIDs in the sequences of a SEG or RTSTRUCT that name what it was drawn on."""
    for keyword in _NESTED if depth else _REFERENCES:
        items: Any = dataset.get(keyword) or ()
        for item in items:
            uid = _uid(item, "SeriesInstanceUID")
            if uid:
                yield uid
            if depth < len(_NESTED):
                yield from _referenced(item, depth + 1)


def _frame_of_reference(header: Dataset) -> str:
    """Returns the file's frame of reference; a structure set has none of its own but the one that it refers to."""
    referenced = {_uid(item, "FrameOfReferenceUID") for item in header.get("ReferencedFrameOfReferenceSequence") or ()}
    return _uid(header, "FrameOfReferenceUID") or (referenced.pop() if len(referenced) == 1 else "")


def _uid(dataset: Source, keyword: str) -> str:
    value = _text(dataset, keyword)
    return value if _UID.fullmatch(value) else ""


def _text(dataset: Source, keyword: str) -> str:
    value = dataset.get(keyword)
    text = value.strip(" \0") if isinstance(value, str) else ""
    return text if len(text) <= _LONGEST_TEXT else ""
