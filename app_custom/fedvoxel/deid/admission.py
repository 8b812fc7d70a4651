"""Which series may be de-identified at all: of an allowed kind, of one named patient, without text in the pixels.

Source: DICOM PS3.15 section E.1.1, PS3.3 sections C.7.6.1.1.2 (ImageType) and C.7.6.1.1 (BurnedInAnnotation).
"""

import re
from collections.abc import Sequence
from typing import Any

from pydicom import Dataset, uid

from fedvoxel.deid.faults import deid_error
from fedvoxel.deid.known_uids import LABELMAP_SEGMENTATION
from fedvoxel.deid.marking import METHOD
from fedvoxel.deid.policy import DeidPolicy, DeviceText, SopClass
from fedvoxel.deid.rules import values_of
from fedvoxel.dicom.series import SeriesFiles

SOP_CLASSES: dict[str, SopClass] = {
    uid.CTImageStorage: "CT",
    uid.EnhancedCTImageStorage: "ENHANCED_CT",
    uid.LegacyConvertedEnhancedCTImageStorage: "LEGACY_ENHANCED_CT",
    uid.MRImageStorage: "MR",
    uid.EnhancedMRImageStorage: "ENHANCED_MR",
    uid.LegacyConvertedEnhancedMRImageStorage: "LEGACY_ENHANCED_MR",
    uid.PositronEmissionTomographyImageStorage: "PT",
    uid.EnhancedPETImageStorage: "ENHANCED_PT",
    uid.LegacyConvertedEnhancedPETImageStorage: "LEGACY_ENHANCED_PT",
    uid.SegmentationStorage: "SEG",
    LABELMAP_SEGMENTATION: "LABELMAP_SEG",
    uid.RTStructureSetStorage: "RTSTRUCT",
    uid.UltrasoundImageStorage: "US",
    uid.UltrasoundMultiFrameImageStorage: "US_MULTIFRAME",
    uid.SecondaryCaptureImageStorage: "SC",
}
"""SOP class UID to its name in a policy."""

DRAWN: frozenset[SopClass] = frozenset({"SEG", "LABELMAP_SEG", "RTSTRUCT"})
"""Objects that were drawn, not taken: they show neither text nor faces."""

_ALWAYS_TEXT: frozenset[SopClass] = frozenset({"US", "US_MULTIFRAME", "SC"})
_TEXT_IMAGE = re.compile(r"(?<![A-Z])(SCREEN|SCREENSAVE|PROT|PROTOCOL|REPORT|DOSE|TEXT|PASTED|CAPTURE)(?![A-Z])")


def kind_of(header: Dataset, policy: DeidPolicy) -> SopClass:
    """Returns the kind of an object.

    Raises:
        DeidError: The policy does not allow objects of its SOP class.
    """
    kind = SOP_CLASSES.get(_text(header, "SOPClassUID"))
    if kind is None or kind not in policy.sop_classes:
        allowed = ", ".join(policy.sop_classes)
        raise deid_error("sop_class_not_allowed", f"expected objects of the kinds {allowed}, found another one")
    return kind


def identity_of(files: SeriesFiles, headers: Sequence[Dataset], policy: DeidPolicy) -> tuple[str, str]:
    """Returns (PatientID, IssuerOfPatientID) of a series, or a stand-in from its study where the policy says so.

    Raises:
        DeidError: The headers are not those of `files`, name no patient, or were made by this package before.
    """
    if len(headers) != len(files.paths) or not headers:
        raise deid_error("mixed_identity", f"expected {len(files.paths)} headers, got {len(headers)}")
    expected = (files.patient_id.strip(), files.issuer.strip(), files.study_uid.strip(), files.series_uid.strip())
    keywords = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID", "SeriesInstanceUID")
    for header in headers:
        if values_of(header.get("DeidentificationMethod"))[0:1] in ([METHOD], (METHOD,)):
            raise deid_error("already_deidentified", "the series was de-identified by this software before")
        if tuple(_text(header, keyword) for keyword in keywords) != expected:
            raise deid_error("mixed_identity", "expected one patient, study and series, found several")
    if expected[0]:
        return expected[0], expected[1]
    if policy.unnamed_patients == "refuse":
        raise deid_error("unnamed_patient", "the series names no patient")
    return expected[2], "fedvoxel: the study stands in for its patient"


def text_regions_of(header: Dataset, kind: SopClass, policy: DeidPolicy) -> DeviceText | None:
    """Returns where the image's device writes text, None if the image holds none.

    Raises:
        DeidError: The image may hold text, and the policy does not say where.
    """
    if kind in DRAWN:
        return None
    device = (_text(header, "Manufacturer"), _text(header, "ManufacturerModelName"))
    size = (header.get("Rows"), header.get("Columns"))
    for known in policy.device_texts:
        if (known.manufacturer, known.model) == device and (known.rows, known.columns) == size:
            return known
    if kind in _ALWAYS_TEXT or _may_hold_text(header):
        raise deid_error("burned_in_text", "the image may hold text, and its device's regions are not known")
    return None


def _may_hold_text(header: Dataset) -> bool:
    if set(_words(header.get("BurnedInAnnotation"))) - {"", "NO"}:
        return True
    if "ConversionType" in header or _text(header, "Modality") in ("SC", "OT", "DOC", "US"):
        return True
    return bool(_TEXT_IMAGE.search(" ".join(_words(header.get("ImageType")))))


def _words(value: Any) -> list[str]:
    return [str(part).strip(" \0").upper() for part in values_of(value)] if value is not None else []


def _text(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    return str(value).strip(" \0") if isinstance(value, str) else ""
