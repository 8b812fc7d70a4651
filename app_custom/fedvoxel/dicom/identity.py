"""What a header says of who the patient is, beside the number: compared, and never shown."""

from collections.abc import Iterable
from pathlib import Path

from pydicom import Dataset
from pydicom.tag import Tag

from fedvoxel.dicom.stream import opened

_KEYWORDS = ("PatientName", "PatientBirthDate", "PatientSex")
_TAGS = tuple(int(Tag(keyword)) for keyword in ("SpecificCharacterSet", *_KEYWORDS))

Identity = tuple[str, ...]
"""PatientName, PatientBirthDate and PatientSex as they are compared, "" where a header says nothing."""


def identity_of(header: Dataset) -> Identity:
    """Returns what a header says of the patient, without what devices write differently of one person.

    Of a name only the first group is compared, in which every device writes; case, spaces and carets at its end are
    not (PS3.5 6.2.1).
    """
    name, born, sex = (str(header.get(keyword) or "").strip(" \0").casefold() for keyword in _KEYWORDS)
    groups = [group for group in name.split("=") if group.strip(" ^")] or [""]
    parts = (" ".join(part.split()) for part in groups[0].split("^"))
    return "^".join(parts).rstrip("^"), born, sex


def read_identity(path: Path) -> Identity:
    """Returns what a file says of the patient.

    Raises:
        DicomError: It cannot be read.
    """
    with opened(path, _TAGS) as file:
        return identity_of(file.header)


def are_several(identities: Iterable[Identity]) -> bool:
    """Says whether headers contradict each other; one that says nothing contradicts nobody."""
    return any(len(set(said) - {""}) > 1 for said in zip(*identities, strict=True))
