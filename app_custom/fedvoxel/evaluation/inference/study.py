"""The studies in a folder, and the one series of a study that a model is for.

Studies and series are numbered; nobody is named. Where several series fit nothing is guessed: the person chooses.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.header import read_header
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
    """

    number: int
    series: tuple[SeriesFiles, ...] = field(repr=False)

    @property
    def patient(self) -> tuple[str, str]:
        """Returns what tells its patient from others; never shown."""
        return self.series[0].issuer, self.series[0].patient_id


def studies_in(inventory: Inventory) -> tuple[Study, ...]:
    """Returns the studies of a folder.

    Raises:
        DicomError: mixed_patients; two patients share a study.
        PredictionError: no_image; there is none.
    """
    groups: dict[str, list[SeriesFiles]] = defaultdict(list)
    for series in inventory.series:
        groups[series.study_uid].append(series)
    studies = tuple(Study(number, tuple(groups[uid])) for number, uid in enumerate(sorted(groups), start=1))
    if any(len({(one.issuer, one.patient_id) for one in study.series}) > 1 for study in studies):
        raise dicom_error("mixed_patients", "the series of one study name several patients")
    if "mixed_patients" in dict(inventory.refused):
        raise dicom_error("mixed_patients", "one series holds images of several patients or studies")
    if not studies:
        refused = sum(count for _, count in inventory.refused)
        raise prediction_error("no_image", f"the folder holds no DICOM series that can be used ({refused} other files)")
    return studies


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
        DicomError: No series can be read.
        GeometryError: No series says where its frames lie.
    """
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
