"""Makes the DICOM objects of one prediction, and lets none pass that does not say what was found where it was found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.measurement_report import report_of
from fedvoxel.dicom.result import Algorithm, Concept, Finding, Interval
from fedvoxel.dicom.segmentation_object import segmentation_of
from fedvoxel.dicom.study_series import StudySeries
from fedvoxel.dicom.viewer_limits import viewer_remarks
from fedvoxel.errors import FedVoxelError
from fedvoxel.evaluation.inference.prediction import Prediction
from fedvoxel.evaluation.inference.self_test import Expected, check_report, check_segmentation
from fedvoxel.export.description import Code, ModelDescription, Structure
from fedvoxel.volumes.dicom_volume import DicomVolume
from fedvoxel.volumes.volume import Affine

_MM3_PER_ML = 1000.0
_SEEN = {
    True: "A reader corrected the outline; the volumes are those of the corrected outline.",
    False: "A reader accepted the outline as the algorithm made it.",
}


@dataclass(frozen=True)
class ResultObjects:
    """Is what goes back to the hospital's archive.

    Attributes:
        segmentation: A DICOM file; None where no voxel of any structure was found.
        report: A DICOM file.
        remarks: What a reader must know, as the report has it: what was to be said, and what viewers make of the
            segmentation.
    """

    segmentation: bytes | None
    report: bytes
    remarks: tuple[str, ...] = ()


def findings_of(
    description: ModelDescription,
    prediction: Prediction,
    intervals: Mapping[str, Interval] | None = None,
) -> tuple[Finding, ...]:
    """Returns what was found of each structure, in the order of the description.

    Args:
        description: The model's.
        prediction: Where it found them.
        intervals: Within what a structure's true volume lies, by its name, where the model is calibrated.
    """
    return findings_in(prediction.label, prediction.prepared.original_affine, description.structures, intervals)


def findings_in(
    label: NDArray[np.uint8],
    affine: Affine,
    structures: Sequence[Structure],
    intervals: Mapping[str, Interval] | None = None,
) -> tuple[Finding, ...]:
    """Returns what a label map (X, Y, Z) marks of each structure; code 1 + i is structure i. See `findings_of`."""
    counts = np.bincount(label.ravel(), minlength=1 + len(structures))
    voxel_ml = _voxel_ml(affine)
    return tuple(
        _finding(1 + index, structure, float(counts[1 + index]) * voxel_ml, (intervals or {}).get(structure.name))
        for index, structure in enumerate(structures)
    )


@dataclass(frozen=True)
class Said:
    """Is what a result says beside where things lie.

    Attributes:
        findings: The structures.
        algorithm: What found them.
        remarks: What a reader must know, one sentence each.
        eight_bit: Whether the segmentation's pixels take 8 bits; see `segmentation_of`.
    """

    findings: tuple[Finding, ...]
    algorithm: Algorithm
    remarks: Sequence[str]
    eight_bit: bool = False


def objects_of(series: StudySeries, image: DicomVolume, prediction: Prediction, said: Said) -> ResultObjects:
    """Returns segmentation and report of a prediction, both read back and compared.

    Raises:
        DicomError: The original's headers are such that nothing can be made against them.
        PredictionError: self_test; nothing is handed out then.
    """
    if not series.headers[0].get("FrameOfReferenceUID"):
        raise dicom_error("no_identity", "no usable FrameOfReferenceUID")
    label = image.to_grid(prediction.label)  # the same turn leads both ways
    return _checked(Expected(series, image, label, said.findings), said)


def reviewed_objects(
    series: StudySeries,
    image: DicomVolume,
    label: NDArray[np.uint8],
    said: Said,
) -> ResultObjects:
    """Returns segmentation and report of a label map that a reader accepted or corrected, both read back and compared.

    Args:
        series: The original.
        image: Its volume.
        label: uint8 (X, Y, Z) on the voxels of `image.volume`.
        said: What is said of it; see `findings_in`. That a reader saw it is said first.

    Raises:
        DicomError: The original's headers are such that nothing can be made against them.
        PredictionError: self_test; nothing is handed out then.
    """
    seen = replace(said, remarks=(_SEEN[said.algorithm.corrected], *said.remarks))
    return _checked(Expected(series, image, image.to_grid(label), said.findings), seen)


def _checked(expected: Expected, said: Said) -> ResultObjects:
    segmentation, report, remarks = _made(expected, said)
    seg_bytes = None if segmentation is None else encoded(segmentation)
    if seg_bytes is not None:
        check_segmentation(seg_bytes, expected)
    report_bytes = encoded(report)
    check_report(report_bytes, expected, segmentation)
    return ResultObjects(seg_bytes, report_bytes, remarks)


def _made(expected: Expected, said: Said) -> tuple[Dataset | None, Dataset, tuple[str, ...]]:
    headers, image = expected.series.headers, expected.image
    sources = [headers[instance] for instance in dict.fromkeys(instance for instance, _ in image.slices)]
    segmentation: Dataset | None = None
    remarks = tuple(said.remarks)
    try:
        if any(finding.is_found for finding in said.findings):
            segmentation = segmentation_of(
                sources, image.geometry, expected.label, said.findings, said.algorithm, said.eight_bit
            )
            remarks += viewer_remarks(segmentation)
        return segmentation, report_of(sources, segmentation, said.findings, said.algorithm, remarks), remarks
    except FedVoxelError:
        raise
    except Exception as error:  # values of foreign headers; the error's own text may quote them
        kind = type(error).__name__
        raise dicom_error("malformed", f"no result can be made against the series' headers ({kind})") from None


def encoded(dataset: Dataset) -> bytes:
    """Returns a data set as a DICOM file has it."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _finding(code: int, structure: Structure, volume_ml: float, interval: Interval | None) -> Finding:
    return Finding(
        code=code,
        label=structure.label,
        category=_concept(structure.category),
        type=_concept(structure.type),
        modifier=None if structure.modifier is None else _concept(structure.modifier),
        colour_rgb=structure.colour_rgb,
        volume_ml=volume_ml,
        interval=interval,
    )


def _concept(code: Code) -> Concept:
    return Concept(code.scheme, code.value, code.meaning)


def _voxel_ml(affine: Affine) -> float:
    return float(abs(np.linalg.det(affine[:3, :3]))) / _MM3_PER_ML
