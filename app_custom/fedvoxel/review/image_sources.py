"""Images without label maps, for a model to be used on: NIfTI files, and series of DICOM studies."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pydicom import Dataset

from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.series import find_series
from fedvoxel.dicom.study_series import StudySeries, read_study_series
from fedvoxel.errors import FedVoxelError, ReviewError
from fedvoxel.evaluation.inference.study import Study, choose_series, studies_in
from fedvoxel.evaluation.inference.suitability import ImageFacts, known_body_part, remarks_on
from fedvoxel.export.description import InputRange
from fedvoxel.records.canonical import sha256_of, sha256_of_file
from fedvoxel.review.reading import CaseVolumes, DicomOrigin
from fedvoxel.volumes.dicom_volume import volume_of_study
from fedvoxel.volumes.nifti_file import claimed_voxels, read_nifti
from fedvoxel.volumes.pseudonym import pseudonym
from fedvoxel.volumes.volume import Volume

_NIFTI = (".nii", ".nii.gz")


@dataclass(frozen=True)
class NiftiImage:
    """Is a NIfTI file; its representation does not show its name, which may be a patient's."""

    case: str
    path: Path = field(repr=False)
    expected: InputRange = field(repr=False)
    candidates: tuple[str, ...] = ()
    waiting: str | None = None
    examination: str | None = None

    def claimed_voxels(self) -> int:
        """Returns what the file's header claims."""
        return claimed_voxels(self.path)

    def load(self) -> CaseVolumes:
        """Reads the file.

        Raises:
            GeometryError: It is no volume that can be trusted.
        """
        volume = Volume(*read_nifti(self.path, "image", "missing_image"))
        facts = ImageFacts.of(None, None, volume.shape, volume.affine)
        remarks = tuple(remarks_on(facts, self.expected))
        return CaseVolumes(volume, {}, sha256_of_file(self.path), remarks=remarks)


@dataclass(frozen=True)
class StudyImage:
    """Is a study of which one series fits the model."""

    case: str
    study: Study = field(repr=False)
    expected: InputRange = field(repr=False)
    series: int | None = None
    candidates: tuple[str, ...] = ()
    waiting: str | None = None

    @cached_property
    def examination(self) -> str | None:
        """Is when the examination was, and what its series is; None where no series can be used, which `load` says."""
        try:
            entry = choose_series(self.study, self.expected, self.series)
        except FedVoxelError:
            return None
        return ", ".join([*_when(entry.first.header), entry.files.modality, f"{entry.frames} slices"])

    def claimed_voxels(self) -> int:
        """Returns what the series' first header and the number of its slices come to.

        Raises:
            PredictionError: There is no series that the model is for, or several.
        """
        return choose_series(self.study, self.expected, self.series).voxels

    def load(self) -> CaseVolumes:
        """Reads the series that the model is for.

        Raises:
            PredictionError: There is none, or several.
            GeometryError: The series does not make a volume.
            DicomError: A file cannot be read.
        """
        entry = choose_series(self.study, self.expected, self.series)
        series = read_study_series(entry.files)
        image = volume_of_study(series)
        body_part = known_body_part(series.headers[0].get("BodyPartExamined"))
        facts = ImageFacts.of(series.modality, body_part, image.volume.shape, image.volume.affine)
        remarks = tuple(remarks_on(facts, self.expected))
        return CaseVolumes(
            image.volume,
            {},
            _read_from(series),
            modality=series.modality,
            remarks=remarks,
            origin=DicomOrigin(series, image),
        )


def images_in(
    folder: Path, expected: InputRange, key: str, series: int | None = None
) -> Sequence[NiftiImage | StudyImage]:
    """Returns the NIfTI files of a folder, or the studies below it, under pseudonyms.

    Args:
        folder: Where to look.
        expected: What the model was made for.
        key: For the pseudonyms, 64 hexadecimal digits.
        series: The number of the series to take in each study; the one that fits if None.

    Raises:
        ReviewError: There is no such folder.
        DicomError: A study names several patients.
        PredictionError: There are neither files nor studies.
    """
    if not folder.is_dir():
        raise ReviewError("expected a folder of NIfTI files, of DICOM studies, or with reading.json; there is none")
    files = sorted(path for path in folder.iterdir() if path.name.lower().endswith(_NIFTI))
    if files:
        return [NiftiImage(pseudonym(key, path.name), path, expected) for path in files]
    studies = studies_in(find_series(folder))
    return [StudyImage(pseudonym(key, one.series[0].study_uid), one, expected, series) for one in studies]


def _read_from(series: StudySeries) -> str:
    """Returns what stands for a series' images: changed pixels bear another SOPInstanceUID (PS3.3 C.12.1)."""
    return sha256_of([series.series_uid, sorted(str(header.get("SOPInstanceUID")) for header in series.headers)])


def _when(header: Dataset) -> list[str]:
    """Returns date and time of a study, where they are digits as the standard has them (PS3.5 6.2); nothing else."""
    with quiet():
        date, time = (str(header.get(keyword) or "") for keyword in ("StudyDate", "StudyTime"))
    day = re.fullmatch(r"(\d{4})(\d{2})(\d{2})", date)
    if day is None:
        return []
    hour = re.match(r"(\d{2})(\d{2})", time)
    return ["-".join(day.groups()) + (f" {hour[1]}:{hour[2]}" if hour else "")]
