"""Writes what a study came to: study.csv, study.json with the readers' agreement, and the corrected label maps."""

import csv
import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvoxel.errors import ReviewError
from fedvoxel.evaluation.cohorts.private_folder import OWNER_ONLY_FILE, private_folder
from fedvoxel.evaluation.reading.agreement import Agreement, agreement_of
from fedvoxel.evaluation.reading.study_summary import CandidateSummary, summaries_of
from fedvoxel.records.atomic import write_json, write_text
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.review.study import Study
from fedvoxel.review.study_table import StudyRow, study_rows

_PLAIN = (
    "reader",
    "case",
    "position",
    "candidate",
    "shown_as",
    "verdict",
    "rating",
    "preferred",
    "active_s",
    "answered_at",
)


@dataclass(frozen=True)
class Exported:
    """Says what was written.

    Attributes:
        folder: Where.
        answers: Rows of the table.
        corrected: Corrected label maps.
        segmentations: DICOM segmentations.
        reports: DICOM reports.
        sentences: What to tell a person.
    """

    folder: Path
    answers: int
    corrected: int
    segmentations: int
    reports: int
    sentences: tuple[str, ...]


def export_study(study: Study, out: Path) -> Exported:
    """Writes the tables and copies the corrected label maps to `out`; only its owner may enter.

    Raises:
        LedgerError: A record cannot be trusted.
        ReviewError: There is no answer, or a corrected label map is not the one that was answered.
        CohortError: The folder cannot be used.
    """
    rows = study_rows(study)
    if not rows:
        raise ReviewError("no case of this study is answered yet: there is nothing to export")
    private_folder(out)
    opinions = [row.opinion for row in rows]
    agreement, summaries = agreement_of(opinions), summaries_of(opinions)
    structures = [structure.name for structure in study.settings.structures]
    write_text(out / "study.csv", _csv(rows, structures), OWNER_ONLY_FILE)
    write_json(out / "study.json", _values(study, rows, summaries, agreement), OWNER_ONLY_FILE)
    made = {"corrected": 0, "segmentations": 0, "reports": 0}
    for row in rows:
        name = f"{row.case}-{row.reader}"
        if row.corrected_file and row.corrected_sha256:
            _copy(study, row, (row.corrected_file, row.corrected_sha256), out / "corrected" / f"{name}.nii.gz")
            made["corrected"] += 1
        for kind, file in (("segmentations", row.segmentation), ("reports", row.report)):
            if file:
                _copy(study, row, file, out / kind / f"{name}.dcm")
                made[kind] += 1
    return Exported(out, len(rows), **made, sentences=tuple(_sentences(summaries, agreement)))


def _values(
    study: Study, rows: Sequence[StudyRow], summaries: Sequence[CandidateSummary], agreement: Agreement
) -> dict[str, Any]:
    settings = study.settings
    return {
        "schema_version": 1,
        "title": settings.title,
        "reading": settings.reading,
        "blinded": settings.blinded,
        "seed": settings.seed,
        "readers": list(settings.readers),
        "cases": len(settings.cases),
        "candidates": [summary.model_dump(mode="json") for summary in summaries],
        "agreement": agreement.model_dump(mode="json"),
        "answers": [row.model_dump(mode="json") for row in rows],
    }


def _csv(rows: Sequence[StudyRow], structures: Sequence[str]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    measured = [f"{what}:{name}" for name in structures for what in ("ml", "before_ml", "edit_dice")]
    writer.writerow([*_PLAIN, "errors", *measured, "note"])
    for row in rows:
        edits = {edit.structure: edit for edit in row.edits}
        figures: list[Any] = []
        for name in structures:
            edit = edits.get(name)
            figures += [row.volumes_ml[name], edit.before_ml if edit else None, edit.dice if edit else None]
        plain = [getattr(row, name) for name in _PLAIN]
        writer.writerow([*plain, " ".join(row.errors), *figures, _plain_cell(row.note)])
    return stream.getvalue()


def _plain_cell(text: str) -> str:
    """Returns text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\n") else text


def _copy(study: Study, row: StudyRow, file: tuple[str, str], target: Path) -> None:
    name, sha256 = file
    source = study.case_folder(row.reader, row.case) / name
    target.parent.mkdir(mode=0o700, exist_ok=True)
    if not source.is_file() or sha256_of_file(source) != sha256:
        raise ReviewError(f"{row.case}: a result of {row.reader} is not the one that was answered")
    shutil.copyfile(source, target)
    target.chmod(OWNER_ONLY_FILE)


def _sentences(summaries: Sequence[CandidateSummary], agreement: Agreement) -> list[str]:
    said = [
        f"{one.candidate}: {one.accepted} accepted, {one.corrected} corrected, {one.rejected} rejected; "
        f"median rating {one.median_rating:g}, {one.median_active_s:.0f} s a case"
        for one in summaries
    ]
    said += [
        f"{' and '.join(pair.readers)} on {pair.candidate}: same verdict in {pair.same_verdict} of {pair.cases} cases, "
        f"kappa {_figure(pair.kappa, pair.kappa_interval)}, of ratings "
        f"{_figure(pair.weighted_kappa, pair.weighted_kappa_interval)}"
        for pair in agreement.verdicts
    ]
    said += [
        f"volume of {one.structure} ({one.candidate}): ICC(2,1) {_figure(one.icc, one.icc_interval)} over "
        f"{one.cases} cases"
        for one in agreement.volumes
    ]
    return said


def _figure(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "not defined"
    return f"{value:.2f}" + (f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval else "")
