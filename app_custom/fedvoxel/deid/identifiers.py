"""Collects what names the patient, the people and the places in the original objects, to search for it afterwards."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement

from fedvoxel.deid.known_uids import REGISTERED
from fedvoxel.deid.rules import values_of

SHORTEST = 3
"""Shorter pieces of names and identifiers occur everywhere."""

_NAME_PARTS = re.compile(r"[\^=\s,;/\\]+")
_IDENTIFYING = {
    tag_for_keyword(keyword)
    for keyword in (
        *("PatientID", "OtherPatientIDs", "AccessionNumber", "StudyID", "PatientBirthDate", "InstitutionName"),
        *("InstitutionAddress", "InstitutionalDepartmentName", "StationName", "DeviceSerialNumber", "PatientAddress"),
        *("PatientTelephoneNumbers", "RequestedProcedureID", "ScheduledProcedureStepID", "PerformedProcedureStepID"),
        *("AdmissionID", "ServiceEpisodeID", "MedicalRecordLocator", "MilitaryRank", "BranchOfService", "Occupation"),
        *("FillerOrderNumberImagingServiceRequest", "PlacerOrderNumberImagingServiceRequest", "IssuerOfPatientID"),
        *("ReferringPhysicianAddress", "ReferringPhysicianTelephoneNumbers", "PersonAddress", "DetectorID", "PlateID"),
        *("CassetteID", "GantryID", "GeneratorID", "PersonTelephoneNumbers", "OrderCallbackPhoneNumber"),
    )
}


@dataclass(repr=False)
class Identifiers:
    """Holds what names somebody; shows none of it.

    Attributes:
        words: Pieces of names, and whole identifiers, folded to lower case, of at least `SHORTEST` characters.
        uids: UIDs that the standard does not register.
    """

    words: set[str] = field(default_factory=set)
    uids: set[str] = field(default_factory=set)


def identifiers_of(headers: Iterable[Dataset]) -> Identifiers:
    """Returns what names somebody in `headers`, at every depth and in the file meta information."""
    found = Identifiers()
    for header in headers:
        for element in _elements(header):
            _collect(element, found)
    return found


def _elements(header: Dataset) -> Iterator[DataElement]:
    waiting = [header]
    meta = getattr(header, "file_meta", None)
    if meta is not None:
        waiting.append(meta)
    while waiting:
        dataset = waiting.pop()
        for tag in list(dataset.keys()):
            try:
                element = dataset[tag]
            except (RecursionError, MemoryError):
                raise
            except Exception:  # noqa: S112 - the engine drops what cannot be read, or refuses the object
                continue
            if element.VR == "SQ":
                waiting += [item for item in element.value or () if isinstance(item, Dataset)]
            else:
                yield element


def _collect(element: DataElement, found: Identifiers) -> None:
    vr = element.VR
    if vr == "UI":
        found.uids.update(uid for part in _texts(element.value) if (uid := part) and uid not in REGISTERED)
    elif vr == "PN":
        for part in _texts(element.value):
            found.words.update(_long_enough(_NAME_PARTS.split(part)))
    elif vr == "AE" or element.tag in _IDENTIFYING:
        found.words.update(_long_enough(_texts(element.value)))


def _texts(value: Any) -> list[str]:
    if value is None or isinstance(value, bytes):
        return []
    return [str(part).strip(" \0") for part in values_of(value)]


def _long_enough(parts: Iterable[str]) -> Iterator[str]:
    return (part.strip().casefold() for part in parts if len(part.strip()) >= SHORTEST)
