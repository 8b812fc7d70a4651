"""Makes folders of DICOM with image series and their segmentations, and sites that build cohorts from them."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread

from fedvoxel.config import parse_config
from fedvoxel.volumes.site import SiteConfig
from tests.volumes.dicom_cases import image_slices, label_voxels, seg_of
from tests.volumes.scans import KEY

NAMES = {"front": ["Front"], "back": ["Back"]}
CLASSES = {"front": 1, "back": 2}
SECRET = "DOE^JANE"


def generated_study(folder: Path, number: int, patient: str | None = None, labelled: bool = True) -> list[Dataset]:
    """Writes one MR series and its SEG; each number is a patient of its own unless one is named."""
    slices = image_slices(seed=number)
    for each in slices:
        each.PatientID = f"PID-{number:04d}" if patient is None else patient
        each.PatientName = SECRET
        each.BodyPartExamined = "PROSTATE"
        each.SeriesDescription = "t2_tse_tra"
    write(folder / f"image{number}", slices)
    if labelled:
        write(folder / f"label{number}", [seg_of(slices, label_voxels())])
    return slices


def write(folder: Path, datasets: Sequence[Dataset]) -> None:
    folder.mkdir(parents=True)
    for index, dataset in enumerate(datasets):
        dataset.save_as(folder / f"IM{index:03d}", enforce_file_format=True)


def real_study(source: Path, folder: Path, name: str) -> None:
    """Copies a real series and makes it a SEG: a block in the middle and one beside it."""
    target = folder / name
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    slices = sorted((dcmread(path) for path in target.iterdir()), key=lambda each: float(each.InstanceNumber))
    for each in slices:  # what the standard wants of a SEG, and of its image
        for keyword in ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyTime"):
            setattr(each, keyword, each.get(keyword) or "")
        for keyword in ("PatientName", "ReferringPhysicianName", "PositionReferenceIndicator"):
            setattr(each, keyword, "")
    label = np.zeros((len(slices), slices[0].Rows, slices[0].Columns), np.uint8)
    middle = [size // 2 for size in label.shape]
    label[middle[0] - 3 : middle[0], middle[1] - 5 : middle[1] + 5, middle[2] - 6 : middle[2]] = 1
    label[middle[0] : middle[0] + 3, middle[1] - 5 : middle[1] + 5, middle[2] : middle[2] + 6] = 2
    write(folder / f"{name}-seg", [seg_of(slices, label)])


def cohort_values(source: dict[str, Any], folder: str = "built", **build: Any) -> dict[str, Any]:
    values = {
        "source": source,
        "image": {"modality": "MR"},
        "labels": {"kind": "seg", "names": NAMES},
        "deid": {"project": "prostates", "body_part": "PROSTATE"},
        "case_memory_gib": 2,
        "case_timeout_s": 60,
        **build,
    }
    return {"source": {"layout": "built", "folder": folder}, "classes": CLASSES, "build": values}


def site_of(cohort: dict[str, Any], **others: Any) -> SiteConfig:
    values = {"schema_version": 1, "pseudonym_key": KEY, "cohorts": {"main": cohort}, **others}
    return parse_config(SiteConfig, values, "the test's site")


def files_in(folder: Path) -> dict[str, bytes]:
    """The content of every file below a folder, the lock left out."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}
