"""Finds the cases of a BIDS tree whose labels are binary masks under its derivatives.

A case is what stands before the image's ending: sub-01_ses-2 of sub-01_ses-2_run-1_T2starw.nii.gz. Images with
another ending (a second run, another contrast) are not part of the cohort.
"""

import re
from pathlib import Path

from fedvoxel.errors import CohortError
from fedvoxel.volumes.layouts import CaseFiles
from fedvoxel.volumes.refusal import Reason
from fedvoxel.volumes.sources import BidsSource
from fedvoxel.volumes.table_file import UNREADABLE, read_rows

_ENDINGS = (".nii.gz", ".nii")


def list_bids(source: BidsSource, root: Path) -> list[CaseFiles]:
    """Lists every case of which an image or a mask is there.

    Raises:
        CohortError: There is no such folder, or participants.tsv is asked for and cannot be used.
    """
    if not root.is_dir():
        raise CohortError("the cohort's source.root cannot be used: expected a folder with a BIDS tree")
    wanted = _wanted_subjects(source, root)
    images = _by_case(root, f"_{source.image}", wanted)
    masks = [
        _by_case(root / source.derivatives, f"_{source.image}_{suffix}", wanted) for suffix in source.labels.values()
    ]
    cases = sorted(set(images).union(*masks))
    return [_files(case, images.get(case, []), [found.get(case, []) for found in masks], source) for case in cases]


def _files(case: str, images: list[Path], masks: list[list[Path]], source: BidsSource) -> CaseFiles:
    patient = _patient(case, source.patient_pattern)
    problem: Reason | None = None
    if len(images) > 1 or any(len(found) > 1 for found in masks):
        problem = "duplicate_case"
    elif not images:
        problem = "missing_image"
    elif not all(masks):
        problem = "missing_label"
    elif patient is None:
        problem = "unknown_patient"
    label = tuple(path for found in masks for path in found)
    return CaseFiles(case, patient or case, images[0] if images else None, label, problem)


def _patient(case: str, pattern: str | None) -> str | None:
    if pattern is None:
        return case.split("_")[0]
    found = re.search(pattern, case)
    return found.group(1) or None if found else None


def _by_case(folder: Path, ending: str, wanted: set[str] | None) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for subject in sorted(folder.glob("sub-*")):
        if wanted is not None and subject.name not in wanted:
            continue
        for path in sorted(subject.rglob(f"{subject.name}*")):
            stem = next((path.name.removesuffix(end) for end in _ENDINGS if path.name.endswith(end)), "")
            if stem.endswith(ending):
                found.setdefault(stem.removesuffix(ending), []).append(path)
    return found


def _wanted_subjects(source: BidsSource, root: Path) -> set[str] | None:
    """Returns the subjects whose row in participants.tsv has the wanted values, or None for all."""
    if not source.participants:
        return None
    try:
        _, rows = read_rows(root / "participants.tsv", "\t")
    except UNREADABLE as error:
        raise CohortError(
            f"source.participants needs a readable participants.tsv in the BIDS root ({type(error).__name__})"
        ) from None
    columns = {"participant_id", *source.participants}
    missing = sorted(columns - set(rows[0] if rows else ()))
    if missing:
        raise CohortError(f"participants.tsv lacks the column or any row of: {', '.join(missing)}")
    return {
        str(row["participant_id"])
        for row in rows
        if all(row[column] in values for column, values in source.participants.items())
    }
