"""Chooses a cohort's images among the series that were found, gives each its label, and names case and patient.

What is not an image of the cohort is left alone and counted; what is one and cannot become a case is refused.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from fedvoxel.dicom.header import read_header
from fedvoxel.dicom.query import FoundSeries
from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.series import Inventory, SeriesFiles
from fedvoxel.volumes.build_config import BuildConfig, ImageChoice, NiftiLabels
from fedvoxel.volumes.cohort.case import CaseRefused
from fedvoxel.volumes.cohort.label_table import LabelTable
from fedvoxel.volumes.pairing import pair
from fedvoxel.volumes.refusal import REMEDIES, Reason

LABEL_MODALITY = {"seg": "SEG", "rtstruct": "RTSTRUCT"}
"""The modality of each kind of label that is DICOM."""


@dataclass(frozen=True)
class Origin:
    """Is whose scan a case is, in the hospital's own words; only for the hospital's key file."""

    patient_id: str = field(repr=False)
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)


@dataclass(frozen=True)
class Candidate:
    """Is an image series and its label, or why it has none.

    Attributes:
        case: The case's pseudonym.
        patient: The patient's pseudonym, or the case's where the patient is not known.
        label: The label's series or file; None for a refusal.
    """

    case: str
    patient: str
    image: SeriesFiles
    label: SeriesFiles | Path | None
    refusal: CaseRefused | None

    @property
    def origin(self) -> Origin:
        """Returns whose scan it is."""
        return Origin(self.image.patient_id, self.image.study_uid, self.image.series_uid)


@dataclass(frozen=True)
class Selection:
    """Chooses and names a cohort's cases.

    Attributes:
        pseudonym_of: Names a series or a patient.
        table: The labels that are NIfTI files; None where labels are DICOM.
        excluded: Pseudonyms of patients whom the hospital has taken out: their series are left alone like others that
            are no images of the cohort.
    """

    build: BuildConfig
    pseudonym_of: Callable[[str], str]
    table: LabelTable | None
    excluded: frozenset[str] = frozenset()

    def candidates(self, inventory: Inventory) -> tuple[Candidate, ...]:
        """Returns the cohort's images in an inventory, by pseudonym."""
        admitted = [series for series in inventory.series if not self.is_excluded(series)]
        images = [series for series in admitted if _is_chosen(series, self.build.image)]
        pairs = self._paired(images, inventory.series)
        found = [self._candidate(image, label, problem) for image, label, problem in pairs]
        return tuple(sorted(found, key=lambda candidate: candidate.case))

    def is_excluded(self, series: SeriesFiles | FoundSeries) -> bool:
        """Says whether a series is of a patient who was taken out."""
        return bool(self.excluded) and bool(self.names_of(series) & self.excluded)

    def names_of(self, series: SeriesFiles | FoundSeries) -> frozenset[str]:
        """Returns the pseudonyms under which a series' patient may have been taken out."""
        patient = self.patient_of(series.patient_id, series.study_uid)
        return frozenset({self.pseudonym_of(series.series_uid)} | ({patient} if patient else set()))

    def patient_of(self, patient_id: str, study_uid: str) -> str | None:
        """Returns the patient's pseudonym; None for a patient whom nobody can tell from others."""
        named = patient_id.strip()
        if named:
            return self.pseudonym_of(named)
        return self.pseudonym_of(study_uid) if self.build.deid.unnamed_patients == "by_study" else None

    def _paired(
        self, images: Sequence[SeriesFiles], series: Iterable[SeriesFiles]
    ) -> Iterable[tuple[SeriesFiles, SeriesFiles | Path | None, Reason | None]]:
        if self.table is not None:
            found = [(image, self.table.label_of(image.series_uid)) for image in images]
            return [(image, label, None if label else "missing_label") for image, label in found]
        modality = label_modality(self.build)
        pairs = pair(images, [each for each in series if each.modality == modality])
        return [(found.image, found.label, found.problem) for found in pairs]

    def _candidate(self, image: SeriesFiles, label: SeriesFiles | Path | None, problem: Reason | None) -> Candidate:
        case, patient = self.pseudonym_of(image.series_uid), self.patient_of(image.patient_id, image.study_uid)
        problem = "unknown_patient" if patient is None else problem
        refusal = refused(problem, _FOUND.get(problem, "it cannot be paired")) if problem else None
        return Candidate(case, patient or case, image, None if refusal else label, refusal)


def label_modality(build: BuildConfig) -> str | None:
    """Returns the modality of the cohort's labels; None where they are NIfTI files."""
    return None if isinstance(build.labels, NiftiLabels) else LABEL_MODALITY[build.labels.kind]


def refused(reason: Reason, found: str) -> CaseRefused:
    """Returns the refusal for `reason`: what was found, then what to do."""
    return CaseRefused(reason, f"{found}; {REMEDIES[reason]}")


_FOUND: dict[Reason, str] = {
    "unknown_patient": "the series has no PatientID",
    "missing_label": "no label was found for the series",
    "several_labels": "several labels were found for the series",
    "label_other_image": "the label is of another patient",
}


def _is_chosen(series: SeriesFiles, choice: ImageChoice) -> bool:
    if series.modality != choice.modality:
        return False
    try:
        frames, described = _looked_up(series.paths[0])
    except Exception:  # values of foreign bytes: taken, and refused with its reason when it is built
        return True
    slices = len(series.paths) if len(series.paths) > 1 else frames
    return slices >= choice.minimum_slices and _is_like(choice.description, described)


def _looked_up(path: Path) -> tuple[int, str]:
    """Returns NumberOfFrames and SeriesDescription of a file."""
    with quiet():
        header = read_header(path)
        frames = header.get("NumberOfFrames", 1)
        return frames if isinstance(frames, int) else 1, str(header.get("SeriesDescription", "") or "")


def _is_like(pattern: str | None, text: str) -> bool:
    return pattern is None or fnmatchcase(text.strip().casefold(), pattern.replace("[", "[[]").casefold())
