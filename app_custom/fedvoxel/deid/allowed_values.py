"""Which attributes may stay by a rule of their own: UIDs, dates, the patient's characteristics, the device, names."""

from fedvoxel.deid.device_rules import Maker, Model, SerialNumber
from fedvoxel.deid.object_rules import Label, OneValuePerPixel, Renamed
from fedvoxel.deid.patient_rules import Age, Characteristic, Moved
from fedvoxel.deid.rules import Constant, KnownTag, KnownUid, MappedUid, Number, Rule, Terms

_MAPPED = (
    *("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "ReferencedSOPInstanceUID"),
    *("ReferencedFrameOfReferenceUID", "SynchronizationFrameOfReferenceUID", "DimensionOrganizationUID"),
    *("IrradiationEventUID", "AcquisitionUID", "ConcatenationUID", "SOPInstanceUIDOfConcatenationSource"),
)
_EMPTIED = (
    *("ReferringPhysicianName", "PatientBirthDate", "AccessionNumber", "StudyID", "PositionReferenceIndicator"),
    *("ContentCreatorName", "ContentDescription", "ROIInterpreter", "ContrastBolusAgent", "OperatorsName"),
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
    "PatientSize": Characteristic(Number(0, 3, decimals=2)),
    "PatientWeight": Characteristic(Number(0, 500, decimals=0)),
    "Manufacturer": Maker(),
    "ManufacturerModelName": Model(),
    "DeviceSerialNumber": SerialNumber(),
    "SoftwareVersions": Constant("removed"),
    "PulseSequenceName": Constant("removed"),
    "SegmentLabel": Label("SegmentNumber"),
    "ROIName": Label("ROINumber"),
    "SegmentAlgorithmName": Constant("removed"),
    "StructureSetLabel": Constant("removed"),
    "ContentLabel": Constant("SEGMENTATION"),
    "StackID": Renamed(),
    "PhotometricInterpretation": OneValuePerPixel(),
}
"""Keyword to rule."""
