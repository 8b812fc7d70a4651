"""What hospitals told is pooled, with limits that hold for every count that is hidden; the gate takes the worst."""

import itertools
import json
from typing import Any

import pytest
from scipy.stats import binomtest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.federation.reader_study.answers import StudyAnswer, TooFewCases
from fedvoxel.federation.reader_study.requirement import (
    ReaderStudyEvidence,
    ReaderStudyRequirement,
    seen_in,
    unmet,
)
from fedvoxel.federation.reader_study.result import ReaderStudyResult, make_result, wilson
from tests.federation.reader_study.test_answers import PACKAGE, answer_values, verdicts

MET = {
    "schema_version": 1, "minimum_hospitals": 2, "minimum_cases": 60, "usable_at_least": 0.7, "rejected_at_most": 0.1
}  # fmt: skip


def answer(**changes: Any) -> StudyAnswer:
    return StudyAnswer.model_validate(answer_values(**changes))


def test_what_is_pooled_is_the_sum() -> None:
    two = {"a": answer(), "b": answer(**verdicts(30, 0, 0, 0), preferences=None)}
    pooled = make_result("study", PACKAGE, two, {}).pooled
    assert pooled is not None
    assert (pooled.hospitals, pooled.cases) == (2, 60)
    assert (pooled.accepted.at_least, pooled.accepted.at_most) == (48, 48)
    assert (pooled.usable.at_least, pooled.rejected.at_most) == (55, 0)
    assert pooled.preferred is not None and (pooled.preferred.at_least, pooled.preferred.cases) == (12, 30)
    assert (pooled.mean_edit_dice, pooled.mean_active_s) == (0.875, 30.0)


def test_the_interval_is_scipys() -> None:
    for part, whole in ((0, 19), (1, 30), (29, 30), (30, 30), (120, 200)):
        expected = binomtest(part, whole).proportion_ci(0.95, method="wilson")
        assert wilson(part, whole) == pytest.approx((expected.low, expected.high), abs=1e-9)
    for part, whole in ((1, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="expected a part"):
            wilson(part, whole)


def test_the_limits_hold_for_every_count_that_is_hidden() -> None:
    hidden = answer(**verdicts(12, 8, None, "few"))
    pooled = make_result("study", PACKAGE, {"a": hidden}, {}).pooled
    assert pooled is not None
    possible = [10 - corrected for corrected in range(5, 31) if 1 <= 10 - corrected <= 4]
    assert (pooled.rejected.at_least, pooled.rejected.at_most) == (min(possible), max(possible)) == (1, 4)
    assert (pooled.usable.at_least, pooled.usable.at_most) == (20, 20)


def test_hidden_parts_of_one_share_are_known_together() -> None:
    """Who is few among the usable does not make the usable fewer."""
    pooled = make_result("study", PACKAGE, {"a": answer(**verdicts(None, "few", 0, 0))}, {}).pooled
    assert pooled is not None and (pooled.usable.at_least, pooled.accepted.at_least) == (30, 26)


def test_the_result_does_not_hang_on_the_order_and_names_who_is_absent() -> None:
    told: dict[str, StudyAnswer | TooFewCases] = {"b": answer(), "a": answer(), "c": TooFewCases(minimum_cases=10)}
    absent = {"e": "no reply within 3 s", "d": "the policy lets nothing leave"}
    results = {
        make_result("study", PACKAGE, dict(order), absent).model_dump_json()
        for order in itertools.permutations(told.items())
    }
    assert len(results) == 1
    found = json.loads(results.pop())
    assert list(found["sites"]) == ["a", "b"] and list(found["absent"]) == ["c", "d", "e"]
    assert "minimum of 10" in found["absent"]["c"]
    assert any("d is not in it: the policy" in line for line in found["says"])
    assert ReaderStudyResult.model_validate(found).model_dump(mode="json") == found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pooled", None),
        ("package", "cd" * 32),
        ("small_edit_dice", 0.5),
        ("sites", {}),
    ],
)
def test_a_result_that_was_changed_is_refused(key: str, value: Any) -> None:
    values = make_result("study", PACKAGE, {"a": answer()}, {}).model_dump(mode="json")
    with pytest.raises(ConfigError):
        parse_config(ReaderStudyResult, values | {key: value}, "the result")


def test_a_pooled_figure_that_was_changed_is_refused() -> None:
    values = make_result("study", PACKAGE, {"a": answer()}, {}).model_dump(mode="json")
    values["pooled"]["rejected"]["high"] = 0.01
    with pytest.raises(ConfigError, match="not what the hospitals told"):
        parse_config(ReaderStudyResult, values, "the result")


def evidence(required: dict[str, Any], *answers: StudyAnswer) -> ReaderStudyEvidence:
    named = {f"site-{number}": one for number, one in enumerate(answers)}
    seen = seen_in(make_result("study", PACKAGE, named, {}))
    return ReaderStudyEvidence(required=ReaderStudyRequirement.model_validate(required), seen=seen)


def test_a_study_that_meets_everything_passes() -> None:
    assert unmet(evidence(MET, answer(), answer())) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"minimum_hospitals": 3}, "2 hospitals, required 3"),
        ({"minimum_cases": 61}, "60 cases, required 61"),
        ({"usable_at_least": 0.75}, "usable at least 0.720, required 0.750"),
        ({"rejected_at_most": 0.05}, "rejected at most 0.060, allowed 0.050"),
    ],
)
def test_each_requirement_bites(change: dict[str, Any], words: str) -> None:
    (found,) = unmet(evidence(MET | change, answer(), answer()))
    assert found == words


def test_a_study_in_which_nobody_told_meets_nothing() -> None:
    assert len(unmet(evidence(MET))) == 4


def test_hidden_rejections_count_as_many_as_they_may_be() -> None:
    shown, few = answer(), answer(**verdicts(12, 8, None, "few"))
    assert unmet(evidence(MET | {"rejected_at_most": 0.07}, shown, shown)) == []
    assert "rejected at most 0.159" in unmet(evidence(MET | {"rejected_at_most": 0.07}, shown, few))[-1]
