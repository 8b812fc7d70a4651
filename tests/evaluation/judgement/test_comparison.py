from dataclasses import replace

import pytest

from fedvoxel.evaluation.judgement.comparison import compare_structure
from tests.evaluation.judgement.case_results import NAME, case, score

PAIRS = [(0.82, 0.80), (0.75, 0.76), (0.91, 0.88), (0.66, 0.65), (0.79, 0.77), (0.85, 0.86), (0.72, 0.70), (0.88, 0.85)]


def compared(pairs, margin=0.02, **changes):
    cases = [case(number, dice, other, **changes) for number, (dice, other) in enumerate(pairs)]
    return compare_structure(NAME, cases, "dice", margin, 5)[0]


def test_the_difference_is_paired() -> None:
    found = compared(PAIRS)
    assert found.whole.difference.value == pytest.approx(sum(a - b for a, b in PAIRS) / len(PAIRS))
    assert found.other.value == pytest.approx(sum(b for _, b in PAIRS) / len(PAIRS))
    # The same cases without pairs could tell nothing: their spread is ten times the difference.
    assert found.whole.difference.high - found.whole.difference.low < 0.05
    assert found.wilcoxon_p == pytest.approx(0.0625, abs=0.03)


def test_non_inferior_means_that_the_whole_interval_is_above_minus_the_margin() -> None:
    low = compared(PAIRS).whole.difference.low
    worse = [(dice - 0.03, other) for dice, other in PAIRS]
    assert compared(PAIRS, margin=0.02).non_inferior is True
    assert compared(worse, margin=0.02).non_inferior is False
    assert compared(worse, margin=0.03 - low + 0.001).non_inferior is True
    assert compared(worse, margin=0.03 - low - 0.001).non_inferior is False
    assert compared(PAIRS, margin=None).non_inferior is None


def test_one_patient_shows_nothing() -> None:
    found = compared(PAIRS[:1])
    assert (found.non_inferior, found.wilcoxon_p, found.whole.verdict) == (False, None, "not told apart")


def test_equals_have_no_p_to_speak_of() -> None:
    assert compared([(0.8, 0.8)] * 6).wilcoxon_p == 1.0


def test_a_miss_of_the_model_alone_is_a_loss() -> None:
    assert compared([*PAIRS, (0.0, 0.8)]).whole.difference.value < compared([*PAIRS, (0.8, 0.8)]).whole.difference.value
    assert compared([*PAIRS, (0.0, 0.8)]).whole.worse_patients == 1


def test_who_rightly_finds_nothing_wins_against_a_false_alarm() -> None:
    alarm = score(0.0, finding="false_alarm", truth_ml=0.0, predicted_ml=3.0)
    cases = [case(number, *pair) for number, pair in enumerate(PAIRS)]
    right = replace(case(9, None, None), other={NAME: alarm})
    found = compare_structure(NAME, [*cases, right], "dice", None, 5)[0]
    assert found.whole.difference.cases == 9
    assert found.whole.difference.value == pytest.approx((sum(a - b for a, b in PAIRS) + 1) / 9)


def test_where_neither_finds_what_is_not_there_is_no_pair() -> None:
    assert compared([*PAIRS, (None, None)]).whole.difference.cases == len(PAIRS)


def test_who_is_harmed_is_named() -> None:
    good = [case(number, 0.85, 0.80, hospital="hospital-a") for number in range(8)]
    harmed = [case(number, 0.60 + number / 100, 0.80, hospital="hospital-b") for number in range(6)]
    whole, groups = compare_structure(NAME, [*good, *harmed], "dice", 0.02, 5)
    assert {row.group: row.verdict for row in groups} == {"hospital-a": "better", "hospital-b": "worse"}
    assert [row.worse_patients for row in groups] == [0, 6]
    assert whole.non_inferior is False


def test_a_model_that_fails_is_not_right_where_nothing_is() -> None:
    def difference(failure: str | None) -> float | None:
        false_alarm = {NAME: score(0.0, finding="false_alarm", truth_ml=0.0)}
        one = replace(case(0, None, failure=failure), other=false_alarm)
        return compare_structure(NAME, [one], "dice", None, 5)[0].whole.difference.value

    assert (difference(None), difference("not_finite")) == (1.0, 0.0)
