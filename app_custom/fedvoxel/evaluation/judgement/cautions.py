"""What a reader of a judgement must keep in mind."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedvoxel.evaluation.judgement.case_result import CaseResult
from fedvoxel.evaluation.judgement.summary import StructureResult

if TYPE_CHECKING:
    from fedvoxel.evaluation.judgement.judgement import DataFacts

FEW_PATIENTS = 20
_SLOPE_P = 0.05


def cautions_of(
    data: "DataFacts", structures: Sequence[StructureResult], cases: Sequence[CaseResult]
) -> tuple[str, ...]:
    """Returns the cautions, the gravest first, one sentence each."""
    first = (*_of_failures(cases), *_of_data(data))
    return tuple(text for text in (*first, *_of_structures(structures), *_of_images(cases)) if text)


def _of_failures(cases: Sequence[CaseResult]) -> list[str]:
    told = []
    for who, failures in (("The model", "failure"), ("The other model", "other_failure")):
        count = sum(getattr(case, failures) is not None for case in cases)
        if count:
            told.append(
                f"{who} failed on {_counted(count, 'case')}, which {'counts' if count == 1 else 'count'} as if it had "
                "found nothing: Dice 0 and the image's diagonal for what is there. The table of cases marks them; "
                "figures of confidence are without them."
            )
    return told


def _of_data(data: "DataFacts") -> list[str]:
    return [
        f"{_counted(data.skipped, 'case')} could not be judged and {'is' if data.skipped == 1 else 'are'} not in any "
        "number; the list at the end says why."
        if data.skipped
        else "",
        f"These are {'training' if data.split == 'training' else 'all'} cases: the model may have been trained on "
        "them, and its scores on unseen cases will be lower."
        if data.split in ("training", None)
        else "",
        "The model may have been chosen on validation cases: scores on the test split are the fair ones."
        if data.split == "validation"
        else "",
        f"Only {_counted(data.patients, 'patient')}: the intervals are wide, and subgroups say little."
        if data.patients < FEW_PATIENTS
        else "",
        ""
        if data.patients_named
        else "The lists do not name the patients: each case counts as one of its own, and where a patient has several "
        "the intervals are too narrow.",
    ]


def _of_structures(structures: Sequence[StructureResult]) -> list[str]:
    texts = []
    for one in structures:
        counts = one.counts
        if counts.missed:
            texts.append(
                f"{one.label} was missed in {counts.missed} of {_counted(counts.there, 'case')}; each counts with Dice "
                "0 and the image's diagonal as its distance."
            )
        if counts.misplaced:
            texts.append(
                f"{one.label} was found in another place in {counts.misplaced} of {_counted(counts.there, 'case')}."
            )
        if counts.false_alarms:
            texts.append(f"{one.label} was found in {_counted(counts.false_alarms, 'case')} without it.")
        volume = one.volume
        if volume is not None and volume.slope is not None and _is_small(volume.proportional_p):
            way = "larger" if volume.slope > 0 else "smaller"
            texts.append(
                f"{one.label}: large volumes come out {way}, compared with the truth, than small ones do (see Volumes)."
            )
    return texts


def _is_small(p: float | None) -> bool:
    return p is not None and p < _SLOPE_P


def _of_images(cases: Sequence[CaseResult]) -> list[str]:
    unusual = sum(bool(case.remarks) for case in cases)
    return [
        f"{_counted(unusual, 'image')} {'is' if unusual == 1 else 'are'} not of the kind that the model was made for "
        "(size or voxels); the table of cases marks them."
        if unusual
        else ""
    ]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
