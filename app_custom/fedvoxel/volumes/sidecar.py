"""Reads what a cohort knows of a case beside its voxels: scanner, and the patient's sex and age, as BIDS names them.

Taken from the JSON file beside an image, or from a built cohort's `sidecars/`, and from a BIDS tree's
participants.tsv. Only the fields listed here are read, each only if its value is of its kind; whatever else such a
file holds (a hospital, a date, a name) is left where it is. What is read stays inside the site.
Source: BIDS 1.10, Magnetic Resonance Imaging data, and participants file.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fedvoxel.plain_file import read_plain
from fedvoxel.volumes.layouts import CaseFiles
from fedvoxel.volumes.table_file import UNREADABLE, read_rows

MAX_BYTES = 2**20
"""A sidecar, or a table of participants, that is larger is not read."""

Sidecar = Mapping[str, str | float]
"""Known facts by BIDS name; what is not known is left out."""

_TEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .,_+/()&-]{0,63}")
_CODE = re.compile(r"[A-Z][A-Z0-9_ ]{0,15}")
_AGE = re.compile(r"(\d{3})([DWMY])")
_YEARS = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
_ENDINGS = (".nii.gz", ".nii")


def read_sidecar(files: CaseFiles) -> Sidecar:
    """Returns what is known of a case; nothing, if it has no sidecar that can be read."""
    if files.image is None:
        return {}
    values: dict[str, Any] = {}
    for path in _sidecar_paths(files.image):
        values |= _json_object(path)
    known = ((name, kind(values.get(name))) for name, kind in _KINDS.items())
    return {name: value for name, value in known if value is not None}


def read_participants(root: Path) -> dict[str, Sidecar]:
    """Returns sex and age by participant of a BIDS tree; nothing, if it has no table that can be read."""
    path = root / "participants.tsv"
    try:
        if path.stat().st_size > MAX_BYTES:
            return {}
        _, rows = read_rows(path, "\t")
    except UNREADABLE:
        return {}
    return {str(row.get("participant_id")): _participant(row) for row in rows}


def _participant(row: Mapping[str, Any]) -> Sidecar:
    known = {"PatientSex": _sex(row.get("sex")), "PatientAge": _age(row.get("age"))}
    return {name: value for name, value in known.items() if value is not None}


def _sidecar_paths(image: Path) -> list[Path]:
    stem = next((image.name.removesuffix(end) for end in _ENDINGS if image.name.endswith(end)), image.stem)
    return [image.with_name(f"{stem}.json"), image.parent.parent / "sidecars" / f"{stem}.json"]


def _json_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_plain(path, MAX_BYTES).decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    text = " ".join(value.split())
    return text if _TEXT.fullmatch(text) else None


def _code(value: Any) -> str | None:
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and abs(value) < 1e6 else None


def _sex(value: Any) -> str | None:
    first = value.strip()[:1].upper() if isinstance(value, str) else ""
    return first if first in {"F", "M", "O"} else None


def _age(value: Any) -> float | None:
    """Returns years, of a number, of its text, or of a DICOM age string such as 045Y."""
    if isinstance(value, str):
        coded = _AGE.fullmatch(value.strip())
        if coded:
            return int(coded[1]) / _YEARS[coded[2]]
        try:
            value = float(value)
        except ValueError:
            return None
    years = _number(value)
    return years if years is not None and 0 <= years <= 130 else None


_KINDS: dict[str, Callable[[Any], str | float | None]] = {
    "Modality": _code,
    "Manufacturer": _text,
    "ManufacturersModelName": _text,
    "MagneticFieldStrength": _number,
    "BodyPartExamined": _code,
    "SliceThickness": _number,
    "RepetitionTime": _number,
    "EchoTime": _number,
    "InversionTime": _number,
    "FlipAngle": _number,
    "KVP": _number,
    "ConvolutionKernel": _text,
    "ContrastBolusAgent": _text,
    "PatientSex": _sex,
    "PatientAge": _age,
}
