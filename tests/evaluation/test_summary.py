"""What leaves a site: counts, means and intervals; and less where there are few cases."""

import pytest

from fedvoxel.evaluation.summary import summarise
from fedvoxel.federation.outcome import ClassScore, SiteScore
from fedvoxel.updates.scores import CaseScore


def _case(index: int, dice: float | None, distance: float | None = 1.0) -> CaseScore:
    return CaseScore(f"case-{index}", {"cord": dice}, {"cord": distance})


def test_summarises_each_class_over_the_cases_that_have_it() -> None:
    scores = [
        CaseScore("case-1", {"a": 0.8, "b": None}, {"a": 2.0, "b": None}),
        CaseScore("case-2", {"a": 0.6, "b": 0.9}, {"a": 4.0, "b": 1.0}),
    ]
    summary = summarise(scores)
    assert summary.cases == 2
    assert summary.classes["a"].dice_mean == pytest.approx(0.7)
    assert summary.classes["a"].hd95_mm_median == pytest.approx(3.0)
    assert summary.classes["a"].dice_low == pytest.approx(0.6)
    assert summary.classes["b"] == ClassScore(cases=1, dice_mean=0.9, hd95_mm_median=1.0)


def test_no_case_gives_no_class() -> None:
    assert summarise([]) == SiteScore(cases=0, classes={})


def test_a_class_without_a_scored_case_gives_its_count_alone() -> None:
    assert summarise([_case(1, None, None)]).classes["cord"] == ClassScore(cases=0)


def test_a_missed_structure_counts_as_infinitely_far() -> None:
    found = [_case(1, 0.9, 1.0), _case(2, 0.8, 2.0), _case(3, 0.0, None)]
    assert summarise(found).classes["cord"].hd95_mm_median == 2.0
    mostly_missed = [_case(1, 0.9, 1.0), _case(2, 0.0, None), _case(3, 0.0, None)]
    assert summarise(mostly_missed).classes["cord"].hd95_mm_median is None


def test_a_small_site_sends_counts_alone() -> None:
    scores = [_case(index, 0.8) for index in range(4)]
    assert summarise(scores, minimum_cases=5) == SiteScore(cases=4, classes={"cord": ClassScore(cases=4)})
    assert summarise(scores, minimum_cases=4).classes["cord"].dice_mean == pytest.approx(0.8)


def test_a_rare_class_of_a_large_site_sends_its_count_alone() -> None:
    scores = [_case(index, 0.8 if index < 2 else None, None) for index in range(9)]
    assert summarise(scores, minimum_cases=3).classes["cord"] == ClassScore(cases=2)


def test_perfect_scores_stay_within_one() -> None:
    score = summarise([_case(index, 1.0) for index in range(7)]).classes["cord"]
    assert (score.dice_mean, score.dice_low, score.dice_high) == (1.0, 1.0, 1.0)
