"""Builds one case, in a worker process: DICOM files in, three files without a patient's name out.

Everything between the source and the files is here: de-identification first, then geometry, then the label. The files
are written to a folder of the worker's own; the build puts them into the cohort.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedvoxel.deid.keys import DeidKeys
from fedvoxel.deid.policy import DeidPolicy
from fedvoxel.deid.series import DeidentifiedSeries, deidentify_series
from fedvoxel.dicom.header import read_header
from fedvoxel.dicom.series import SeriesFiles
from fedvoxel.errors import DeidError, DicomError, GeometryError
from fedvoxel.records.atomic import write_text
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.volumes.build_config import NiftiLabels, RtstructLabels, SegLabels
from fedvoxel.volumes.cohort.manifest import STAGED, FileHashes
from fedvoxel.volumes.dicom_label import label_of
from fedvoxel.volumes.dicom_volume import DicomVolume, volume_of
from fedvoxel.volumes.nifti_label import nifti_label
from fedvoxel.volumes.nifti_writer import write_nifti
from fedvoxel.volumes.refusal import geometry_error
from fedvoxel.volumes.volume import LabelledVolume

_OWNER_ONLY = 0o600


@dataclass(frozen=True)
class CaseSettings:
    """Is what is the same for every case of a cohort.

    Attributes:
        classes: The code of each class in the files that are written.
    """

    policy: DeidPolicy
    keys: DeidKeys
    labels: SegLabels | RtstructLabels | NiftiLabels
    classes: dict[str, int]


@dataclass(frozen=True)
class CaseTask:
    """Is one case to build.

    Attributes:
        case: Its pseudonym.
        label: Its DICOM series, or its NIfTI file.
        folder: An empty folder of this task's own to write to.
    """

    case: str
    image: SeriesFiles
    label: SeriesFiles | Path
    folder: Path
    settings: CaseSettings


@dataclass(frozen=True)
class CaseRefused:
    """Says that a case cannot be built."""

    reason: str
    message: str


@dataclass(frozen=True)
class NotWritten:
    """Says that the disk did not take a case: the case is not to blame."""

    why: str


def build_case(task: CaseTask) -> FileHashes | CaseRefused | NotWritten:
    """Builds one case into the task's folder.

    Returns:
        The hashes of its files, or why there are none.
    """
    try:
        image, label = _read(task)
    except (DicomError, DeidError, GeometryError) as error:
        return CaseRefused(error.reason, str(error))
    try:
        return _write(task.folder, image, label)
    except OSError as error:
        return NotWritten(os.strerror(error.errno or 0))


def _read(task: CaseTask) -> tuple[DicomVolume, NDArray[np.uint8]]:
    settings = task.settings
    series = _deidentified(task.image, settings)
    image = volume_of(series)
    found = _label(task.label, image, series, settings)
    if not found.any():
        raise geometry_error("empty_label", "no voxel is marked")
    LabelledVolume(task.case, image.volume, found)
    return image, _coded(found, settings.classes)


def _coded(found: NDArray[np.uint8], classes: dict[str, int]) -> NDArray[np.uint8]:
    """Returns the label with the site's codes instead of 1 + i; class by class, which needs little memory."""
    label = np.zeros_like(found)
    for index, code in enumerate(classes.values()):
        label[found == 1 + index] = code
    return label


def _label(
    label: SeriesFiles | Path, image: DicomVolume, series: DeidentifiedSeries, settings: CaseSettings
) -> NDArray[np.uint8]:
    """Returns the label with the code 1 + i for class i."""
    labels, classes = settings.labels, settings.classes
    if isinstance(labels, NiftiLabels):
        if not isinstance(label, Path):
            raise geometry_error("missing_label", "there is no label file")
        return nifti_label(label, image.volume, {labels.codes[name]: 1 + i for i, name in enumerate(classes)})
    if isinstance(label, Path):
        raise geometry_error("missing_label", "there is no label series")
    names = {name: labels.names[name] for name in classes}
    half = isinstance(labels, SegLabels) and labels.half
    return label_of(_deidentified(label, settings), image, series, names, half)


def _deidentified(files: SeriesFiles, settings: CaseSettings) -> DeidentifiedSeries:
    labels = settings.labels
    known = () if isinstance(labels, NiftiLabels) else labels.names.values()
    names = frozenset(text for texts in known for text in texts)
    headers = [read_header(path) for path in files.paths]
    return deidentify_series(files, headers, settings.policy, settings.keys, names)


def _write(folder: Path, image: DicomVolume, label: NDArray[np.uint8]) -> FileHashes:
    places = {kind: folder / name for kind, name in STAGED.items()}
    write_nifti(places["image"], image.volume.voxels, image.volume.affine)
    write_nifti(places["label"], label, image.volume.affine)
    write_text(places["sidecar"], json.dumps(image.sidecar, sort_keys=True, indent=2, allow_nan=False), _OWNER_ONLY)
    return FileHashes(**{kind: sha256_of_file(path) for kind, path in places.items()})
