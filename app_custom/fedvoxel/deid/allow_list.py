"""The attributes that may stay, each with the rule for its value: what is not here goes.

Attributes that DICOM PS3.15 Table E.1-1 removes are here only where one of the offered options keeps them cleaned
(`OPTIONS`), or where the standard wants a replacement.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword

from fedvoxel.deid.allowed_numbers import NUMBERS
from fedvoxel.deid.allowed_sequences import CODES, FRAMES, NEUTRAL_CODES, SEQUENCES
from fedvoxel.deid.allowed_terms import KERNEL, OTHER_IMAGE_TYPES, TERMS
from fedvoxel.deid.allowed_values import VALUES
from fedvoxel.deid.rules import Number, Rule, Terms

Otherwise = Literal["drop", "empty", "refuse"]
Kind = Literal["value", "items", "frames", "codes", "neutral codes"]


@dataclass(frozen=True)
class Allowed:
    """Says how an attribute may stay.

    Attributes:
        keyword: Its keyword.
        vr: Its value representation.
        kind: A value, or a sequence of items (of frames: none may go), or of coded concepts.
        rule: The rule for a value.
        otherwise: What happens to a value that fits no rule.
    """

    keyword: str
    vr: str
    kind: Kind = "value"
    rule: Rule | None = None
    otherwise: Otherwise = "drop"


_EMPTY = frozenset(
    {
        *("SeriesNumber", "InstanceNumber", "AcquisitionNumber", "KVP", "StudyDate", "StudyTime", "ContentDate"),
        *("ContentTime", "PatientSex", "Laterality", "Manufacturer", "PatientPosition", "StructureSetDate"),
        *("StructureSetTime", "ROIGenerationAlgorithm", "RTROIInterpretedType", "EchoTime", "EchoTrainLength"),
        *("RepetitionTime", "InversionTime", "FrameOfReferenceUID", "AcquisitionContextSequence", "SliceThickness"),
        *("PatientOrientation", "ScanOptions"),
    }
)
"""Of type 2 in some object: emptied rather than left out."""

_REFUSE = frozenset(
    {
        *("Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
        *("SamplesPerPixel", "PhotometricInterpretation", "PixelSpacing", "ImagePositionPatient"),
        *("ImageOrientationPatient", "RescaleSlope", "RescaleIntercept", "SOPClassUID", "SOPInstanceUID"),
        *("StudyInstanceUID", "SeriesInstanceUID", "Modality", "ContourData", "ROINumber", "ReferencedROINumber"),
        *("SegmentNumber", "ReferencedSegmentNumber", "SegmentationType", "MaximumFractionalValue"),
        *("GantryDetectorTilt", "SpacingBetweenSlices", "DimensionIndexValues", "ContourGeometricType"),
        *("ReferencedFrameNumber", "ReferencedSOPInstanceUID", "ReferencedFrameOfReferenceUID"),
    }
)
"""Wrong geometry or values without them: the object is refused."""


def _allowed() -> Iterator[Allowed]:
    for kind, keywords in (
        ("items", SEQUENCES),
        ("frames", FRAMES),
        ("codes", CODES),
        ("neutral codes", NEUTRAL_CODES),
    ):
        for keyword in keywords:
            yield _entry(keyword, kind, None)  # type: ignore[arg-type]
    for (low, high), numbers in NUMBERS:
        for keyword in numbers.split():
            yield _entry(keyword, "value", Number(low, high, _most_values(keyword)))
    for keyword, terms in TERMS.items():
        other = OTHER_IMAGE_TYPES.get(keyword)
        yield _entry(keyword, "value", Terms(frozenset(terms.split("|")), other))
    for keyword, rule in {**VALUES, "ConvolutionKernel": KERNEL}.items():
        yield _entry(keyword, "value", rule)


def _most_values(keyword: str) -> int | None:
    """Returns how many values an attribute may have by PS3.6 ("4", "1-2"), None for any number ("1-n", "3-3n")."""
    most = dictionary_VM(tag_for_keyword(keyword) or 0).rpartition("-")[2]
    return int(most) if most.isdigit() else None


def _entry(keyword: str, kind: Kind, rule: Rule | None) -> Allowed:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(f"{keyword} is no keyword of the standard")
    otherwise: Otherwise = "empty" if keyword in _EMPTY else "refuse" if keyword in _REFUSE else "drop"
    return Allowed(keyword, dictionary_VR(tag), kind, rule, otherwise)


def _by_tag() -> dict[int, Allowed]:
    table: dict[int, Allowed] = {}
    for entry in _allowed():
        tag = int(tag_for_keyword(entry.keyword) or 0)
        if tag in table:
            raise KeyError(f"{entry.keyword} has two rules")
        table[tag] = entry
    return table


ALLOWED: Mapping[int, Allowed] = _by_tag()
"""Tag to how the attribute may stay."""
