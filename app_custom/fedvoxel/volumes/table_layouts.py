"""Reads the lists of cases that name their files: a CSV table, and the Decathlon's dataset.json."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedvoxel.errors import CohortError
from fedvoxel.plain_file import read_plain
from fedvoxel.volumes.layouts import CaseFiles
from fedvoxel.volumes.refusal import Reason
from fedvoxel.volumes.table_file import UNREADABLE, read_rows

_COLUMNS = ("case", "image", "label")


def list_csv(table: Path) -> list[CaseFiles]:
    """Reads a comma-separated UTF-8 table with the columns case, image, label and optionally patient.

    Relative paths count from the table's folder; other columns are left alone; without a patient, a case is its
    own patient.

    Raises:
        CohortError: The table cannot be read or lacks a column.
    """
    try:
        columns, rows = read_rows(table)
    except UNREADABLE as error:
        raise _unusable("table", "a comma-separated UTF-8 table", type(error).__name__) from None
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise _unusable("table", f"the columns {', '.join(_COLUMNS)}", f"no column {', '.join(missing)}")
    return [_from_row(row, number, table.parent) for number, row in enumerate(rows, start=2)]


def list_decathlon(dataset_json: Path) -> list[CaseFiles]:
    """Reads the list "training" of a Medical Segmentation Decathlon dataset.json; each case is its own patient.

    Raises:
        CohortError: The file cannot be read or has no such list.
    """
    try:
        content = json.loads(read_plain(dataset_json).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unusable("dataset_json", "a JSON file", type(error).__name__) from None
    items = content.get("training") if isinstance(content, dict) else None
    if not isinstance(items, list):
        raise _unusable("dataset_json", 'a list "training" of {"image": ..., "label": ...}', "none")
    return [_from_item(item, number, dataset_json.parent) for number, item in enumerate(items, start=1)]


def _from_row(row: dict[str | Any, Any], number: int, folder: Path) -> CaseFiles:
    case, patient, image, label = (_text(row.get(name)) for name in ("case", "patient", "image", "label"))
    if not case:
        return CaseFiles(f"row {number}", f"row {number}", None, (), "unnamed_case")
    return replace(_pair(case, patient or case, image, label, folder), patient_named=bool(patient))


def _from_item(item: Any, number: int, folder: Path) -> CaseFiles:
    values = item if isinstance(item, dict) else {}
    image, label = _text(values.get("image")), _text(values.get("label"))
    case = Path(image or label).name.removesuffix(".gz").removesuffix(".nii")
    if not case:
        return CaseFiles(f"item {number}", f"item {number}", None, (), "unnamed_case")
    return replace(_pair(case, case, image, label, folder), patient_named=False)


def _pair(case: str, patient: str, image: str, label: str, folder: Path) -> CaseFiles:
    image_path = folder / image if image else None
    label_paths = (folder / label,) if label else ()
    problem: Reason | None = None
    if image_path is None or not image_path.is_file():
        problem = "missing_image"
    elif not label_paths or not label_paths[0].is_file():
        problem = "missing_label"
    return CaseFiles(case, patient, image_path, label_paths, problem)


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _unusable(key: str, expected: str, came: str) -> CohortError:
    return CohortError(f"the cohort's source.{key} cannot be used: expected {expected}, got {came}")
