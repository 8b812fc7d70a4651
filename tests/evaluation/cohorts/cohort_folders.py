"""Cohorts in folders for the tests: small scans with sidecars that hold hostile text."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from fedvoxel.volumes.site import SiteConfig
from tests.volumes.scans import csv_cohort, image_voxels, label_voxels, site_config, write_nifti, write_pair

NAME = "MUSTERMANN^ERIKA"
HOSTILE = '"><script>alert("x")</script>'


def write_cohort(folder: Path, count: int, patient_of: dict[int, str] | None = None, **sidecar: Any) -> Path:
    """Writes pairs named after a patient, with a sidecar beside each image, and their table; returns the table."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        case = f"{NAME}-{number}"
        pair = write_pair(folder, case, seed=number)
        if sidecar and pair.image is not None:
            (folder / f"{case}_image.json").write_text(json.dumps({**sidecar, "PatientName": NAME}))
        patient = (patient_of or {}).get(number, case)
        rows.append((case, patient, pair.image, pair.label[0]))
    table = folder / "cases.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("case", "patient", "image", "label"), *rows])
    return table


def site_of(folder: Path, count: int, patient_of: dict[int, str] | None = None, **sidecar: Any) -> SiteConfig:
    """Writes a cohort named hippocampus into `folder` and returns its site."""
    write_cohort(folder, count, patient_of, **sidecar)
    return site_config(hippocampus=csv_cohort())


def rewrite_label(folder: Path, number: int, low: int, high: int) -> None:
    """Marks class 1 from voxel `low` to `high` along each axis instead, in one case."""
    label = np.zeros_like(label_voxels())
    label[low:high, low:high, low:high] = 1
    write_nifti(folder / f"{NAME}-{number}_label.nii.gz", label)


def rewrite_image(folder: Path, number: int, seed: int, scale: float = 1.0) -> None:
    """Writes another case's image, or one of another scale, in its place."""
    write_nifti(folder / f"{NAME}-{number}_image.nii.gz", (image_voxels(seed=seed) * scale).astype(np.float32))
