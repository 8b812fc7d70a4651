"""The table of a study: one row for each reader, case and candidate, unblinded."""

from dataclasses import dataclass
from typing import Any

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.reading.agreement import Opinion, Verdict
from fedvoxel.evaluation.reading.edits import StructureEdit
from fedvoxel.review.case_record import CaseRecord, CaseState
from fedvoxel.review.events import Judgement
from fedvoxel.review.study import Study


class StudyRow(FrozenModel):
    """Is what one reader said of one candidate.

    Attributes:
        reader: The reader.
        case: The case's pseudonym.
        position: Its place in the reader's order, from 1.
        candidate: Which label map.
        shown_as: What it was called on the page.
        verdict: accept, correct or reject.
        rating: 1 (unusable) to 5 (perfect).
        errors: What was wrong.
        preferred: Whether it was the better one; None where there was no choice or no difference.
        active_s: Time on the case, all its candidates together.
        answered_at: When the answer was given, UTC.
        volumes_ml: Volume of each structure, after correction.
        edits: What a correction changed.
        corrected_file: The corrected label map in the case's folder.
        corrected_sha256: Its hash.
        segmentation: A DICOM segmentation in the case's folder, and its hash.
        report: A DICOM report there, and its hash.
        note: Free text.
    """

    reader: str
    case: str
    position: int
    candidate: str
    shown_as: str
    verdict: Verdict
    rating: int
    errors: tuple[str, ...]
    preferred: bool | None
    active_s: float
    answered_at: str
    volumes_ml: dict[str, float]
    edits: tuple[StructureEdit, ...] = ()
    corrected_file: str | None = None
    corrected_sha256: str | None = None
    segmentation: tuple[str, str] | None = None
    report: tuple[str, str] | None = None
    note: str = ""

    @property
    def opinion(self) -> Opinion:
        """Is what is compared between readers."""
        return Opinion(
            reader=self.reader,
            case=self.case,
            candidate=self.candidate,
            verdict=self.verdict,
            rating=self.rating,
            volumes_ml=dict(self.volumes_ml),
            edit_dice=tuple(edit.dice for edit in self.edits if edit.dice is not None),
            preferred=self.preferred,
            active_s=self.active_s,
        )


@dataclass(frozen=True)
class StudyTable:
    """Is the table.

    Attributes:
        rows: All answers, by reader and in the order in which each was to read.
        unsaved: Reader and case of what was changed after the answer and not saved: it has no row, since the answer is
            not what the reader saw last.
    """

    rows: tuple[StudyRow, ...]
    unsaved: tuple[tuple[str, str], ...]


def study_table(study: Study) -> StudyTable:
    """Returns the table of a study.

    Raises:
        LedgerError: A record cannot be trusted.
    """
    rows, unsaved = [], []
    for reader in study.settings.readers:
        for position, case in enumerate(study.order(reader), start=1):
            state = CaseRecord(study.case_folder(reader, case)).read()
            if state.unsaved:
                unsaved.append((reader, case))
                continue
            shown_as = {which: name for name, which in study.shown_candidates(case).items()}
            where = {"reader": reader, "case": case, "position": position}
            rows += _rows(state, where, shown_as)
    return StudyTable(tuple(rows), tuple(unsaved))


def _rows(state: CaseState, where: dict[str, Any], shown_as: dict[str, str]) -> list[StudyRow]:
    if state.answer is None:
        return []
    return [_row(state, judgement, where, shown_as) for judgement in state.answer.said.judgements]


def _row(state: CaseState, judgement: Judgement, where: dict[str, Any], shown_as: dict[str, str]) -> StudyRow:
    answer, which = state.answer, judgement.candidate
    if answer is None:
        raise ValueError("expected an answered case")
    corrected = judgement.verdict == "correct"
    return StudyRow(
        **where,
        candidate=which,
        shown_as=shown_as[which],
        verdict=judgement.verdict,
        rating=judgement.rating,
        errors=judgement.errors,
        preferred=None if answer.said.preferred is None else answer.said.preferred == which,
        active_s=round(state.active_s, 1),
        answered_at=state.answered_at or "",
        volumes_ml=answer.volumes_ml[which],
        segmentation=answer.segmentations.get(which),
        report=answer.reports.get(which),
        note=answer.said.note,
        edits=answer.edits if corrected else (),
        corrected_file=answer.corrected_file if corrected else None,
        corrected_sha256=answer.corrected_sha256 if corrected else None,
    )
