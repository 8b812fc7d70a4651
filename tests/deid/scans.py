"""Small proper objects of each kind, before anything is planted in them."""

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

KINDS = ("CT", "MR", "PT", "ENHANCED_MR", "RTSTRUCT", "SEG")
_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "ENHANCED_MR": "1.2.840.10008.5.1.4.1.1.4.1",
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
    "SEG": "1.2.840.10008.5.1.4.1.1.66.4",
}
SIDE = 8


def base_object(kind: str, seed: int = 0) -> Dataset:
    """A proper object of one of `KINDS`, without a patient."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if seed % 4 == 3 else ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = _CLASSES[kind]
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.Modality = kind.removeprefix("ENHANCED_")
    for keyword in ("PatientSex", "StudyID", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "SeriesNumber"):
        setattr(dataset, keyword, "")
    for number, keyword in enumerate(
        ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
    ):
        setattr(dataset, keyword, f"1.2.3.{seed}.{number}")
    dataset.PatientName = dataset.PatientBirthDate = dataset.PositionReferenceIndicator = ""
    dataset.Manufacturer, dataset.InstanceNumber = "SIEMENS", 1
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = "20130405"
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = "121314"
    _ADDERS[kind](dataset, seed)
    return dataset


def _add_pixels(dataset: Dataset, seed: int, frames: int = 1) -> None:
    values = np.random.default_rng(seed).integers(0, 2000, (frames, SIDE, SIDE), dtype=np.uint16)
    dataset.Rows = dataset.Columns = SIDE
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = values.tobytes()


def _add_slice(dataset: Dataset, seed: int) -> None:
    _add_pixels(dataset, seed)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PixelSpacing, dataset.SliceThickness = [0.75, 0.75], 2
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [-100.5, -90.25, seed]
    dataset.BodyPartExamined = "ABDOMEN"
    dataset.AcquisitionNumber = 1


def _add_ct(dataset: Dataset, seed: int) -> None:
    _add_slice(dataset, seed)
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.KVP = 1, -1024, 120
    dataset.RescaleType, dataset.PatientPosition = "HU", "HFS"


def _add_mr(dataset: Dataset, seed: int) -> None:
    _add_slice(dataset, seed)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "SE", "NONE", ""
    dataset.MRAcquisitionType, dataset.EchoTime, dataset.EchoTrainLength = "2D", 10, 1
    dataset.RepetitionTime, dataset.PatientPosition = 500, "HFS"


def _add_pt(dataset: Dataset, seed: int) -> None:
    _add_slice(dataset, seed)
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.Units = 2.5, 0, "BQML"
    dataset.CountsSource, dataset.SeriesType, dataset.DecayCorrection = "EMISSION", ["STATIC", "IMAGE"], "START"
    dataset.CorrectedImage, dataset.NumberOfSlices, dataset.ImageIndex = ["DECY", "ATTN"], 1, 1
    dataset.CollimatorType, dataset.FrameReferenceTime, dataset.DecayFactor = "RING", 100, 1
    dataset.AcquisitionDate, dataset.AcquisitionTime, dataset.ActualFrameDuration = "20130405", "121314", 1000
    dataset.PatientOrientationCodeSequence = Sequence([code("102538003", "SCT", "recumbent")])
    dataset.PatientGantryRelationshipCodeSequence = Sequence([code("102540008", "SCT", "headfirst")])
    item = Dataset()
    item.RadionuclideCodeSequence = Sequence([code("77004003", "SCT", "^18^Fluorine")])
    item.RadiopharmaceuticalStartTime, item.RadionuclideTotalDose, item.RadionuclideHalfLife = "111314", 3.7e8, 6586
    dataset.RadiopharmaceuticalInformationSequence = Sequence([item])


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """A coded item."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _add_enhanced_mr(dataset: Dataset, seed: int) -> None:
    _add_pixels(dataset, seed, frames=2)
    dataset.ImageType, dataset.NumberOfFrames = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], 2
    shared = Dataset()
    measures, orientation, transform = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [1, 1], 2
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    transform.RescaleIntercept, transform.RescaleSlope, transform.RescaleType = 0, 1, "US"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([orientation])
    shared.PixelValueTransformationSequence = Sequence([transform])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([_frame(number) for number in range(2)])


def _frame(number: int) -> Dataset:
    frame, content, position = Dataset(), Dataset(), Dataset()
    content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = "1", number + 1, [1, number + 1]
    content.FrameAcquisitionDateTime = f"2013040512131{number}.25"
    position.ImagePositionPatient = [0, 0, 2 * number]
    frame.FrameContentSequence, frame.PlanePositionSequence = Sequence([content]), Sequence([position])
    return frame


def _add_seg(dataset: Dataset, seed: int) -> None:
    mask = np.zeros((2, SIDE, SIDE), dtype=np.uint8)
    mask[:, 2:5, 3 : 4 + seed % 3] = 1
    _add_enhanced_mr(dataset, seed)
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit, dataset.ImageType = 0, ["DERIVED", "PRIMARY"]
    dataset.PixelData = np.packbits(mask.reshape(-1), bitorder="little").tobytes()
    dataset.SegmentationType, dataset.LossyImageCompression, dataset.SegmentsOverlap = "BINARY", "00", "NO"
    dataset.ContentLabel, dataset.ContentDescription, dataset.ContentCreatorName = "SEG", "", ""
    segment = Dataset()
    segment.SegmentNumber, segment.SegmentLabel, segment.SegmentAlgorithmType = 1, "Qzjxliver", "MANUAL"
    segment.SegmentDescription = "Qzjxdescribed"
    segment.SegmentedPropertyCategoryCodeSequence = Sequence([code("Qzjxcode", "99Qzjx", "Qzjxmeaning")])
    segment.SegmentedPropertyTypeCodeSequence = Sequence([code("10200004", "SCT", "Qzjxmeaning")])
    dataset.SegmentSequence = Sequence([segment])
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        identification = Dataset()
        identification.ReferencedSegmentNumber = 1
        frame.SegmentIdentificationSequence = Sequence([identification])


def _add_rtstruct(dataset: Dataset, seed: int) -> None:
    dataset.StructureSetLabel, dataset.StructureSetDate, dataset.StructureSetTime = "Qzjxlabel", "20130405", "1213"
    structure, contours, contour, observation = Dataset(), Dataset(), Dataset(), Dataset()
    structure.ROINumber, structure.ROIName, structure.ROIGenerationAlgorithm = 1, "Qzjxroi", "MANUAL"
    structure.ReferencedFrameOfReferenceUID = dataset.FrameOfReferenceUID
    structure.ROIDescription = "Qzjxdescribed"
    contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", 3
    contour.ContourData = ["0", "0", "5.25", "3", "0", "5.25", "3.5", "4", "5.25"]
    contours.ReferencedROINumber, contours.ROIDisplayColor = 1, [255, 0, 0]
    contours.ContourSequence = Sequence([contour])
    observation.ObservationNumber, observation.ReferencedROINumber = 1, 1
    observation.RTROIInterpretedType, observation.ROIInterpreter = "ORGAN", "Qzjx^Interpreter"
    dataset.StructureSetROISequence = Sequence([structure])
    dataset.ROIContourSequence = Sequence([contours])
    dataset.RTROIObservationsSequence = Sequence([observation])


_ADDERS = {
    **{"CT": _add_ct, "MR": _add_mr, "PT": _add_pt, "ENHANCED_MR": _add_enhanced_mr},
    **{"SEG": _add_seg, "RTSTRUCT": _add_rtstruct},
}
