"""Writes objects with invented identifiers in every odd place, and remembers each of them.

Text holds the mark `MARK` and letters of its own; numbers, dates and UIDs are distinct and remembered one by one. The
objects are readable, and proper enough for dciodvfy to look at, before the planting.
"""

import random
from pathlib import Path

from pydicom import Dataset, dcmwrite
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from tests.deid.planter import Planted, Planter
from tests.deid.scans import base_object

_ESSENTIAL = frozenset(
    {
        *(
            "SOPClassUID",
            "SpecificCharacterSet",
            "Modality",
            "Rows",
            "Columns",
            "BitsAllocated",
            "BitsStored",
            "HighBit",
        ),
        *("PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "PixelData", "NumberOfFrames"),
        *("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept"),
        *("GantryDetectorTilt", "SpacingBetweenSlices", "BurnedInAnnotation", "ConversionType", "ImageType"),
        *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "DimensionIndexSequence"),
        *("StructureSetROISequence", "ROIContourSequence", "RTROIObservationsSequence", "SegmentSequence"),
        *("SegmentationType", "PlanarConfiguration", "FloatPixelData", "DoubleFloatPixelData", "ContourData"),
        *("ROINumber", "ReferencedROINumber", "SegmentNumber", "ReferencedSegmentNumber", "MaximumFractionalValue"),
        *("ContourGeometricType", "ReferencedFrameNumber", "DimensionIndexValues", "StudyInstanceUID"),
        *("SeriesInstanceUID", "SOPInstanceUID", "PatientID", "IssuerOfPatientID", "DeidentificationMethod"),
        *("DataSetTrailingPadding", "RecognizableVisualFeatures", "BodyPartExamined", "ReferencedSOPInstanceUID"),
        *("ReferencedFrameOfReferenceUID", "LengthToEnd", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    }
)
"""Not planted into at the top, or the object would not be read, or rightly be refused."""


_STANDARD = sorted(
    tag
    for tag, entry in DicomDictionary.items()
    if tag >> 16 > 4 and tag >> 16 != 0xFFFE and entry[4] not in _ESSENTIAL
)
_NESTS = ("ReferencedImageSequence", "SourceImageSequence", "ReferencedSeriesSequence", "AnatomicRegionSequence")


def planted_object(kind: str, seed: int) -> Planted:
    """Returns an object of a kind (`scans.KINDS`) with identifiers planted; the same for the same seed."""
    planter = Planter(seed)
    generator = random.Random(seed)
    planted = Planted(base_object(kind, seed))
    dataset = planted.dataset
    _name_the_patient(dataset, planter, planted)
    for tag in generator.sample(_STANDARD, 70):
        _plant(dataset, tag, planter, planted, generator)
    _plant_private(dataset, planter, planted)
    _plant_groups(dataset, planter)
    _plant_nested(dataset, planter, planted, depth=10)
    _plant_codes(dataset, planter, planted)
    _plant_meta(dataset, planter, planted)
    planted.preamble = f"{planter.word()} {planter.word()}".encode().ljust(128)
    return planted


def write(planted: Planted, path: Path) -> None:
    """Writes an object as it would come from a hospital."""
    planted.dataset.preamble = planted.preamble
    dcmwrite(path, planted.dataset, enforce_file_format=True)


def _name_the_patient(dataset: Dataset, planter: Planter, planted: Planted) -> None:
    for keyword in ("PatientName", "ReferringPhysicianName", "OperatorsName", "PatientMotherBirthName"):
        setattr(dataset, keyword, f"{planter.word()}^{planter.word()}")
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        setattr(dataset, keyword, planter.uid(planted))
    dataset.PatientID = planter.word()
    dataset.PatientBirthDate = planter.date(planted)
    dataset.AccessionNumber = planter.word(16)
    dataset.StudyDate, dataset.StudyTime = planter.date(planted), planter.value("TM", planted)
    dataset.PatientComments = planter.value("LT", planted)


def _plant(dataset: Dataset, tag: int, planter: Planter, planted: Planted, generator: random.Random) -> None:
    vr = DicomDictionary[tag][0].split(" or ")[0]
    if vr == "SQ":
        inner = Dataset()
        for inside in generator.sample(_STANDARD, 4):
            if DicomDictionary[inside][0] != "SQ":
                _plant(inner, inside, planter, planted, generator)
        dataset.add(DataElement(Tag(tag), "SQ", Sequence([inner])))
        return
    value = planter.value(vr, planted)
    if value is not None:
        dataset.add(DataElement(Tag(tag), vr, value))


def _plant_private(dataset: Dataset, planter: Planter, planted: Planted) -> None:
    block = dataset.private_block(0x0029, planter.word(), create=True)
    vrs = ("LO", "PN", "UN", "OB", "LT", "UT", "UC", "UR", "AE", "DA", "DT", "UI", "FD", "IS", "ST", "OW")
    for place, vr in enumerate(vrs, start=1):
        block.add_new(place, vr, planter.value(vr, planted))
    inner = Dataset()
    inner.PatientName = planter.word()
    inner.private_block(0x0011, planter.word(), create=True).add_new(1, "LO", planter.word())
    block.add_new(0x70, "SQ", Sequence([inner]))
    # A private element without its creator, and one that pretends to be a creator.
    dataset.add(DataElement(Tag(0x0031, 0x1001), "LO", planter.word()))
    dataset.add(DataElement(Tag(0x0033, 0x0010), "LO", planter.word()))


def _plant_groups(dataset: Dataset, planter: Planter) -> None:
    for group in (0x6000, 0x6002, 0x601E):
        for element, vr in ((0x0022, "LO"), (0x1500, "LO"), (0x4000, "LT")):
            dataset.add(DataElement(Tag(group, element), vr, planter.word()))
        dataset.add(DataElement(Tag(group, 0x3000), "OW", (planter.word() * 8).encode().ljust(256)[:256]))
    dataset.add(DataElement(Tag(0x5000, 0x3000), "OW", (planter.word() * 4).encode().ljust(128)[:128]))
    dataset.add(DataElement(Tag(0x5002, 0x0022), "LO", planter.word()))
    dataset.add(DataElement(Tag(0xFFFC, 0xFFFC), "OB", planter.word().encode().ljust(64)))
    dataset.add(DataElement(Tag(0x0008, 0x9999), "LO", planter.word()))  # no attribute of the standard


def _plant_nested(dataset: Dataset, planter: Planter, planted: Planted, depth: int) -> None:
    inner = dataset
    for level in range(depth):
        item = Dataset()
        item.PatientName = planter.word()
        item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        item.ReferencedSOPInstanceUID = planter.uid(planted)
        item.SeriesInstanceUID = planter.uid(planted)
        item.StudyDescription = planter.word()
        item.ContentDate = planter.date(planted)
        item.private_block(0x0009, planter.word(), create=True).add_new(2, "UN", planter.word().encode().ljust(64))
        setattr(inner, _NESTS[level % 3], Sequence([item]))
        inner = item


def _plant_codes(dataset: Dataset, planter: Planter, planted: Planted) -> None:
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator = planter.word(16), "SCT"
    region.CodeMeaning = planter.word()
    known = Dataset()
    known.CodeValue, known.CodingSchemeDesignator, known.CodeMeaning = "10200004", "SCT", planter.word()
    known.CodingSchemeVersion, known.ContextUID = planter.word(16), planter.uid(planted)
    dataset.AnatomicRegionSequence = Sequence([region, known])
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", planter.word(16).upper()]
    for keyword in ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions"):
        setattr(dataset, keyword, planter.word())


def _plant_meta(dataset: Dataset, planter: Planter, planted: Planted) -> None:
    meta: FileMetaDataset = dataset.file_meta
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.SourceApplicationEntityTitle = planter.word(16)
    meta.SendingApplicationEntityTitle = planter.word(16)
    meta.ReceivingApplicationEntityTitle = planter.word(16)
    meta.ImplementationVersionName = planter.word(16)
    meta.PrivateInformationCreatorUID = planter.uid(planted)
    meta.PrivateInformation = planter.word().encode().ljust(64)
