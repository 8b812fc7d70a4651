"""A study that clinicians have read, made without a page or a scan: what each reader said, case by case."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvoxel.evaluation.reading.agreement import Verdict
from fedvoxel.evaluation.reading.edits import StructureEdit
from fedvoxel.records.atomic import write_json
from fedvoxel.review.case_record import CaseRecord
from fedvoxel.review.events import Answered, Judgement, Said, Spent
from fedvoxel.review.finishing import finish_study
from fedvoxel.review.study import STUDY_FILE, Study, StudySettings, identity_of, load_study

PACKAGE = "ab" * 32
STRUCTURES = ("anterior", "posterior")


@dataclass(frozen=True)
class Word:
    """Is what one reader says of the model's outline."""

    verdict: Verdict = "accept"
    rating: int = 4
    dice: float | None = None
    preferred: str | None = None
    seconds: float = 30.0


ACCEPT, REJECT = Word(), Word("reject", 1)
TOUCH, CORRECT = Word("correct", 4, 0.95), Word("correct", 2, 0.6)
Cases = Sequence[Sequence[Word] | None]
"""What each reader says of each case; None for one that nobody has read."""


def same(word: Word, cases: int) -> list[tuple[Word]]:
    """One reader who says the same of so many cases."""
    return [(word,)] * cases


def write_study(folder: Path, cases: Cases, beside: Sequence[str] = (), **changes: Any) -> Study:
    """Writes a study's folder with all that its readers have said; `beside` names outlines beside the model's."""
    readers = max(len(words) for words in cases if words is not None)
    values = {
        "title": "Hippocampus 1.0.0",
        "reading": identity_of(PACKAGE, "images"),
        "readers": [f"reader-{number}" for number in range(1, readers + 1)],
        "blinded": False,
        "seed": 7,
        "structures": [_structure(name) for name in STRUCTURES],
        "cases": {f"case-{number:012x}": ["model", *beside] for number in range(len(cases))},
        "package": PACKAGE,
        "images": "images",
    } | changes
    settings = StudySettings.model_validate(values)
    write_json(folder / STUDY_FILE, settings.model_dump(mode="json"))
    study = load_study(folder)
    for case, words in zip(settings.cases, cases, strict=True):
        for reader, word in zip(settings.readers, words or (), strict=False):
            say(study, reader, case, word)
    return study


def say(study: Study, reader: str, case: str, word: Word) -> None:
    """Adds an answer to a case's record."""
    record = CaseRecord(study.case_folder(reader, case))
    state = record.read()
    record.append(Spent(visit="0" * 16, active_s=word.seconds), state)
    candidates = study.settings.cases[case]
    said = tuple(Judgement(candidate=name, verdict=word.verdict, rating=word.rating) for name in candidates)
    edits = [] if word.dice is None else [_edit(name, word.dice) for name in STRUCTURES]
    answer = Said(judgements=said, preferred=word.preferred, note="seen by Anna Meier")
    volumes = {name: dict.fromkeys(STRUCTURES, 1.0) for name in candidates}
    record.append(Answered(said=answer, volumes_ml=volumes, edits=tuple(edits)), state)


def finished_study(folder: Path, cases: Cases, beside: Sequence[str] = (), **changes: Any) -> Study:
    """Writes a study and declares it finished."""
    study = write_study(folder, cases, beside, **changes)
    finish_study(study)
    return study


def _structure(name: str) -> dict[str, Any]:
    code = {"scheme": "SCT", "value": "85756007", "meaning": "Tissue"}
    return {"name": name, "label": name.capitalize(), "category": code, "type": code, "colour_rgb": [1, 2, 3]}


def _edit(name: str, dice: float) -> StructureEdit:
    return StructureEdit(structure=name, before_ml=1.0, after_ml=1.0, changed_voxels=9, dice=dice)
