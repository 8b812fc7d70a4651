"""Writes DICOM series whose voxels and geometry are known, whole and damaged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    generate_uid,
)

PATIENT, NAME = "Z-9081726354", "Quasimodo^Esmeralda"
CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage, "PT": PositronEmissionTomographyImageStorage}
_HALF = float(np.sqrt(0.5))
# Unit vectors in LPS along slices, a column and a row.
DIRECTIONS = {
    "axial": ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
    "reversed": ((0, 0, -1), (0, -1, 0), (1, 0, 0)),
    "sagittal": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "oblique": ((0, -_HALF, _HALF), (0, _HALF, _HALF), (1, 0, 0)),
    "twice oblique": ((-0.5, -_HALF, 0.5), (-0.5, _HALF, 0.5), (_HALF, 0, _HALF)),
}

Edit = Callable[[list[Dataset]], None]


@dataclass
class Phantom:
    """Describes a series; `write` makes its files.

    Attributes:
        stored: Stored values (slice, row, column).
        spacing_mm: Along slices, a column and a row.
        tilt_degrees: How far the stack leans off the slices' normal.
    """

    direction: str = "axial"
    shape: tuple[int, int, int] = (8, 14, 11)
    spacing_mm: tuple[float, float, float] = (3.0, 1.2, 0.7)
    modality: str = "CT"
    slope: float | None = 1.0
    intercept: float | None = -1024.0
    tilt_degrees: float = 0.0
    signed: bool = False
    seed: int = 0
    study_uid: str = field(default_factory=generate_uid)
    series_uid: str = field(default_factory=generate_uid)
    frame_uid: str = field(default_factory=generate_uid)

    @property
    def stored(self) -> NDArray[np.generic]:
        """The stored values (slice, row, column)."""
        low, kind = (-900, np.int16) if self.signed else (0, np.uint16)
        return np.random.default_rng(self.seed).integers(low, 3000, self.shape, dtype=kind)

    @property
    def values(self) -> NDArray[np.float64]:
        """What the volume must hold (slice, row, column)."""
        return self.stored * (self.slope or 1.0) + (self.intercept or 0.0)

    @property
    def affine_lps(self) -> NDArray[np.float64]:
        """The affine (4, 4) from (slice, row, column) to LPS millimetres."""
        affine = np.eye(4)
        affine[:3, :3] = np.array(DIRECTIONS[self.direction]).T * self.spacing_mm
        affine[:3, 0] += affine[:3, 1] / self.spacing_mm[1] * self.spacing_mm[0] * np.tan(np.radians(self.tilt_degrees))
        affine[:3, 3] = (-31.5, 17.25, 140.125)
        return affine

    def slices(self) -> list[Dataset]:
        """Returns the data sets, in order."""
        return [self._slice(index) for index in range(self.shape[0])]

    def write(self, folder: Path, edit: Edit | None = None) -> Path:
        """Writes the series, after `edit` has had its way with the data sets, in an order that means nothing."""
        datasets = self.slices()
        if edit is not None:
            edit(datasets)
        return write_all(folder, datasets)

    def enhanced(self, order: Sequence[int] | None = None) -> Dataset:
        """Returns the series as one enhanced multi-frame image, its frames in any order."""
        order = range(self.shape[0]) if order is None else order
        made = self._instance(EnhancedCTImageStorage)
        made.NumberOfFrames = len(order)
        axes = self.affine_lps[:3, :3] / self.spacing_mm
        orientation = item(ImageOrientationPatient=[*axes[:, 2], *axes[:, 1]])
        measures = item(PixelSpacing=list(self.spacing_mm[1:]), SliceThickness=self.spacing_mm[0])
        rescale = item(RescaleSlope=self.slope, RescaleIntercept=self.intercept, RescaleType="HU")
        made.SharedFunctionalGroupsSequence = [
            item(
                PlaneOrientationSequence=[orientation],
                PixelMeasuresSequence=[measures],
                PixelValueTransformationSequence=[rescale],
            )
        ]
        made.PerFrameFunctionalGroupsSequence = [
            item(PlanePositionSequence=[item(ImagePositionPatient=self._position(index))]) for index in order
        ]
        made.PixelData = self.stored[list(order)].tobytes()
        return made

    def _position(self, index: int) -> list[float]:
        return [float(value) for value in self.affine_lps[:3, 3] + index * self.affine_lps[:3, 0]]

    def _instance(self, sop_class: str) -> Dataset:
        made = item(SOPClassUID=sop_class, SOPInstanceUID=generate_uid(), Modality=self.modality)
        made.PatientID, made.PatientName, made.PatientBirthDate = PATIENT, NAME, "19320417"
        made.StudyInstanceUID, made.SeriesInstanceUID = self.study_uid, self.series_uid
        made.FrameOfReferenceUID = self.frame_uid
        made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.Rows, made.Columns = self.shape[1:]
        made.BitsAllocated, made.BitsStored, made.HighBit = 16, 16, 15
        made.PixelRepresentation = int(self.signed)
        return made

    def _slice(self, index: int) -> Dataset:
        made = self._instance(CLASSES[self.modality])
        axes = self.affine_lps[:3, :3] / self.spacing_mm
        made.ImageOrientationPatient = [*axes[:, 2], *axes[:, 1]]
        made.ImagePositionPatient = self._position(index)
        made.PixelSpacing = list(self.spacing_mm[1:])
        made.SliceThickness, made.InstanceNumber = self.spacing_mm[0], index + 1
        if self.slope is not None:
            made.RescaleSlope, made.RescaleIntercept = self.slope, self.intercept
        if self.modality == "CT":
            made.KVP, made.ConvolutionKernel = 120, "B30f"
        made.PixelData = self.stored[index].tobytes()
        return made


def item(**values: Any) -> Dataset:
    """Returns a data set with these attributes; numbers are shortened as decimal strings have them."""
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def write_all(folder: Path, datasets: Sequence[Dataset]) -> Path:
    """Writes data sets into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(1).permutation(len(datasets))
    for name, index in enumerate(order):
        write_one(folder / f"IM{name:05d}", datasets[index])
    return folder


def write_one(path: Path, dataset: Dataset, syntax: str | None = None) -> Path:
    """Writes one data set, in the syntax of its meta information, else in `syntax`, else explicit little endian."""
    meta = dataset.file_meta if hasattr(dataset, "file_meta") else FileMetaDataset()
    meta.TransferSyntaxUID = meta.get("TransferSyntaxUID") or syntax or ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID")
    meta.MediaStorageSOPInstanceUID = meta.get("MediaStorageSOPInstanceUID") or dataset.get("SOPInstanceUID")
    dataset.file_meta = meta
    dcmwrite(path, dataset, enforce_file_format=True)
    return path
