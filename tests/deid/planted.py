"""Writes objects with invented identifiers in every odd place, and remembers each of them.

Text holds the mark `MARK` and letters of its own; numbers, dates and UIDs are distinct and remembered one by one. The
objects are readable, and proper enough for dciodvfy to look at, before the planting.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from tests.deid.scans import base_object

MARK = "Qzjx"
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


@dataclass
class Planted:
    """One object and what was planted.

    Attributes:
        numbers: Whole numbers and dates, as they are written.
        uids: UIDs.
        blobs: Bytes of binary numbers.
        vrs: The value representations that something was planted in.
    """

    dataset: Dataset
    numbers: set[str] = field(default_factory=set)
    uids: set[str] = field(default_factory=set)
    blobs: set[bytes] = field(default_factory=set)
    vrs: set[str] = field(default_factory=set)
    preamble: bytes = b"\0" * 128


class Planter:
    """Makes distinct values and plants them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._count = seed * 5000

    def word(self, most: int = 64) -> str:
        """Text that no other object holds."""
        self._count += 1
        number, letters = self._count, ""
        while number:
            number, digit = divmod(number, 20)
            letters += "bcdfghklmnprstvwxyza"[digit]
        return (MARK + letters)[:most]

    def uid(self, planted: Planted) -> str:
        """A UID; every third looks like one of the standard's own."""
        self._count += 1
        root = "1.2.840.10008.5.1.4.1.1.2" if self._count % 3 == 0 else "1.2.826.0.1.3680043.8.498"
        uid = f"{root}.{self._random.randrange(10**14, 10**15)}{self._count}"
        planted.uids.add(uid)
        return uid

    def digits(self, planted: Planted, low: int, high: int) -> str:
        """A whole number, remembered."""
        number = str(self._random.randrange(low, high))
        planted.numbers.add(number)
        return number

    def date(self, planted: Planted) -> str:
        """A day of long ago, remembered."""
        return self._remember(planted, f"19{self._random.randrange(21, 29)}{self._month_and_day()}")

    def _month_and_day(self) -> str:
        return f"{self._random.randrange(1, 13):02}{self._random.randrange(1, 29):02}"

    def _clock(self) -> str:
        return f"{self._random.randrange(10, 24)}{self._random.randrange(10, 60)}{self._random.randrange(10, 60)}"

    def _remember(self, planted: Planted, text: str) -> str:
        planted.numbers.add(text)
        return text

    def binary(self, planted: Planted, dtype: str) -> Any:
        """A binary number far outside of what physics needs, remembered as its bytes."""
        kind = np.dtype(dtype)
        number = kind.type(self._random.randrange(1_900_000_000, 2_140_000_000))
        planted.blobs.add(number.tobytes())
        return number.item()

    def value(self, vr: str, planted: Planted) -> Any:
        """A value of a representation; None for what cannot hold one."""
        planted.vrs.add(vr)
        made = self._makers(planted).get(vr)
        return None if made is None else made()

    def _story(self, planted: Planted) -> str:
        return f"born {self.date(planted)} as {self.word()}, {self.uid(planted)}\r\nsee /home/{self.word()}/x"

    def _makers(self, planted: Planted) -> dict[str, Callable[[], Any]]:
        word = self.word
        clock = f"{self._clock()}.{self._random.randrange(100_000, 999_999)}"
        return {
            **dict.fromkeys(("LT", "ST", "UC", "UT"), lambda: self._story(planted)),
            **dict.fromkeys(("UN", "OB", "OW", "OL", "OD", "OV", "OF"), lambda: _blocks(self._story(planted))),
            **{vr: lambda: word(16) for vr in ("AE", "SH")},
            "CS": lambda: word(16).upper(),
            "LO": lambda: [word(), f"{word()} {word()}"],
            "PN": lambda: f"{word()}^{word()}^^Dr={word()}={word()}",
            "UR": lambda: f"https://{word()}.example/{word()}?id={word()}",
            "UI": lambda: self.uid(planted),
            "DA": lambda: self.date(planted),
            "TM": lambda: self._remember(planted, clock),
            "DT": lambda: self._remember(planted, f"19{self._random.randrange(21, 29)}0817{clock}") + "+0130",
            "AS": lambda: "097Y",
            "IS": lambda: self.digits(planted, 1_900_000_000, 2_140_000_000),
            "DS": lambda: self.digits(planted, 10**13, 10**15),
            "UL": lambda: self.binary(planted, "<u4"),
            "SL": lambda: self.binary(planted, "<i4"),
            "SV": lambda: self.binary(planted, "<i8"),
            "UV": lambda: self.binary(planted, "<u8"),
            "FL": lambda: self.binary(planted, "<f4"),
            "FD": lambda: self.binary(planted, "<f8") * 1e4,
        }


def _blocks(text: str) -> bytes:
    """Text as bytes, in blocks of eight."""
    return text.encode().ljust(len(text) // 8 * 8 + 8)


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
