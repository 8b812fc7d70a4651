"""Reads a segmentation that was just made from its bytes, and holds it against what it must say.

This is the last look before anything is written or sent. Each frame is placed by its own position and orientation, and
every voxel is compared: what went wrong from the label to the object is found. It shares the label on the series' grid
and the grid itself with what made the object: how the model's result came there it does not see. Tests do, with a
reader that shares nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.result import Finding
from fedvoxel.dicom.study_series import StudySeries
from fedvoxel.errors import GeometryError
from fedvoxel.evaluation.inference.refusal import prediction_error
from fedvoxel.volumes.dicom_volume import DicomVolume
from fedvoxel.volumes.frame_place import FramePlane, place_frame

_SAME = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID")


@dataclass(frozen=True, eq=False)
class Expected:
    """Is what a result must say.

    Attributes:
        series: The original.
        image: Its volume.
        label: Codes on the grid of `image.geometry`.
        findings: What the codes mean.
    """

    series: StudySeries
    image: DicomVolume
    label: NDArray[np.uint8]
    findings: Sequence[Finding]


def check_segmentation(content: bytes, expected: Expected) -> None:
    """Does nothing if a DICOM file marks exactly the voxels of the label, on the slices that it names.

    Raises:
        PredictionError: self_test; it does not, or is of another patient, study or frame of reference.
    """
    with quiet():
        found = dcmread(BytesIO(content))
        _check_identity(found, expected.series.headers[0])
        if found.get("FrameOfReferenceUID") != expected.series.headers[0].get("FrameOfReferenceUID"):
            raise prediction_error("self_test", "the segmentation has another frame of reference than the series")
        try:
            codes = _painted(found, expected)
        except (GeometryError, IndexError):
            raise prediction_error("self_test", "a frame of the segmentation lies off the series' grid") from None
    wrong = int(np.count_nonzero(codes != expected.label))
    if wrong:
        raise prediction_error("self_test", f"{wrong} voxels of the segmentation are not where they were found")


def check_report(content: bytes, expected: Expected, segmentation: Dataset | None) -> None:
    """Does nothing if a report is of the same patient and study, and refers to the series and the segmentation.

    Raises:
        PredictionError: self_test.
    """
    with quiet():
        found = dcmread(BytesIO(content))
        _check_identity(found, expected.series.headers[0])
        referenced = {
            str(series.SeriesInstanceUID)
            for study in found.CurrentRequestedProcedureEvidenceSequence
            for series in study.ReferencedSeriesSequence
        }
    needed = {expected.series.series_uid} | (set() if segmentation is None else {str(segmentation.SeriesInstanceUID)})
    if referenced != needed:
        raise prediction_error("self_test", "the report does not refer to the series that it is about")


def _check_identity(found: Dataset, source: Dataset) -> None:
    if any(str(found.get(keyword) or "") != str(source.get(keyword) or "") for keyword in _SAME):
        raise prediction_error("self_test", "the result is not of the patient and study of the series")


def _painted(found: Dataset, expected: Expected) -> NDArray[np.uint8]:
    code_of = {finding.tracking_uid: finding.code for finding in expected.findings}
    codes = {int(segment.SegmentNumber): code_of[segment.TrackingUID] for segment in found.SegmentSequence}
    geometry = expected.image.geometry
    inverse = np.linalg.inv(geometry.affine)
    painted = np.zeros(geometry.spatial_shape, np.uint8)
    shared = found.SharedFunctionalGroupsSequence[0]
    frames = found.pixel_array.reshape(-1, found.Rows, found.Columns)
    if not np.isin(frames, (0, found.get("MaximumFractionalValue", 1))).all():
        raise prediction_error("self_test", "the segmentation holds fractions where all or nothing was found")
    for own, frame in zip(found.PerFrameFunctionalGroupsSequence, frames, strict=True):
        place = place_frame(_plane(own, shared), frame.shape, inverse)
        indices = place.indices(frame != 0)
        if any(axis.size and axis.min() < 0 for axis in indices):
            raise prediction_error("self_test", "the segmentation marks voxels outside of the series")
        painted[indices] = codes[int(_group(own, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)]
        _check_named(own, int(place.origin[0]), expected)
    return painted


def _plane(own: Dataset, shared: Dataset) -> FramePlane:
    return FramePlane.of(
        _group(own, shared, "PlanePositionSequence").ImagePositionPatient,
        _group(own, shared, "PlaneOrientationSequence").ImageOrientationPatient,
        _group(own, shared, "PixelMeasuresSequence").PixelSpacing,
    )


def _group(own: Dataset, shared: Dataset, keyword: str) -> Any:
    """Returns what a frame says, or what all frames say together."""
    return (own if keyword in own else shared)[keyword][0]


def _check_named(own: Dataset, index: int, expected: Expected) -> None:
    """Holds the image that a frame says to be drawn on against the one that lies at its place."""
    instance, frame = expected.image.slices[index]
    header = expected.series.headers[instance]
    for derived in own.get("DerivationImageSequence") or ():
        for source in derived.SourceImageSequence:
            number = source.get("ReferencedFrameNumber")
            right_frame = number is None or frame + 1 in np.atleast_1d(number)
            if source.ReferencedSOPInstanceUID != header.SOPInstanceUID or not right_frame:
                raise prediction_error("self_test", "a frame of the segmentation names another image than its own")
