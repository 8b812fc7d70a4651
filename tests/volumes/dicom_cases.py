"""Makes small DICOM image series, segmentations and structure sets for the tests."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, RTStructureSetStorage, generate_uid

SPACING_MM = (3.0, 1.2, 0.7)
SHAPE = (9, 14, 11)
"""Slices, rows, columns: no two alike, as no two spacings are."""

_HALF = np.sqrt(0.5)
# Unit vectors in LPS along slices, a column and a row.
DIRECTIONS = {
    "axial": ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
    "reversed": ((0, 0, -1), (0, -1, 0), (1, 0, 0)),
    "sagittal": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "coronal": ((0, 1, 0), (0, 0, -1), (1, 0, 0)),
    "oblique": ((0, -_HALF, _HALF), (0, _HALF, _HALF), (1, 0, 0)),
    "twice oblique": ((-0.5, -_HALF, 0.5), (-0.5, _HALF, 0.5), (_HALF, 0, _HALF)),
}


@dataclass(frozen=True)
class Cleaned:
    """Has what label readers use of a de-identified series."""

    modality: str
    series_uid: str
    headers: tuple[Dataset, ...]

    def stored_pixels(self, index: int) -> NDArray[Any]:
        pixels = self.headers[index].pixel_array
        return pixels if pixels.ndim == 3 else pixels[None]


@dataclass(frozen=True)
class OnGrid:
    """Has what label readers use of a volume; its grid is that of the slices."""

    geometry: Any

    @property
    def slices(self) -> list[tuple[int, int]]:
        return [(index, 0) for index in range(self.geometry.spatial_shape[0])]

    def to_grid(self, array: NDArray[Any]) -> NDArray[Any]:
        return array


def cleaned(*datasets: Dataset) -> Cleaned:
    return Cleaned(datasets[0].Modality, datasets[0].SeriesInstanceUID, tuple(datasets))


def grid_of(slices: Sequence[Dataset]) -> OnGrid:
    """The grid of slices that are in order: along the slices, a column and a row."""
    first, second = (np.array(one.ImagePositionPatient, dtype=np.float64) for one in slices[:2])
    along_row, along_column = np.reshape(np.array(slices[0].ImageOrientationPatient, dtype=np.float64), (2, 3))
    rows_mm, columns_mm = map(float, slices[0].PixelSpacing)
    affine = np.eye(4)
    affine[:3] = np.stack([second - first, along_column * rows_mm, along_row * columns_mm, first], axis=1)
    shape = (len(slices), slices[0].Rows, slices[0].Columns)
    return OnGrid(hd.VolumeGeometry(affine, shape, "PATIENT", slices[0].FrameOfReferenceUID))


def affine_of(direction: str, spacing_mm: Sequence[float] = SPACING_MM) -> NDArray[np.float64]:
    """The affine (4, 4) from (slice, row, column) to LPS millimetres."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(DIRECTIONS[direction]).T * spacing_mm
    affine[:3, 3] = (-31.5, 17.25, 140.125)
    return affine


def image_slices(
    direction: str = "axial", shape: Sequence[int] = SHAPE, spacing_mm: Sequence[float] = SPACING_MM, seed: int = 0
) -> list[Dataset]:
    voxels = np.random.default_rng(seed).integers(0, 900, tuple(shape), dtype=np.uint16)
    affine = affine_of(direction, spacing_mm)
    shared = _identity(generate_uid(), generate_uid(), generate_uid())
    return [_slice(shared, affine, voxels, index) for index in range(shape[0])]


def label_voxels(shape: Sequence[int] = SHAPE) -> NDArray[np.uint8]:
    """A label of two classes without any symmetry, with a hole, and with empty slices at both ends."""
    label = np.zeros(tuple(shape), dtype=np.uint8)
    label[2:7, 2:9, 1:8] = 1
    label[3:5, 4:6, 3:6] = 0
    label[4:8, 9:12, 4:7] = 2
    label[5, 10:13, 7:9] = 2
    return label


def segment(number: int, name: str) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=codes.SCT.Liver if number == 1 else codes.SCT.Spleen,
        algorithm_type="MANUAL",
    )


def seg_of(
    slices: Sequence[Dataset], label: NDArray[Any], names: Sequence[str] = ("Front", "Back"), **options: Any
) -> Dataset:
    """A DICOM SEG of a label (slices, rows, columns), or of masks with one more axis for the segments."""
    kind = options.pop("segmentation_type", "BINARY")
    return hd.seg.Segmentation(
        source_images=list(slices),
        pixel_array=label,
        segmentation_type=kind,
        segment_descriptions=[segment(1 + index, name) for index, name in enumerate(names)],
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Nobody",
        manufacturer_model_name="None",
        software_versions="0",
        device_serial_number="0",
        **options,
    )


def rtstruct_of(slices: Sequence[Dataset], contours: dict[str, list[NDArray[np.float64]]]) -> Dataset:
    """A structure set: contours (N, 3) in LPS millimetres of each structure."""
    first = slices[0]
    made = _identity(first.StudyInstanceUID, generate_uid(), first.FrameOfReferenceUID)
    made.Modality, made.SOPClassUID, made.SOPInstanceUID = "RTSTRUCT", RTStructureSetStorage, generate_uid()
    series = _item(SeriesInstanceUID=first.SeriesInstanceUID)
    study = _item(ReferencedSOPInstanceUID=first.StudyInstanceUID, RTReferencedSeriesSequence=[series])
    frame = _item(FrameOfReferenceUID=first.FrameOfReferenceUID, RTReferencedStudySequence=[study])
    made.ReferencedFrameOfReferenceSequence = [frame]
    made.StructureSetROISequence = [
        _item(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=first.FrameOfReferenceUID)
        for number, name in enumerate(contours, start=1)
    ]
    made.ROIContourSequence = [
        _item(ReferencedROINumber=number, ContourSequence=[_contour(points) for points in drawn])
        for number, drawn in enumerate(contours.values(), start=1)
    ]
    return made


def _contour(points: NDArray[np.float64]) -> Dataset:
    data = [f"{value:.8f}".rstrip("0")[:16] for value in np.ravel(points)]
    return _item(ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=len(points), ContourData=data)


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _identity(study: str, series: str, frame: str) -> Dataset:
    made = _item(StudyInstanceUID=study, SeriesInstanceUID=series, FrameOfReferenceUID=frame, Modality="MR")
    for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber"):
        setattr(made, keyword, "")
    made.PatientID, made.StudyID, made.ReferringPhysicianName, made.PositionReferenceIndicator = "one", "1", "", ""
    made.SeriesNumber = 1
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def _slice(shared: Dataset, affine: NDArray[np.float64], voxels: NDArray[np.uint16], index: int) -> Dataset:
    made = copy.deepcopy(shared)
    made.SOPClassUID, made.SOPInstanceUID, made.InstanceNumber = MRImageStorage, generate_uid(), 1 + index
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    along_row, along_column = affine[:3, 2] / spacing[2], affine[:3, 1] / spacing[1]
    made.ImageOrientationPatient = [f"{value:.12f}"[:16] for value in (*along_row, *along_column)]
    made.ImagePositionPatient = [f"{value:.10f}"[:16] for value in (affine @ (index, 0, 0, 1))[:3]]
    made.PixelSpacing, made.SliceThickness = [float(spacing[1]), float(spacing[2])], float(spacing[0])
    made.Rows, made.Columns = voxels.shape[1:]
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 16, 15
    made.PixelData = voxels[index].tobytes()
    return made
