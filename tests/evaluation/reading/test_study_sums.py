"""What a hospital tells of its reading: right, and about no few cases."""

from collections.abc import Sequence

import pytest

from fedvoxel.evaluation.reading.finished import CaseReading, FinishedReading
from fedvoxel.evaluation.reading.study_sums import study_answer
from fedvoxel.federation.reader_study.answers import StudyAnswer, TooFewCases

Case = tuple[CaseReading, ...]


def said(verdict: str, rating: int = 4, dice: float | None = None, **more: object) -> CaseReading:
    edits = () if dice is None else (dice, 0.99)
    return CaseReading.model_validate(
        {"verdict": verdict, "rating": rating, "edit_dice": edits, "active_s": 20.0} | more
    )


ACCEPT, REJECT = said("accept", 5), said("reject", 1)
TOUCH, CORRECT = said("correct", 4, 0.95), said("correct", 2, 0.6)


def reading(cases: Sequence[Case], listed: int | None = None, **changes: object) -> FinishedReading:
    values = {
        "settings": "0" * 64,
        "package": "ab" * 32,
        "structures": ("organ",),
        "blinded": False,
        "compared": False,
        "readers": len(cases[0]),
        "listed": len(cases) if listed is None else listed,
        "cases": tuple(cases),
        "records": {},
    }
    return FinishedReading.model_validate(values | changes)


def told(cases: Sequence[Case], minimum: int = 5, **changes: object) -> StudyAnswer:
    answer = study_answer(reading(cases, **changes), minimum)  # type: ignore[arg-type]
    assert isinstance(answer, StudyAnswer)
    return answer


def test_each_case_counts_once_with_its_strictest_reader() -> None:
    cases = [(ACCEPT, ACCEPT)] * 6 + [(ACCEPT, TOUCH)] * 7 + [(TOUCH, CORRECT)] * 8 + [(ACCEPT, REJECT)] * 9
    answer = told(cases)
    assert tuple(answer.verdicts.model_dump().values()) == (6, 7, 8, 9)
    assert answer.cases == 30 and answer.readers == 2
    assert [(band.low, band.high, band.cases) for band in answer.ratings] == [
        (1, 1, 9),
        (2, 2, 8),
        (3, 4, 7),
        (5, 5, 6),
    ]
    assert answer.agreement is not None
    assert (answer.agreement.some_accept, answer.agreement.none_accept) == (16, 8)
    assert answer.edit_dice is not None and answer.edit_dice.cases == 15
    touched, corrected = (0.95 + 0.99) / 2, (0.95 + 0.99 + 0.6 + 0.99) / 4
    assert answer.edit_dice.total == pytest.approx(7 * touched + 8 * corrected, rel=1e-5)
    assert (answer.active_s.cases, answer.active_s.total) == (30, 600.0)


def test_of_few_cases_nothing_is_told_but_that() -> None:
    assert study_answer(reading([(ACCEPT,)] * 18), 5) == TooFewCases(minimum_cases=5)
    assert study_answer(reading([(ACCEPT,)] * 30), 8) == TooFewCases(minimum_cases=8)
    assert told([(ACCEPT,)] * 19).cases == 19


def test_small_counts_are_hidden_and_what_would_tell_them() -> None:
    answer = told([(ACCEPT,)] * 20 + [(TOUCH,)] * 8 + [(REJECT,)] * 3)
    assert tuple(answer.verdicts.model_dump().values()) == (20, None, 0, "few")
    # The number of corrected cases would be the hidden one; the rest of 31 the small one.
    assert answer.edit_dice is None
    assert [(band.low, band.high, band.cases) for band in answer.ratings] == [(1, 4, 11), (5, 5, 20)]


def test_few_unread_cases_are_not_told() -> None:
    assert told([(ACCEPT,)] * 20, listed=22).listed is None
    assert told([(ACCEPT,)] * 20, listed=25).listed == 25
    assert told([(ACCEPT,)] * 20).listed == 20


def test_preferences_are_told_of_a_blinded_comparison_only() -> None:
    better, worse = said("accept", preferred=True), said("accept", preferred=False)
    cases = [(better, better)] * 9 + [(better, worse)] * 6 + [(worse, said("accept"))] * 5
    answer = told(cases, blinded=True, compared=True)
    assert answer.preferences is not None
    assert answer.preferences.model_dump() == {"model": 9, "other": 5, "equal": 6}
    assert told(cases, compared=True).preferences is None
    assert told(cases, blinded=True).preferences is None


def test_agreement_is_not_told_where_few_disagree() -> None:
    cases = [(ACCEPT, ACCEPT)] * 20 + [(REJECT, REJECT)] * 6
    agreed = told(cases).agreement
    assert agreed is not None and (agreed.some_accept, agreed.none_accept) == (0, 6)
    assert told([*cases, (ACCEPT, REJECT)]).agreement is None
    assert told([(case[0],) for case in cases]).agreement is None


def test_a_correction_of_nothing_that_was_there_is_no_touch_up() -> None:
    assert told([(said("correct"),)] * 20).verdicts.corrected == 20
