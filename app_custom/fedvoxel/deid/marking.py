"""Writes into a cleaned object whose it now is, and that and how it was de-identified.

Source: DICOM PS3.15 section E.1.1 items 6 to 8 and Table E.1-1a; PS3.16 CID 7050.
"""

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from fedvoxel.deid.codes import new_code
from fedvoxel.deid.policy import DeidPolicy
from fedvoxel.deid.subject import Subject

METHOD = "FedVoxel"
"""The first value of DeidentificationMethod in what this package made."""

IMPLEMENTATION = "2.25.194577036401207264961238871306530497425"
"""ImplementationClassUID of what this package writes."""

_CODES = {
    "113100": "Basic Application Confidentiality Profile",
    "113101": "Clean Pixel Data Option",
    "113105": "Clean Descriptors Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
    "113109": "Retain Device Identity Option",
}
REMOVED = "removed"
"""What stands where the standard wants a value and none may stay."""

UTF_8 = "ISO_IR 192"
"""The character set of what this package writes (PS3.3 section C.12.1.1.2)."""

_EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions")
_FACES = {
    "refuse": "no face by the body part declared",
    "defaced": "faces removed before, as the hospital declares",
    "kept": "faces kept, as the hospital accepts",
}

MARKED = (
    *("PatientID", "PatientName", "PatientIdentityRemoved", "DeidentificationMethod", "SpecificCharacterSet"),
    *("DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified", "BurnedInAnnotation"),
    "RecognizableVisualFeatures",
)
"""The attributes that `mark` writes."""

IN_CONCEPTS = ("CodeValue", "LongCodeValue", "CodingSchemeDesignator", "CodeMeaning")
"""The attributes that stand in coded concepts."""

FIXED_TEXTS = frozenset(
    {METHOD, *_CODES, *_CODES.values(), *_FACES.values(), REMOVED, UTF_8, "MODIFIED", "REMOVED", "YES", "NO"}
)
"""The words that it writes."""


def options_of(policy: DeidPolicy, masked: bool, named: bool) -> tuple[str, ...]:
    """Returns the codes of the profile and of the options that are applied.

    Args:
        policy: What was chosen.
        masked: Whether regions of the pixels were made black.
        named: Whether names of segments or structures may stay.
    """
    applied = {
        "113100": True,
        "113101": masked,
        "113105": named,
        "113107": policy.dates == "shift",
        "113108": policy.patient_characteristics,
        "113109": policy.device_identity,
    }
    return tuple(code for code, is_applied in applied.items() if is_applied)


def meaning_of(code: str) -> str:
    """Returns the standard's words for an option's code."""
    return _CODES[code]


def mark(clean: Dataset, subject: Subject, masked: bool) -> None:
    """Names the patient by the pseudonym, and says that and how the object was de-identified."""
    policy = subject.policy
    clean.PatientID = clean.PatientName = subject.pseudonym
    clean.PatientIdentityRemoved = "YES"
    clean.DeidentificationMethod = [METHOD, _FACES[policy.faces]]
    codes = options_of(policy, masked, bool(subject.names))
    clean.DeidentificationMethodCodeSequence = Sequence([new_code(code, "DCM", meaning_of(code)) for code in codes])
    clean.LongitudinalTemporalInformationModified = "MODIFIED" if policy.dates == "shift" else "REMOVED"
    if masked:
        clean.BurnedInAnnotation = "NO"
    if policy.faces != "refuse":
        clean.RecognizableVisualFeatures = "YES" if policy.faces == "kept" else "NO"
    clean.SpecificCharacterSet = UTF_8
    _complete_equipment(clean)
    clean.file_meta = _file_meta(clean)


def _complete_equipment(clean: Dataset) -> None:
    """Fills what objects with functional groups must have (PS3.3 section C.7.5.2) and what may not stay."""
    if "SharedFunctionalGroupsSequence" in clean:
        for keyword in _EQUIPMENT:
            if not clean.get(keyword):
                setattr(clean, keyword, REMOVED)


def _file_meta(clean: Dataset) -> FileMetaDataset:
    """Returns new file meta information: of the original's, AE titles and private information, nothing stays."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = clean.SOPClassUID
    meta.MediaStorageSOPInstanceUID = clean.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION  # type: ignore[assignment]
    meta.ImplementationVersionName = "FEDVOXEL"
    return meta
