"""What a hospital tells is checked as strictly as it is made: no few, nothing that contradicts, nothing not asked."""

from typing import Any

import pytest

from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.calibration.plan import Spread
from fedvoxel.federation.calibration.score_counts import ScoreCounts, count_scores
from fedvoxel.federation.drift.answers import (
    TooFewImages,
    WatchAnswer,
    check_fits,
    least_images,
    parse_answer,
)
from fedvoxel.federation.drift.reference import WatchQuestion, WatchReference, reference_of
from tests.export.made_calibration import made_calibration

PACKAGE = "ab" * 32
EDGES = (1.0, 2.0, 3.0)


def question(**changes: Any) -> WatchQuestion:
    """A question whose limit of the unusual is 2.0: the cells before are (…1] and (1…2]."""
    reference = WatchReference(
        distances=ScoreCounts(edges=EDGES, counts=(60, 38, 2, 0)),
        log_volumes={"blob": Spread(mean=1.0, deviation=0.3), "dot": None},
        training_cases=50,
    )
    return WatchQuestion.model_validate(
        {"model": "blobs", "package": PACKAGE, "last": 100, "reference": reference.model_dump()} | changes
    )


def answer_values(**changes: Any) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "minimum_images": 5,
        "below_minimum": False,
        "package": PACKAGE,
        "images": 40,
        "distances": {"edges": list(EDGES), "counts": [20, 12, 8, 0]},
        "unusual": 8,
        "volumes": {"blob": {"images": 40, "mean_log": 1.0}, "dot": None},
    } | changes


def cells(*counts: Any) -> dict[str, Any]:
    return {"distances": {"edges": list(EDGES), "counts": list(counts)}}


def told(**changes: Any) -> WatchAnswer:
    answer = parse_answer(answer_values(**changes), "hospital-a")
    assert isinstance(answer, WatchAnswer)
    return answer


def test_an_honest_answer_fits() -> None:
    assert question().reference.first_unusual == 2
    check_fits(told(), question())
    assert told().unusual_at_least == 8


@pytest.mark.parametrize(
    ("changes", "least"),
    [
        ({"unusual": "few"} | cells(28, 12, 0, 0), 1),
        ({"unusual": None} | cells(0, 10, 30, 0), 36),
        ({"unusual": 0} | cells(20, 20, 0, 0), 0),
    ],
)
def test_a_hidden_count_is_taken_for_the_least_that_it_can_be(changes: dict[str, Any], least: int) -> None:
    answer = told(**changes)
    check_fits(answer, question())
    assert answer.unusual_at_least == least


@pytest.mark.parametrize(
    "changes",
    [
        cells(20, 12, -8, 16),
        cells(20, 12, 7.5, 0.5),
        cells(20, 12, True, 7),
        cells(26, 10, 4, 0) | {"unusual": 4},
        cells(20, 12, 9, 0),
        cells(20, 12, 8),
        {"unusual": 41},
        {"unusual": -1},
        {"unusual": 4},
        {"unusual": 9},
        {"unusual": "8"},
        {"images": 19, **cells(11, 0, 8, 0)},
        {"minimum_images": 4},
        {"minimum_images": 9},
        {"volumes": {"blob": {"images": 41, "mean_log": 1.0}, "dot": None}},
        {"volumes": {"blob": {"images": 39, "mean_log": 1.0}, "dot": None}},
        {"volumes": {"blob": {"images": 19, "mean_log": 1.0}, "dot": None}},
        {"volumes": {"blob": {"images": 40, "mean_log": float("nan")}, "dot": None}},
        {"volumes": {"blob": {"images": 40, "mean_log": 1e9}, "dot": None}},
        {"package": "hippocampus"},
        {"newest": "2026-11-30"},
    ],
)
def test_few_images_and_numbers_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UpdateError, match="hospital-a's drift watch"):
        parse_answer(answer_values(**changes), "hospital-a")


@pytest.mark.parametrize("values", [None, [], 3, {}, {"below_minimum": True}])
def test_what_is_no_answer_is_refused(values: Any) -> None:
    with pytest.raises(UpdateError):
        parse_answer(values, "hospital-a")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"package": "cd" * 32}, "another package"),
        ({"distances": {"edges": [1.0, 2.0, 3.5], "counts": [20, 12, 8, 0]}}, "cells are not those of the job"),
        ({"volumes": {"blob": None}}, "other structures"),
        ({"volumes": {"blob": None, "dot": None, "line": None}}, "other structures"),
        ({"images": 110} | cells(60, 42, 8, 0), "110 images, and 100 were asked for"),
        ({"unusual": 0}, "beyond the limit"),
        ({"unusual": 20}, "beyond the limit"),
        ({"unusual": "few"}, "beyond the limit"),
        ({"unusual": None} | cells(0, 0, 40, 0), "beyond the limit"),
    ],
)
def test_an_answer_to_something_else_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UpdateError, match=words):
        check_fits(told(**changes), question())


def test_too_few_says_nothing_else() -> None:
    few = {"schema_version": 1, "minimum_images": 8, "below_minimum": True}
    assert parse_answer(few, "a") == TooFewImages(minimum_images=8)
    with pytest.raises(UpdateError):
        parse_answer(few | {"images": 3}, "a")
    assert [least_images(minimum) for minimum in (5, 10, 11, 50)] == [20, 20, 21, 99]


def test_a_reference_is_a_calibrations_and_of_patients() -> None:
    made = made_calibration(None)
    assert reference_of(made).distances == made.distances and set(reference_of(made).log_volumes) == {"blob"}
    nobody = question().reference.model_dump() | {"distances": {"edges": [1.0], "counts": [0, 0]}}
    with pytest.raises(ValueError, match="at least one patient"):
        WatchReference.model_validate(nobody)


def test_scores_counted_at_the_nearest_are_moved_down_and_at_the_farthest_up() -> None:
    scores = [0.5, 0.6, 1.5, 1.6, 1.7, 2.5, 2.6, 2.7, 3.5, 9.0]
    assert count_scores(scores, EDGES, 5).counts == (0, 5, 0, 5)
    assert count_scores(scores, EDGES, 5, nearest=True).counts == (5, 0, 5, 0)
    assert count_scores(scores, EDGES, 1, nearest=True).counts == count_scores(scores, EDGES, 1).counts


def test_errors_of_a_question_name_the_key() -> None:
    with pytest.raises((ConfigError, ValueError), match="last"):
        question(last=19)
