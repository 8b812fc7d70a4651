"""Each flag is raised by what it is about, and not by what an honest hospital may well look like."""

from dataclasses import replace

import pytest

from fedvoxel.evaluation.credit.flags import flags_of
from fedvoxel.evaluation.credit.rounds import LookedAt
from fedvoxel.federation.contribution_config import Resemblance

from .records import SITES, apart, changed, looked, records

BAD = "hospital-c"
APART = apart(BAD)


def _said(run: LookedAt) -> list[tuple[str, tuple[str, ...]]]:
    return [(flag.kind, flag.sites) for flag in flags_of(run)]


def test_honest_hospitals_are_not_flagged() -> None:
    assert _said(looked()) == []


def test_a_hospital_without_which_models_are_better_and_that_goes_another_way_is_harmful() -> None:
    run = looked({BAD: -0.02}, APART)
    assert _said(run) == [("harmful", (BAD,))]
    assert "better, by 0.1" in flags_of(run)[0].reason and "8 of 8 rounds" in flags_of(run)[0].reason


def test_a_slightly_negative_value_or_another_way_alone_is_no_harm() -> None:
    assert _said(looked({BAD: -0.004})) == [] and _said(looked({BAD: -0.004}, APART)) == [("harmful", (BAD,))]
    assert _said(looked({BAD: 0.001}, APART)) == []


def test_two_bad_hospitals_that_go_each_others_way_are_harmful_and_do_not_make_the_others_alike() -> None:
    values, away = {BAD: -0.02, "hospital-d": -0.02}, dict.fromkeys(apart("hospital-d"), 0.3) | APART
    away[(BAD, "hospital-d")] = 0.6
    run = looked(values, away, paths=dict.fromkeys([*away], 0.2) | {(BAD, "hospital-d"): 0.7})
    assert _said(run) == [("harmful", (BAD,)), ("harmful", ("hospital-d",))]


def test_harm_is_not_said_from_too_few_rounds_nor_where_there_is_hardly_any() -> None:
    assert _said(looked({BAD: -0.02}, APART, rounds=3)) == []
    assert _said(looked({BAD: -0.0002}, APART)) == []


def test_one_bad_round_is_no_harm() -> None:
    run = list(records({BAD: 0.002}, APART))
    found = run[3].contribution
    assert found
    run[3:4] = changed((run[3],), without=found.without | {BAD: -0.2}, values=found.values | {BAD: -0.2})
    assert sum(LookedAt.of(run).without(BAD)) < -0.1 and _said(LookedAt.of(run)) == []


def test_outcomes_of_before_resemblance_was_noted_still_name_a_clearly_harmful_hospital() -> None:
    run = LookedAt.of(changed(records({BAD: -0.02}), resemblance=None, without={}))
    assert _said(run) == [("harmful", (BAD,))]
    assert "another way" not in flags_of(run)[0].reason


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"norms": {BAD: 0.01}}, "next to nothing"),
        ({"last_step": {BAD: 0.999}}, "repeat the step that everybody had just got"),
        ({"last_step": {BAD: -1.0}}, "lead back to the model before"),
    ],
)
def test_free_riders_are_named_with_what_they_do(said: dict[str, dict[str, float]], reason: str) -> None:
    run = looked(**said)
    assert _said(run) == [("free rider", (BAD,))]
    assert reason in flags_of(run)[0].reason


def test_noise_is_a_free_ride() -> None:
    run = looked(cosines=dict.fromkeys(APART, 0.001))
    assert _said(run) == [("free rider", (BAD,))] and "nothing in common with anybody's" in flags_of(run)[0].reason


def test_few_cases_make_a_short_update_and_no_free_rider() -> None:
    run = looked(norms={BAD: 0.02})
    few = tuple(
        record.model_copy(update={"contributed": dict.fromkeys(SITES, 100) | {BAD: 1}}) for record in run.records
    )
    assert _said(run) == [("free rider", (BAD,))] and _said(replace(run, records=few)) == []


def test_where_everybody_follows_the_last_step_nobody_repeats_it() -> None:
    assert _said(looked(last_step=dict.fromkeys(SITES, 0.97))) == []


def test_where_nobody_has_anything_in_common_nobody_is_noise() -> None:
    nothing = {(one, other): 0.0 for one in SITES for other in SITES if one < other}
    assert _said(looked(cosines=nothing)) == []


def test_two_hospitals_that_go_the_same_way_are_alike() -> None:
    run = looked(paths={("hospital-b", BAD): 0.78})
    assert _said(run) == [("alike", ("hospital-b", BAD))]
    assert "cosine 0.780, 73% as far apart as the nearest other" in flags_of(run)[0].reason


def test_a_little_nearer_than_the_others_is_not_alike() -> None:
    assert _said(looked(paths={("hospital-b", BAD): 0.73})) == []


def test_of_two_hospitals_only_the_very_same_update_is_alike() -> None:
    def two(cosine: float) -> LookedAt:
        seen = Resemblance(norms={"a": 1.0, "b": 1.0}, pairs={"a": {"b": cosine}}, paths={"a": {"b": cosine}})
        both = {"a": 0.1, "b": 0.1}
        return LookedAt.of(changed(records(), resemblance=seen, values=both, without=both))

    assert _said(two(0.99)) == [] and _said(two(0.9995)) == [("alike", ("a", "b"))]


def test_two_free_riders_are_no_copies_of_each_other() -> None:
    both = {"hospital-b": 0.999, BAD: 0.999}
    run = looked(paths={("hospital-b", BAD): 1.0}, last_step=both)
    assert _said(run) == [("free rider", ("hospital-b",)), ("free rider", (BAD,))]
