"""Declares a study finished, for a reader study of all hospitals: what was said of the model's outlines, and by what.

Nothing leaves the machine by it. The hospital names the folder in its own site file, and its policy decides the rest.
"""

from dataclasses import dataclass

from fedvoxel.errors import LedgerError, ReviewError
from fedvoxel.evaluation.reading.finished import (
    FINISHED_FILE,
    STUDY_FILE,
    CaseReading,
    FinishedReading,
    heads_of,
)
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.records.chain import Chain
from fedvoxel.review.case_record import CaseRecord
from fedvoxel.review.events import Answered
from fedvoxel.review.reading import MODEL
from fedvoxel.review.study import Study


@dataclass(frozen=True)
class Finished:
    """Says what was declared.

    Attributes:
        package: Identity of the package.
        cases: How many all readers have answered.
        listed: How many there were to read.
    """

    package: str
    cases: int
    listed: int


def finish_study(study: Study) -> Finished:
    """Writes what a study came to into its folder; again only where that is another thing than before.

    Raises:
        ReviewError: It is a reading of no package, has no case that all have answered, or holds records that are not
            of it.
        LedgerError: A record cannot be trusted, or is being written.
    """
    settings = study.settings
    if settings.package is None:
        raise ReviewError(
            "this study does not say which package was read: a reader study needs a reading of a package, "
            "`fedvoxel review PACKAGE COHORT`, in a new folder"
        )
    records = heads_of(study.folder)
    _require_listed(study, records)
    cases = [_case(study, case) for case in settings.cases]
    finished = FinishedReading(
        settings=sha256_of_file(study.folder / STUDY_FILE),
        package=settings.package,
        structures=tuple(structure.name for structure in settings.structures),
        blinded=settings.blinded,
        compared=all(len(set(named) - {MODEL}) == 1 for named in settings.cases.values()),
        readers=len(settings.readers),
        listed=len(settings.cases),
        cases=tuple(case for case in cases if case),
        records=records,
    )
    if not finished.cases:
        raise ReviewError("there is no case yet that all readers have answered: there is nothing to finish")
    if heads_of(study.folder) != records:
        raise LedgerError("the study is being read: end `fedvoxel review` first")
    body = finished.model_dump(mode="json")
    with Chain(study.folder / FINISHED_FILE).writing() as chain:
        if not chain.entries or chain.entries[-1].body != body:
            chain.append(body)
    return Finished(finished.package, len(finished.cases), finished.listed)


def _require_listed(study: Study, records: dict[str, str]) -> None:
    """Refuses a study from whose list a reader or a case was taken that has been read."""
    listed = {(reader, case) for reader in study.settings.readers for case in study.settings.cases}
    if not {(path.split("/")[1], path.split("/")[2]) for path in records} <= listed:
        raise ReviewError("the folder holds a record of a reader or case that the study's file does not list")


def _case(study: Study, case: str) -> tuple[CaseReading, ...]:
    """Returns what each reader said of the model's outline; nothing where one has yet to answer, or to save again."""
    states = [CaseRecord(study.case_folder(reader, case)).read() for reader in study.settings.readers]
    said = [_said(state.answer, state.active_s) for state in states if state.answer is not None and not state.unsaved]
    return tuple(said) if len(said) == len(states) else ()


def _said(answer: Answered, active_s: float) -> CaseReading:
    judgement = next((one for one in answer.said.judgements if one.candidate == MODEL), None)
    if judgement is None:
        raise ReviewError("an answer says nothing of the model's outline")
    corrected, preferred = judgement.verdict == "correct", answer.said.preferred
    return CaseReading(
        verdict=judgement.verdict,
        rating=judgement.rating,
        edit_dice=tuple(edit.dice for edit in answer.edits if edit.dice is not None) if corrected else (),
        active_s=round(active_s, 1),
        preferred=None if preferred is None else preferred == MODEL,
    )
