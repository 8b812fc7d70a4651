"""Shares the Decathlon's hippocampus set out to four hospitals by intensity group.

All scans come from one hospital, but in three very different intensity scales: A up to 255 (hospital-a), B in the
thousands (hospital-b and hospital-c), C above 100,000 (hospital-d). Paths are written to the tables, nothing is
copied. Source: Medical Segmentation Decathlon, Task04, CC BY-SA 4.0.
"""

import csv
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedvoxel.errors import CohortError, GeometryError
from fedvoxel.records.atomic import write_text
from fedvoxel.volumes.nifti_file import read_nifti
from fedvoxel.volumes.table_layouts import list_decathlon

CLASSES = {"anterior": 1, "posterior": 2}
HOSPITALS = ("hospital-a", "hospital-b", "hospital-c", "hospital-d")
_SUGGESTED = {f"site-{letter}": f"hospital-{letter}" for letter in "abcd"}
_PREPARED, _DECATHLON = "msd_hippocampus", "Task04_Hippocampus"
_HIGHEST_A, _HIGHEST_B = 255.0, 20_000.0  # the set has nothing between 5,000 and 100,000

_Row = tuple[str, str, Path, Path]


def find_hippocampus(folder: Path) -> Path | None:
    """Returns the hippocampus set in `folder` (itself, msd_hippocampus or Task04_Hippocampus), or None."""
    places = (folder, folder / _PREPARED, folder / _DECATHLON)
    return next((place for place in places if _is_prepared(place) or _is_decathlon(place)), None)


def hippocampus_tables(folder: Path, out: Path) -> dict[str, Path]:
    """Writes one table per hospital, with absolute paths; each case is its own patient.

    Args:
        folder: The set, or a folder that holds it.
        out: Where the tables go: `out`/hospital-a.csv and so on.

    Raises:
        CohortError: The folder holds no hippocampus set, or its list cannot be used.
    """
    place = find_hippocampus(folder)
    if place is None:
        raise CohortError(
            f"expected the hippocampus set: a folder {_PREPARED} (cases.csv, images, labels) "
            f"or {_DECATHLON} (dataset.json, imagesTr, labelsTr)"
        )
    rows = _prepared_rows(place) if _is_prepared(place) else _decathlon_rows(place)
    return {
        hospital: _write(out / f"{hospital}.csv", [row for row in rows if row[0] == hospital]) for hospital in HOSPITALS
    }


def declare_public(tables: Mapping[str, Path], cases: int) -> dict[str, Path]:
    """Takes some cases out of each hospital's table, and returns tables of these alone.

    Which ones is decided by a hash of the case's name. They are public from then on and counted nowhere else.

    Args:
        tables: Tables of `hippocampus_tables`, which are written anew.
        cases: Cases of each hospital.
    """
    return {hospital: _take_out(table, cases) for hospital, table in tables.items()}


def hippocampus_cohort(table: Path, validation: float = 0.1, test: float = 0.25) -> dict[str, Any]:
    """Returns the description of a hospital's cohort for its site file.

    Args:
        table: The cohort's cases.
        validation: Share of the patients that are held back for validation.
        test: Likewise for the test: a quarter, so that the smallest hospital (25 cases) has enough of them.
    """
    split = {"validation": validation, "test": test}
    return {"source": {"layout": "csv", "table": str(table)}, "classes": dict(CLASSES), "split": split}


def _take_out(table: Path, cases: int) -> Path:
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows.sort(key=lambda row: hashlib.sha256(f"public {row['case']}".encode()).digest())
    for path, chosen in ((table, rows[cases:]), (table.with_stem(f"{table.stem}_public"), rows[:cases])):
        _write(path, [(table.stem, row["case"], Path(row["image"]), Path(row["label"])) for row in chosen])
    return table.with_stem(f"{table.stem}_public")


def _is_prepared(place: Path) -> bool:
    return (place / "cases.csv").is_file() and (place / "images").is_dir() and (place / "labels").is_dir()


def _is_decathlon(place: Path) -> bool:
    return (place / "dataset.json").is_file() and (place / "imagesTr").is_dir()


def _prepared_rows(place: Path) -> list[_Row]:
    with (place / "cases.csv").open(encoding="utf-8-sig", newline="") as stream:
        listed = list(csv.DictReader(stream))
    if not listed or any(row.get("suggested_site") not in _SUGGESTED or not row.get("case") for row in listed):
        raise CohortError("expected cases.csv with the columns case and suggested_site (site-a to site-d)")
    return [_prepared_row(place, _SUGGESTED[row["suggested_site"]], row["case"]) for row in listed]


def _prepared_row(place: Path, hospital: str, case: str) -> _Row:
    return hospital, case, place / "images" / f"{case}.nii.gz", place / "labels" / f"{case}.nii.gz"


def _decathlon_rows(place: Path) -> list[_Row]:
    return [
        (_hospital_of(files.case, files.image), files.case, files.image, files.label[0])
        for files in list_decathlon(place / "dataset.json")
        if files.image is not None and files.label
    ]


def _hospital_of(case: str, image: Path) -> str:
    """Returns the hospital of a case's intensity group; B is halved by a hash of the case's name."""
    half = "hospital-b" if hashlib.sha256(case.encode()).digest()[0] < 128 else "hospital-c"
    try:
        highest = float(read_nifti(image, "image", "missing_image")[0].max())
    except GeometryError:
        return half  # the cohort's check refuses it there, with its reason
    if highest <= _HIGHEST_A:
        return "hospital-a"
    return half if highest <= _HIGHEST_B else "hospital-d"


def _write(path: Path, rows: list[_Row]) -> Path:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("case", "patient", "image", "label"))
    for _, case, image, label in sorted(rows):
        table.writerow((case, case, image.resolve(), label.resolve()))
    write_text(path, text.getvalue())
    return path
