"""The unequal hospitals: each a site file of its own, so that everything that is compared reads the same cases.

No case is in two hospitals, and which cases nobody trains on is decided by the patient, as in every cohort.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import CohortError
from fedvoxel.ops.demo_data import SPINAL_CORD_FOLDER
from fedvoxel.records.atomic import write_json
from fedvoxel.volumes.hippocampus import HOSPITALS, hippocampus_cohort, hippocampus_tables
from fedvoxel.volumes.nifti_file import read_nifti
from fedvoxel.volumes.site import SITE_FILE
from fedvoxel.volumes.spinal_cord import spinal_cord_cohorts
from fedvoxel.volumes.split import SplitFractions, split_of

SPLITS: Mapping[str, str] = {
    "intensity": "hippocampus_fedavg",
    "skewed": "hippocampus_fedavg",
    "geometry": "spinal_cord_fedavg",
}
"""The job that each split is trained by."""

SHARES = (0.05, 0.15, 0.30, 0.50)
"""Each skewed hospital's share of the patients that may be trained on, hospital-a's first."""
GROUPS, ALPHA, FEWEST_TESTED = 5, 0.3, 8
"""Quantile groups of shape, the Dirichlet's concentration, and tested patients that every hospital has at least."""

_NO_SECRET = "0" * 64
"""The key of the pseudonyms: the sets are public, and they are the same in every run."""

Row = Mapping[str, str]


@dataclass(frozen=True)
class Patient:
    """Is one row of a table, its quantile group, and whether it is held back for the test."""

    row: Row
    group: int
    tested: bool


def make_split(split: str, data: Path, work: Path) -> dict[str, Path]:
    """Writes a split's tables and site files and returns the site files by hospital.

    Raises:
        CohortError: The scans are not in `data`, or the split is unknown.
    """
    out = work / "splits" / split
    if split == "geometry":
        root = data / SPINAL_CORD_FOLDER
        if not root.is_dir():
            raise CohortError(f"the split {split} needs {SPINAL_CORD_FOLDER} in the folder that --data names")
        return _write_sites(out, "spinal_cord", spinal_cord_cohorts(root.resolve()))
    if split not in SPLITS:
        raise CohortError(f"expected one of the splits {', '.join(SPLITS)}, got {split!r}")
    tables = hippocampus_tables(data, out)
    if split == "skewed":
        tables = _skew(tables, out)
    return _write_sites(out, "hippocampus", {site: hippocampus_cohort(table) for site, table in tables.items()})


def share_out(patients: Sequence[Patient]) -> list[list[Patient]]:
    """Gives each hospital its own mixture of groups, by the first draw that leaves each enough tested patients.

    Training patients are shared out in `SHARES`: the mixtures are Dirichlet draws, the smallest hospital chooses first,
    and who comes later takes what is left. A tested patient goes to a hospital by how common the group is in the
    hospitals' mixtures, not by their size: with two tested patients no hospital could be said to gain or lose.

    Source: Hsu et al., "Measuring the Effects of Non-Identical Data Distribution", 2019, section 3, per hospital.
    """
    for draw in count():
        random = np.random.default_rng(draw)
        hospitals = _share_training([patient for patient in patients if not patient.tested], random)
        mixtures = np.array([_mixture(found) for found in hospitals])
        for patient in patients:
            if patient.tested:
                chances = mixtures[:, patient.group] / mixtures[:, patient.group].sum()
                hospitals[random.choice(len(SHARES), p=chances)].append(patient)
        if min(sum(patient.tested for patient in found) for found in hospitals) >= FEWEST_TESTED:
            break
    return hospitals


def _share_training(pool: list[Patient], random: np.random.Generator) -> list[list[Patient]]:
    seats = np.diff(np.round(np.cumsum([0.0, *SHARES]) * len(pool))).astype(int)
    mixtures = random.dirichlet([ALPHA] * GROUPS, len(SHARES))
    return [[_take(pool, mixture, random) for _ in range(n)] for mixture, n in zip(mixtures, seats, strict=True)]


def _mixture(patients: Sequence[Patient]) -> NDArray[np.float64]:
    return np.bincount([patient.group for patient in patients], minlength=GROUPS) / len(patients)


def _take(pool: list[Patient], mixture: NDArray[np.float64], random: np.random.Generator) -> Patient:
    """Takes one patient out of the pool, from a group that still has some."""
    left = np.bincount([patient.group for patient in pool], minlength=GROUPS) > 0
    chances = np.where(left, mixture + 1e-6, 0.0)
    group = random.choice(GROUPS, p=chances / chances.sum())
    found = [index for index, patient in enumerate(pool) if patient.group == group]
    return pool.pop(int(random.choice(found)))


def _skew(tables: Mapping[str, Path], out: Path) -> dict[str, Path]:
    """Shares all hospitals' patients out anew, by how much of the hippocampus is its anterior part."""
    rows = sorted((row for table in tables.values() for row in _rows(table)), key=lambda row: row["case"])
    order = np.argsort(np.argsort([anterior_share(Path(row["label"])) for row in rows]))
    held = SplitFractions(**hippocampus_cohort(out)["split"])
    patients = [
        Patient(row, int(place * GROUPS // len(rows)), split_of(row["patient"], held) == "test")
        for row, place in zip(rows, order, strict=True)
    ]
    shared = share_out(patients)
    return {site: _write(out / f"{site}.csv", found) for site, found in zip(HOSPITALS, shared, strict=True)}


def anterior_share(label: Path) -> float:
    """Returns the share of the hippocampus' voxels that are anterior."""
    codes = read_nifti(label, "label", "missing_label")[0]
    return float((codes == 1).sum() / max(1, (codes > 0).sum()))


def _rows(table: Path) -> list[Row]:
    with table.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _write(path: Path, patients: Sequence[Patient]) -> Path:
    rows = sorted((patient.row for patient in patients), key=lambda row: row["case"])
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return path


def _write_sites(out: Path, cohort: str, cohorts: Mapping[str, Any]) -> dict[str, Path]:
    files = {}
    for site, described in cohorts.items():
        files[site] = out / site / SITE_FILE
        write_json(files[site], {"schema_version": 1, "pseudonym_key": _NO_SECRET, "cohorts": {cohort: described}})
    return files
