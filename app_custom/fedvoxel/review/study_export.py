"""Writes what a study came to: study.csv, study.json with the readers' agreement, label maps, DICOM results."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvoxel.errors import ReviewError
from fedvoxel.evaluation.reading.agreement import Agreement, agreement_of
from fedvoxel.evaluation.reading.study_summary import CandidateSummary, summaries_of
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.review.export_folder import FOLDERS, ExportFolder
from fedvoxel.review.storable import storable_rows
from fedvoxel.review.study import Study
from fedvoxel.review.study_table import StudyRow, StudyTable, study_table

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
        remarks: What is not there that might be expected, and what a PACS may still hold.
    """

    folder: Path
    answers: int
    corrected: int
    segmentations: int
    reports: int
    sentences: tuple[str, ...]
    remarks: tuple[str, ...]


def export_study(study: Study, out: Path, reader: str | None = None) -> Exported:
    """Writes the tables, the corrected label maps and the DICOM results to `out`, in place of an earlier export.

    Args:
        study: What was read.
        out: A folder that is empty, or that an earlier export wrote; only its owner may enter.
        reader: Whose DICOM results are wanted; None for those of all that do not contradict each other.

    Raises:
        LedgerError: A record cannot be trusted.
        ReviewError: There is no answer (nothing of an earlier export is left then), a result is not the one that was
            answered, there is no such reader, or the folder holds other things.
        CohortError: The folder cannot be used.
    """
    if reader not in (None, *study.settings.readers):
        raise ReviewError(f"expected one of the study's readers, {', '.join(study.settings.readers)}, with --reader")
    table, folder = study_table(study), ExportFolder(out)
    unsaved = tuple(
        f"{case}: {who} changed it after the answer and did not save it; it is left out until that is done"
        for who, case in table.unsaved
    )
    if not table.rows:
        folder.replace({}, {})
        raise ReviewError("; ".join(("no case of this study is answered: there is nothing to export", *unsaved)))
    storable, withheld = storable_rows(table.rows, reader)
    files = _corrected(study, table.rows) | _results(study, storable)
    opinions = [row.opinion for row in table.rows]
    agreement, summaries = agreement_of(opinions), summaries_of(opinions)
    values = _values(study, table, summaries, agreement) | {"withheld": list(withheld)}
    structures = [structure.name for structure in study.settings.structures]
    text = json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    kept = folder.replace({"study.csv": _csv(table.rows, structures), "study.json": text}, files)
    made = {kind: sum(name.startswith(f"{kind}/") for name in files) for kind in FOLDERS}
    remarks = (*unsaved, *withheld.values(), *kept.remarks)
    return Exported(out, len(table.rows), **made, sentences=tuple(_sentences(summaries, agreement)), remarks=remarks)


def _values(
    study: Study, table: StudyTable, summaries: Sequence[CandidateSummary], agreement: Agreement
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
        "answers": [row.model_dump(mode="json") for row in table.rows],
        "unsaved": [{"reader": reader, "case": case} for reader, case in table.unsaved],
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


def _corrected(study: Study, rows: Sequence[StudyRow]) -> dict[str, Path]:
    return {
        f"corrected/{row.case}-{row.reader}.nii.gz": _answered(study, row, (row.corrected_file, row.corrected_sha256))
        for row in rows
        if row.corrected_file and row.corrected_sha256
    }


def _results(study: Study, rows: Sequence[StudyRow]) -> dict[str, Path]:
    return {
        f"{kind}/{row.case}-{row.reader}.dcm": _answered(study, row, file)
        for row in rows
        for kind, file in (("segmentations", row.segmentation), ("reports", row.report))
        if file
    }


def _answered(study: Study, row: StudyRow, file: tuple[str, str]) -> Path:
    """Returns where a file of an answer is, having checked that it is that."""
    name, sha256 = file
    source = study.case_folder(row.reader, row.case) / name
    if not source.is_file() or sha256_of_file(source) != sha256:
        raise ReviewError(f"{row.case}: a result of {row.reader} is not the one that was answered")
    return source


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
