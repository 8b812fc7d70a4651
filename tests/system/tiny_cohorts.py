"""Tiny cohorts for the system tests: a few rows of a real table, or made-up blobs of the same shape and classes."""

import json
import shutil
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import nibabel
import numpy as np

from fedvoxel.privacy.policy import NoBudget, grant
from fedvoxel.volumes.hippocampus import CLASSES
from fedvoxel.volumes.site import SITE_FILE
from fedvoxel.volumes.split import SplitFractions, split_of

SHAPE = (40, 56, 40)
WANTED = {"training": 5, "validation": 1, "test": 2}
_TABLE_HEAD = "case,patient,image,label"


def describe_cohort(kit: Path, name: str, rows: list[str]) -> None:
    """Writes a table into a site's kit and describes it as cohort `name`, of which updates may leave."""
    (kit / "local" / f"{name}.csv").write_text("\n".join([_TABLE_HEAD, *rows]) + "\n")
    path = kit / "local" / SITE_FILE
    site = json.loads(path.read_text())
    source = {"layout": "csv", "table": f"{name}.csv"}
    site["cohorts"][name] = {"source": source, "classes": CLASSES}
    path.write_text(json.dumps(site | {"compute": {"threads": 1, "device": "cpu"}}))
    grant(kit / "local", name, NoBudget())


def choose(rows: list[str], wanted: Mapping[str, int] = WANTED) -> list[str]:
    """Returns as many rows of each split as wanted."""
    by_split: dict[str, list[str]] = {split: [] for split in ("training", "validation", "test")}
    for row in rows:
        by_split[split_of(row.split(",")[1], SplitFractions())].append(row)
    chosen = [row for split, count in wanted.items() for row in by_split[split][:count]]
    assert len(chosen) == sum(wanted.values())
    return chosen


def of_others(folder: Path, rows: list[str], cohort: str) -> list[str]:
    """Returns copies of the same scans as rows of other patients, each in the split of the one whom it stands for.

    A patient of a protected cohort, by name or by image file, may be in no cohort without protection.
    """
    renamed = []
    for row in rows:
        case, patient, *files = row.split(",")
        split = split_of(patient, SplitFractions())
        names = (f"{cohort}-{patient}-{number}" for number in count())
        name = next(name for name in names if split_of(name, SplitFractions()) == split)
        copies = [folder / f"{cohort}_{Path(file).name}" for file in files]
        for file, copied in zip(files, copies, strict=True):
            shutil.copyfile(file, copied)
        renamed.append(",".join([f"{cohort}-{case}", name, *map(str, copies)]))
    return renamed


def blob_rows(folder: Path, site: str, seed: int, wanted: Mapping[str, int] = WANTED) -> list[str]:
    """Writes made-up scans of a site and returns the rows of its table."""
    names = [f"{site}-{index:03d}" for index in range(200)]
    rows = choose(
        [f"{name},{name},{folder / name}_image.nii.gz,{folder / name}_label.nii.gz" for name in names], wanted
    )
    random = np.random.default_rng(seed)
    grid = np.indices(SHAPE).transpose(1, 2, 3, 0)
    for row in rows:
        _, _, image_path, label_path = row.split(",")
        label = np.zeros(SHAPE, np.uint8)
        for code in CLASSES.values():
            centre = random.integers((10, 16 * code, 10), (30, 16 * code + 8, 30))
            label[np.linalg.norm(grid - centre, axis=-1) < 6] = code
        image = (random.normal(size=SHAPE) * 0.2 + label).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), image_path)
        nibabel.save(nibabel.Nifti1Image(label, np.eye(4)), label_path)
    return rows
