"""Finds the series in a folder of files that nobody vouches for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Progress = Callable[[int, int], None]
"""Is told how many files are done, and of how many."""


@dataclass(frozen=True)
class SeriesFiles:
    """Is one series of one patient: where its files lie and what they say they are.

    Attributes:
        patient_id: PatientID, as in the files; never shown.
        issuer: IssuerOfPatientID, or "".
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID.
        modality: Modality.
        sop_class_uids: The SOP classes in the series, sorted.
        frame_of_reference_uid: FrameOfReferenceUID, or "" where there is none or not one only.
        referenced_series: SeriesInstanceUIDs that a SEG or RTSTRUCT was drawn on, sorted.
        paths: The files, sorted.
    """

    patient_id: str = field(repr=False)
    issuer: str = field(repr=False)
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    modality: str = field(repr=False)
    sop_class_uids: tuple[str, ...] = field(repr=False)
    frame_of_reference_uid: str = field(repr=False)
    referenced_series: tuple[str, ...] = field(repr=False)
    paths: tuple[Path, ...] = field(repr=False)


@dataclass(frozen=True)
class Inventory:
    """Is what a folder holds.

    Attributes:
        series: The series, sorted by their UID.
        refused: (reason, number of files) of what is not used, sorted by reason.
    """

    series: tuple[SeriesFiles, ...]
    refused: tuple[tuple[str, int], ...]


def find_series(folder: Path, progress: Progress | None = None) -> Inventory:
    """Walks a folder and sorts its files into series; links are not followed.

    Raises:
        DicomError: The folder cannot be read.
    """
    raise NotImplementedError
