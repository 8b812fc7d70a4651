"""Makes small scans and sites for the tests: real NIfTI files, real configuration."""

import csv
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from fedvoxel.config import parse_config
from fedvoxel.volumes.layouts import CaseFiles
from fedvoxel.volumes.site import CohortConfig, SiteConfig

KEY = "0f" * 32
CLASSES = ("anterior", "posterior")
SHAPE = (9, 11, 7)


def image_voxels(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(10, 200, shape).astype(np.float32)


def label_voxels(shape: tuple[int, ...] = SHAPE) -> NDArray[np.uint8]:
    label = np.zeros(shape, dtype=np.uint8)
    label[2:5, 2:5, 2:5] = 1
    label[5:7, 2:5, 2:5] = 2
    return label


def write_nifti(path: Path, voxels: NDArray[Any], affine: NDArray[np.float64] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([1.0, 1.0, 1.0, 1.0]) if affine is None else affine
    nibabel.Nifti1Image(voxels, affine).to_filename(path)
    return path


def write_pair(folder: Path, name: str = "one", seed: int = 0) -> CaseFiles:
    image = write_nifti(folder / f"{name}_image.nii.gz", image_voxels(seed=seed))
    label = write_nifti(folder / f"{name}_label.nii.gz", label_voxels())
    return CaseFiles(name, name, image, (label,))


def write_table(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...] = ("case", "image", "label")) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, columns)
        table.writeheader()
        table.writerows(rows)
    return path


def pairs_table(folder: Path, count: int) -> Path:
    pairs = [write_pair(folder, f"patient{number}", seed=number) for number in range(count)]
    rows = [{"case": pair.case, "image": pair.image, "label": pair.label[0]} for pair in pairs]
    return write_table(folder / "cases.csv", rows)


def csv_cohort(table: str = "cases.csv", **changes: Any) -> dict[str, Any]:
    source = {"layout": "csv", "table": table}
    return {"source": source, "classes": {"anterior": 1, "posterior": 2}, **changes}


def cohort_config(**changes: Any) -> CohortConfig:
    return parse_config(CohortConfig, csv_cohort(**changes), "the test's cohort")


def site_values(**cohorts: dict[str, Any]) -> dict[str, Any]:
    return {"schema_version": 1, "pseudonym_key": KEY, "cohorts": cohorts}


def site_config(**cohorts: dict[str, Any]) -> SiteConfig:
    return parse_config(SiteConfig, site_values(**cohorts), "the test's site")
