"""Which attributes may stay by a rule of their own: UIDs, dates, the patient's characteristics, the device, names."""

import re

from fedvoxel.deid.device_rules import Maker, Model, SerialNumber
from fedvoxel.deid.rules import (
    Age,
    Characteristic,
    Constant,
    KnownTag,
    KnownUid,
    Label,
    MappedUid,
    Moved,
    Number,
    Pattern,
    Rule,
    Terms,
)

_MAPPED = (
    *("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "ReferencedSOPInstanceUID"),
    *("ReferencedFrameOfReferenceUID", "SynchronizationFrameOfReferenceUID", "DimensionOrganizationUID"),
    *("IrradiationEventUID", "AcquisitionUID", "ConcatenationUID", "SOPInstanceUIDOfConcatenationSource"),
)
_EMPTIED = (
    *("ReferringPhysicianName", "PatientBirthDate", "AccessionNumber", "StudyID", "PositionReferenceIndicator"),
    *("ContentCreatorName", "ContentDescription", "ROIInterpreter", "ContrastBolusAgent"),
)
_DATES = {
    **{"StudyDate": "StudyTime", "SeriesDate": "SeriesTime", "AcquisitionDate": "AcquisitionTime"},
    **{"ContentDate": "ContentTime", "StructureSetDate": "StructureSetTime"},
}
_TIMES = (*_DATES.values(), "RadiopharmaceuticalStartTime", "RadiopharmaceuticalStopTime")
_DATETIMES = (
    *("AcquisitionDateTime", "FrameReferenceDateTime", "FrameAcquisitionDateTime", "DecayCorrectionDateTime"),
    *("RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStopDateTime"),
)

VALUES: dict[str, Rule] = {
    **dict.fromkeys(_MAPPED, MappedUid()),
    **dict.fromkeys(_EMPTIED, Constant("")),
    **dict.fromkeys(("SOPClassUID", "ReferencedSOPClassUID"), KnownUid()),
    **dict.fromkeys(("DimensionIndexPointer", "FunctionalGroupPointer"), KnownTag()),
    **{keyword: Moved("DA", time) for keyword, time in _DATES.items()},
    **dict.fromkeys(_TIMES, Moved("TM")),
    **dict.fromkeys(_DATETIMES, Moved("DT")),
    "PatientAge": Characteristic(Age()),
    "PatientSex": Characteristic(Terms(frozenset({"F", "M", "O"}))),
    "PatientSize": Characteristic(Number(0, 3)),
    "PatientWeight": Characteristic(Number(0, 500)),
    "Manufacturer": Maker(),
    "ManufacturerModelName": Model(),
    "DeviceSerialNumber": SerialNumber(),
    "SoftwareVersions": Constant("removed"),
    "SegmentLabel": Label("SegmentNumber"),
    "ROIName": Label("ROINumber"),
    "SegmentAlgorithmName": Constant("removed"),
    "StructureSetLabel": Constant("removed"),
    "ContentLabel": Constant("SEGMENTATION"),
    "StackID": Pattern(re.compile(r"[0-9]{1,3}"), "kept if a number of up to three digits"),
}
"""Keyword to rule."""
