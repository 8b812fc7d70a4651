"""Takes DICOM files the way that `fedvoxel cohort build` does: found, de-identified, made into volume and label."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydicom import Dataset

from fedvoxel.deid.keys import DeidKeys
from fedvoxel.deid.policy import DeidPolicy
from fedvoxel.deid.series import DeidentifiedSeries, deidentify_series
from fedvoxel.dicom.header import read_header
from fedvoxel.dicom.series import SeriesFiles, find_series
from fedvoxel.volumes.pairing import pair

LABELS = ("SEG", "RTSTRUCT")


def deidentified(files: SeriesFiles, names: Mapping[str, Sequence[str]] | None = None) -> DeidentifiedSeries:
    """De-identifies a series; `names` as in a cohort's description."""
    policy, keys = DeidPolicy(project="demo", faces="kept"), DeidKeys.of("0f" * 32, "demo")
    known = frozenset(name for group in (names or {}).values() for name in group)
    return deidentify_series(files, [read_header(path) for path in files.paths], policy, keys, known)


def paired(folder: Path, names: Mapping[str, Sequence[str]]) -> tuple[DeidentifiedSeries, DeidentifiedSeries]:
    """De-identifies the only image of a folder and its label."""
    found = find_series(folder)
    images = [series for series in found.series if series.modality not in LABELS]
    (only,) = pair(images, [series for series in found.series if series.modality in LABELS])
    assert only.label is not None, (only.problem, found.refused)
    return deidentified(only.image), deidentified(only.label, names)


def store(folder: Path, *datasets: Dataset) -> Path:
    """Writes data sets as files whose names say nothing of their order."""
    folder.mkdir(parents=True, exist_ok=True)
    for dataset in datasets:
        name = str(dataset.SOPInstanceUID)[-12:]
        dataset.save_as(folder / name, enforce_file_format=True)
    return folder
