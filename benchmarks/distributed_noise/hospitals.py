"""Five hospitals of the hippocampus set, its patients shared out at random, and patients that nobody trains on."""

import csv
import hashlib
from pathlib import Path

from fedvoxel.config import parse_config
from fedvoxel.errors import CohortError
from fedvoxel.evaluation.experiment import SiteCases
from fedvoxel.training.setup import TrainingTask
from fedvoxel.volumes.hippocampus import hippocampus_cohort, hippocampus_tables
from fedvoxel.volumes.loading import load_cases
from fedvoxel.volumes.plan import PreparedCase
from fedvoxel.volumes.site import SiteConfig

SITES, PATIENTS, TESTED = 5, 34, 26
"""Hospitals, training patients of each, and tested patients, who are shared out to the hospitals as well."""

_NO_SECRET = "0" * 64
"""The key of the pseudonyms: the set is public, and they are the same in every run."""


def five_hospitals(data: Path, work: Path, task: TrainingTask) -> dict[str, SiteCases]:
    """Returns each hospital's training and test cases; who is where is decided by a hash of the case's name.

    Raises:
        CohortError: There is no hippocampus set in `data`, or it has too few cases.
    """
    rows = [row for table in hippocampus_tables(data, work).values() for row in _rows(table)]
    rows.sort(key=lambda row: hashlib.sha256(row["case"].encode()).digest())
    needed = SITES * PATIENTS + TESTED
    if len(rows) < needed:
        raise CohortError(f"expected at least {needed} cases of the hippocampus, got {len(rows)}")
    tested, trained = rows[:TESTED], rows[TESTED:needed]
    return {
        f"hospital-{index + 1}": SiteCases(
            _load(work / f"training_{index}.csv", trained[index::SITES], task),
            _load(work / f"test_{index}.csv", tested[index::SITES], task),
        )
        for index in range(SITES)
    }


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _load(table: Path, rows: list[dict[str, str]], task: TrainingTask) -> tuple[PreparedCase, ...]:
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    described = {
        "schema_version": 1,
        "pseudonym_key": _NO_SECRET,
        "cohorts": {task.cohort: hippocampus_cohort(table, validation=0.0, test=0.0)},
    }
    site = parse_config(SiteConfig, described, "a benchmark's site")
    return load_cases(site, task.cohort, task.classes, task.plan, "training", Path())[0]
