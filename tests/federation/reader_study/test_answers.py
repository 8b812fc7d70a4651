"""An answer that tells of few cases is refused wherever it is read: each guard is broken once."""

from typing import Any

import pytest

from fedvoxel.errors import UpdateError
from fedvoxel.federation.reader_study.answers import StudyAnswer, TooFewCases, parse_answer

PACKAGE = "ab" * 32


def answer_values(**changes: Any) -> dict[str, Any]:
    """What a hospital with thirty cases tells."""
    return {
        "schema_version": 1,
        "minimum_cases": 5,
        "below_minimum": False,
        "package": PACKAGE,
        "blinded": True,
        "readers": 2,
        "cases": 30,
        "listed": 30,
        "verdicts": {"accepted": 18, "touched_up": 7, "corrected": 5, "rejected": 0},
        "ratings": [{"low": 1, "high": 3, "cases": 9}, {"low": 4, "high": 5, "cases": 21}],
        "edit_dice": {"cases": 12, "total": 10.5},
        "active_s": {"cases": 30, "total": 900.0},
        "preferences": {"model": 12, "other": 8, "equal": 10},
        "agreement": {"some_accept": 5, "none_accept": 7},
    } | changes


def verdicts(*counts: object) -> dict[str, Any]:
    names = ("accepted", "touched_up", "corrected", "rejected")
    hidden = {"edit_dice": None, "agreement": None}
    return {"verdicts": dict(zip(names, counts, strict=True)), **hidden}


def test_a_whole_answer_and_one_of_few_are_taken() -> None:
    assert isinstance(parse_answer(answer_values(), "a"), StudyAnswer)
    few = {"schema_version": 1, "minimum_cases": 5, "below_minimum": True}
    assert parse_answer(few, "a") == TooFewCases(minimum_cases=5)
    assert isinstance(parse_answer(answer_values(**verdicts(12, 8, None, "few")), "a"), StudyAnswer)


WRONG: dict[str, dict[str, Any]] = {
    "a small count": verdicts(20, 7, 0, 3),
    "a small count that can be worked out": verdicts(20, 7, 0, "few"),
    "a small count that hangs on one that is known to be large": verdicts(24, None, 0, "few"),
    "counts that are not those of all cases": verdicts(20, 7, 0, 0),
    "a minimum below the house's": {"minimum_cases": 4},
    "another minimum than that of its counts": {"minimum_cases": 7},
    "too few cases": {
        **verdicts(18, 0, 0, 0), "cases": 18, "listed": 18, "active_s": {"cases": 18, "total": 540.0},
        "ratings": [{"low": 1, "high": 5, "cases": 18}], "preferences": None,
    },
    "a small preference": {"preferences": {"model": 12, "other": 3, "equal": 15}},
    "a preference that can be worked out": {"preferences": {"model": 12, "other": "few", "equal": 15}},
    "few unread cases": {"listed": 32},
    "a small band of ratings": {
        "ratings": [{"low": 1, "high": 3, "cases": 4}, {"low": 4, "high": 5, "cases": 26}]
    },
    "a gap in the ratings": {"ratings": [{"low": 1, "high": 2, "cases": 9}, {"low": 4, "high": 5, "cases": 21}]},
    "ratings of other cases": {"ratings": [{"low": 1, "high": 5, "cases": 29}]},
    "no ratings": {"ratings": []},
    "the number of hidden corrections": {
        "verdicts": {"accepted": 18, "touched_up": 9, "corrected": None, "rejected": "few"}, "agreement": None
    },
    "another number of corrections": {"edit_dice": {"cases": 11, "total": 10.0}},
    "the time on some cases": {"active_s": {"cases": 29, "total": 900.0}},
    "a small disagreement": {"agreement": {"some_accept": 2, "none_accept": 10}},
    "a disagreement that says what is hidden": {
        **verdicts(None, 8, 0, "few"), "agreement": {"some_accept": 5, "none_accept": 5}
    },
    "a reader's name": {"readers": "Meier"},
    "a note": {"note": "Meier"},
    "a case": {"verdicts": {"accepted": 30, "touched_up": 0, "corrected": 0, "rejected": 0, "case-1": "Meier"}},
    "a count that is none": {"cases": 30.0},
    "text for a count": verdicts("Meier", 7, 5, 0),
}  # fmt: skip


@pytest.mark.parametrize("change", WRONG)
def test_an_answer_that_tells_of_few_is_refused(change: str) -> None:
    with pytest.raises(UpdateError):
        parse_answer(answer_values() | WRONG[change], "a")


@pytest.mark.parametrize("values", [None, [], "Meier", {"below_minimum": True, "cases": 3}])
def test_no_answer_at_all_is_refused(values: Any) -> None:
    with pytest.raises(UpdateError):
        parse_answer(values, "a")
