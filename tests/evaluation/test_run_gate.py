"""A model is promoted only where the hospitals' own scores say what was asked, and silence is no consent."""

from typing import Any

import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.report import build_report
from fedvoxel.evaluation.run_gate import GateRule, objections
from fedvoxel.federation.outcome import ClassScore, SiteScore
from tests.sample_run import sample_outcome

SITES = ("hospital-a", "hospital-b")


def scores(anterior: float | None, posterior: float | None = 0.9, cases: int = 5) -> SiteScore:
    classes = {"anterior": anterior, "posterior": posterior}
    return SiteScore(
        cases=cases, classes={name: ClassScore(cases=cases, dice_mean=one) for name, one in classes.items()}
    )


def said(test: dict[str, SiteScore], run: dict[str, Any] | None = None, **rule: Any) -> tuple[str, ...]:
    asked = {"minimum_dice": {"anterior": 0.8, "posterior": 0.8}} | rule
    outcome = sample_outcome().model_copy(update={"sites": SITES, "test": test, "personal": {}, **(run or {})})
    return objections(build_report(outcome), parse_config(GateRule, asked, "the rule"))


def both(score: SiteScore) -> dict[str, SiteScore]:
    return dict.fromkeys(SITES, score)


def test_what_is_good_enough_passes() -> None:
    assert said(both(scores(0.8))) == ()
    assert said(both(scores(0.8)), minimum_dice_of_each_hospital={"anterior": 0.8}) == ()


@pytest.mark.parametrize(
    ("test", "rule", "objection"),
    [
        (both(scores(0.79)), {}, "anterior: mean Dice 0.790, at least 0.8 is asked for"),
        (both(scores(None)), {}, "anterior: no unseen case has a score"),
        (
            {"hospital-a": scores(0.95, cases=9), "hospital-b": scores(None, cases=9)},
            {},
            "anterior: 9 unseen cases have a score, 10 are asked for",
        ),
        (
            {"hospital-a": scores(0.95, cases=12), "hospital-b": SiteScore(cases=0, classes={})},
            {},
            "no score from hospital-b; 0 such hospitals are allowed",
        ),
        (
            {"hospital-a": scores(0.95, cases=12), "hospital-b": scores(None, None, cases=3)},
            {},
            "no score from hospital-b; 0 such hospitals are allowed",
        ),
        (both(scores(0.9)), {"minimum_dice": {"anterior": 0.8}}, "posterior: no minimum is stated"),
        (
            {"hospital-a": scores(0.9, cases=6), "hospital-b": scores(0.9, None, cases=6)},
            {},
            "posterior: 6 unseen cases have a score, 10 are asked for",
        ),
        (
            {"hospital-a": scores(0.9, cases=12)},
            {},
            "no score from hospital-b; 0 such hospitals are allowed",
        ),
        (
            {"hospital-a": scores(0.99), "hospital-b": scores(0.7)},
            {"minimum_dice_of_each_hospital": {"anterior": 0.75}},
            "anterior at hospital-b: mean Dice 0.700, at least 0.75 is asked for",
        ),
        (both(scores(0.9)), {"minimum_dice_of_each_hospital": {"tail": 0.5}}, "tail: no hospital has a score"),
    ],
)
def test_what_is_not_or_is_not_said_stops_the_model(
    test: dict[str, SiteScore], rule: dict[str, Any], objection: str
) -> None:
    assert said(test, **rule) == (objection,)


def test_a_hospital_may_be_silent_where_the_rule_says_so() -> None:
    assert said({"hospital-a": scores(0.9, cases=12)}, most_untested=1) == ()


def test_a_run_without_scores_or_that_has_failed_is_stopped() -> None:
    found = said({})
    assert any(one.startswith("no score from hospital-a, hospital-b") for one in found)
    assert {"anterior: no unseen case has a score", "posterior: no unseen case has a score"} < set(found)
    assert said(both(scores(0.9)), {"status": "failed"}) == ("the run is failed",)


@pytest.mark.parametrize(
    "rule",
    [
        {"minimum_dice": {}},
        {},
        {"minimum_dice": {"anterior": 1.2}},
        {"minimum_dice": {"anterior": float("nan")}},
        {"minimum_dice": {"anterior": 0.8}, "minimum_dise_of_each_hospital": {}},
        {"minimum_dice": {"anterior": 0.8}, "minimum_cases": 0},
    ],
)
def test_a_rule_that_asks_for_nothing_or_is_misspelt_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="the rule is not valid"):
        parse_config(GateRule, rule, "the rule")
