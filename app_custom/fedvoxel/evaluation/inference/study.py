"""The studies in a folder, and the one series of a study that a model is for.

Studies and series are numbered; nobody is named. Where several series fit nothing is guessed: the person chooses.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.header import read_header
from fedvoxel.dicom.identity import are_several, read_identity
from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.series import Inventory, SeriesFiles
from fedvoxel.errors import DicomError, FedVoxelError, GeometryError, PredictionError
from fedvoxel.evaluation.inference.refusal import prediction_error
from fedvoxel.evaluation.inference.suitability import check_body_part, check_modality, is_within, known_body_part
from fedvoxel.export.description import InputRange
from fedvoxel.volumes.frame_header import FrameHeader, frames_of
from fedvoxel.volumes.plane import is_localizer

_NO_IMAGES = frozenset(
    {
        *("SEG", "SR", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD", "PR", "KO", "DOC", "REG", "FID", "RWV", "PLAN"),
        *("ANN", "STAIN", "HD", "AU", "ECG"),
    }
)
_SHOWN = 20


@dataclass(frozen=True)
class ImageEntry:
    """Is one series of images; its representation shows nothing of the patient.

    Attributes:
        number: From 1, in the order of SeriesNumber.
        files: Where it lies.
        first: The first header.
        frames: Its slices.
    """

    number: int
    files: SeriesFiles = field(repr=False)
    first: FrameHeader = field(repr=False)
    frames: int

    def __str__(self) -> str:
        return f"{self.number}: {self.files.modality}, {self.frames} slices"

    @property
    def body_part(self) -> str | None:
        """Returns BodyPartExamined, where it is a word of the standard."""
        return known_body_part(self.first.header.get("BodyPartExamined"))

    @property
    def plane(self) -> tuple[int, int]:
        """Returns its rows and columns."""
        rows, columns = (self.first.numbers(name, 1) or (0.0,) for name in ("Rows", "Columns"))
        return int(rows[0]), int(columns[0])

    @property
    def voxels(self) -> int:
        """Returns how many voxels its volume has, localizers and copies included."""
        return self.plane[0] * self.plane[1] * self.frames


@dataclass(frozen=True)
class Study:
    """Is one study of one patient.

    Attributes:
        number: From 1, in the order of their UIDs.
        series: Its series, images and others.
        doubtful: How many files beside them cannot be used and may be images of it.
    """

    number: int
    series: tuple[SeriesFiles, ...] = field(repr=False)
    doubtful: int = 0

    @property
    def patient(self) -> tuple[str, ...]:
        """Returns what tells its patient from others; never shown. A patient without a number is nobody else."""
        first = self.series[0]
        return (first.issuer, first.patient_id) if first.patient_id else ("", "", first.study_uid)


def studies_in(inventory: Inventory) -> tuple[Study, ...]:
    """Returns the studies of a folder.

    Raises:
        DicomError: mixed_patients; two patients share a study. Or a file cannot be read any more.
        PredictionError: no_image; there is none.
    """
    groups: dict[str, list[SeriesFiles]] = defaultdict(list)
    for series in inventory.series:
        groups[series.study_uid].append(series)
    for group in groups.values():
        _check_one_person(group)
    if "mixed_patients" in dict(inventory.refused):
        raise dicom_error("mixed_patients", "one series holds images of several patients or studies")
    if not groups:
        refused = sum(count for _, count in inventory.refused)
        raise prediction_error("no_image", f"the folder holds no DICOM series that can be used ({refused} other files)")
    return tuple(
        Study(number, tuple(groups[uid]), _doubtful(inventory, groups[uid], only=len(groups) == 1))
        for number, uid in enumerate(sorted(groups), start=1)
    )


def strays_beside(studies: Sequence[Study], inventory: Inventory) -> DicomError | None:
    """Returns what is to be said of files that may be images of a study of which nothing else can be read."""
    folders = _folders(series for study in studies for series in study.series)
    strays = sum(path.parent not in folders for path in inventory.doubtful)
    return _unreadable(strays, "in folders of no study") if strays and len(studies) > 1 else None


def _doubtful(inventory: Inventory, study: Sequence[SeriesFiles], only: bool) -> int:
    """Returns how many files may be images of a study: all, if it is the only one, else those in its own folders."""
    folders = _folders(study)
    return sum(only or path.parent in folders for path in inventory.doubtful)


def _folders(series: Iterable[SeriesFiles]) -> set[Path]:
    return {path.parent for one in series for path in one.paths}


def _unreadable(count: int, where: str) -> DicomError:
    return dicom_error("unreadable_beside", f"{count} files {where} cannot be used and may be images of it")


def _check_one_person(study: Sequence[SeriesFiles]) -> None:
    with quiet():
        persons = [read_identity(series.paths[0]) for series in study]
    if len({(series.issuer, series.patient_id) for series in study}) > 1 or are_several(persons):
        raise dicom_error("mixed_patients", "the series of one study name several patients")


def check_one_patient(studies: Iterable[Study]) -> None:
    """Refuses studies of several patients.

    Raises:
        PredictionError: several_patients.
    """
    patients = {study.patient for study in studies}
    if len(patients) > 1:
        raise prediction_error("several_patients", f"the folder holds studies of {len(patients)} patients")


def choose_series(study: Study, expected: InputRange, wanted: int | None = None) -> ImageEntry:
    """Returns the series that a model is for.

    Args:
        study: Where to look.
        expected: What the model was made for.
        wanted: The number of the series that a person chose.

    Raises:
        PredictionError: no_image, wrong_modality, wrong_body_part, no_such_series, or several_series, which lists them.
        DicomError: unreadable_beside; a series may lack slices. Or no series can be read.
        GeometryError: No series says where its frames lie.
    """
    if study.doubtful:
        raise _unreadable(study.doubtful, "beside the study's images")
    images, unreadable = _images_of(study)
    if not images:
        raise unreadable or prediction_error("no_image", "the study holds no images")
    if wanted is not None:
        chosen = [entry for entry in images if entry.number == wanted]
        if not chosen:
            raise prediction_error("no_such_series", f"there is no series {wanted}; the study has {_listed(images)}")
        _check(chosen[0], expected)
        return chosen[0]
    fitting, refusals = _fitting(images, expected)
    if not fitting:
        raise refusals[-1]
    best = [entry for entry in fitting if _may_be_a_volume(entry, expected)] or fitting
    if len(best) > 1:
        raise prediction_error("several_series", f"several series fit the model: {_listed(best)}")
    return best[0]


def _images_of(study: Study) -> tuple[list[ImageEntry], FedVoxelError | None]:
    """Returns the series of images, and why the last one of those that cannot be read is not among them."""
    found, unreadable = [], None
    with quiet():
        for files in study.series:
            if files.modality in _NO_IMAGES:
                continue
            try:
                found.append((files, frames_of([read_header(files.paths[0])])))
            except (DicomError, GeometryError) as error:
                unreadable = error
        found.sort(key=lambda one: (one[1][0].numbers("SeriesNumber", 1) or (float("inf"),), one[0].series_uid))
        images = [
            ImageEntry(number, files, frames[0], len(files.paths) - 1 + len(frames))
            for number, (files, frames) in enumerate(found, start=1)
        ]
    return images, unreadable


def _fitting(images: Sequence[ImageEntry], expected: InputRange) -> tuple[list[ImageEntry], list[PredictionError]]:
    """Returns what passes, and why the others do not: what comes closest to passing, last."""
    fitting, refusals = [], []
    for entry in images:
        try:
            _check(entry, expected)
            fitting.append(entry)
        except PredictionError as error:
            refusals.append(error)
    return fitting, sorted(refusals, key=lambda error: error.reason == "wrong_body_part")


def _check(entry: ImageEntry, expected: InputRange) -> None:
    check_modality(entry.files.modality, expected)
    check_body_part(entry.body_part, expected)


def _may_be_a_volume(entry: ImageEntry, expected: InputRange) -> bool:
    """Says whether a series looks like one that the model was made for, from its first header and its size."""
    if entry.frames < 2 or is_localizer(entry.first):
        return False
    spacing = entry.first.numbers("PixelSpacing", 2)
    if spacing is None:
        return False
    extents = [length * size for length, size in zip(spacing, entry.plane, strict=True)]
    return is_within(spacing, expected.spacing_mm) and is_within(extents, expected.extent_mm)


def _listed(images: Sequence[ImageEntry]) -> str:
    shown = "; ".join(str(entry) for entry in images[:_SHOWN])
    return shown + ("" if len(images) <= _SHOWN else f"; and {len(images) - _SHOWN} more")
