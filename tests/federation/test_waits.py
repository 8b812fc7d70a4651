"""Whom a question waits for, until when, and why."""

import pytest

from fedvoxel.federation.waits import OpenQuestion, Wait

SITES = ("hospital-a", "hospital-b", "hospital-c")


@pytest.mark.parametrize(("enough_s", "ends_s"), [(None, 60.0), (10.0, 15.0), (58.0, 60.0)])
def test_nobody_is_waited_for_after_the_deadline_or_the_grace(enough_s: float | None, ends_s: float) -> None:
    assert Wait(60.0, 2, 5.0).ends_s(enough_s) == ends_s
    assert Wait(60.0, 2, None).ends_s(enough_s) == 60.0


def _question(wait: Wait) -> OpenQuestion:
    question = OpenQuestion(SITES, wait)
    question.look(0.0, (), (), ())
    return question


def test_a_question_ends_at_its_deadline() -> None:
    question = _question(Wait(60.0))
    question.look(60.0, ["hospital-a"], (), ())
    assert not question.over
    question.look(60.1, ["hospital-a"], (), ())
    assert question.over
    assert question.why("hospital-b") == "no reply within 60 s"


def test_the_grace_begins_with_enough_good_replies_and_not_with_bad_ones() -> None:
    question = _question(Wait(60.0, 2, 5.0))
    question.look(10.0, ["hospital-a"], ["hospital-b"], ())
    assert question.ends_s == 60.0
    question = _question(Wait(60.0, 2, 5.0))
    question.look(10.0, ["hospital-a", "hospital-b"], (), ())
    question.look(14.9, ["hospital-a", "hospital-b"], (), ())
    assert not question.over
    question.look(15.1, ["hospital-a", "hospital-b"], (), ())
    assert question.over


def test_a_site_without_a_connection_is_not_waited_for_and_is_again_once_it_is_back() -> None:
    question = _question(Wait(60.0))
    question.look(5.0, ["hospital-a", "hospital-b"], (), ["hospital-c"])
    assert question.over
    assert question.given_up == {"hospital-c": "lost its connection"}
    question.look(6.0, ["hospital-a", "hospital-b"], (), ())
    assert not question.over
    assert question.working == {"hospital-c"}


def test_a_single_site_has_its_own_deadline_from_when_it_came() -> None:
    question = _question(Wait(60.0, site_timeout_s=20.0))
    question.look(10.0, (), (), ())
    question.came(["hospital-b"])
    question.look(25.0, (), (), ())
    assert question.working == {"hospital-b"}
    assert question.why("hospital-a") == "took longer than the 20 s that a site may"
    question.look(30.1, (), (), ())
    assert question.over


def test_a_site_that_comes_again_has_its_time_anew() -> None:
    question = _question(Wait(60.0, site_timeout_s=20.0))
    question.came(SITES)
    question.look(15.0, (), (), ())
    question.came(["hospital-b"])
    question.look(30.0, (), (), ())
    assert question.working == {"hospital-b"}


def test_a_reply_after_its_sites_own_deadline_counts_while_others_are_waited_for() -> None:
    question = _question(Wait(60.0, site_timeout_s=20.0))
    question.came(["hospital-a"])
    question.look(15.0, (), (), ())
    question.came(["hospital-b"])
    question.look(25.0, ["hospital-a"], (), ())
    assert question.working == {"hospital-b"}


def test_every_wait_says_since_when_until_when_and_why() -> None:
    question = _question(Wait(60.0, 1, 30.0, site_timeout_s=50.0))
    question.look(10.0, (), (), ())
    question.came(["hospital-a", "hospital-b"])
    question.look(12.0, ["hospital-b"], (), ())
    waits = {wait.site: wait for wait in question.waits({"hospital-a": "slow: 12 s, it usually takes 3 s"})}
    assert sorted(waits) == ["hospital-a", "hospital-c"]
    assert (waits["hospital-a"].since_s, waits["hospital-a"].until_s) == (10.0, 42.0)
    assert waits["hospital-a"].reason == "works on it; slow: 12 s, it usually takes 3 s; until the grace for the others"
    assert waits["hospital-c"].reason == "has not come for its task yet; until the grace for the others"
    (fetched,) = [wait for wait in question.waits({}, ["hospital-a"]) if wait.site == "hospital-a"]
    assert fetched.reason.startswith("its reply is being fetched")
    assert [wait.reason.rpartition("; ")[2] for wait in _question(Wait(60.0)).waits({})] == ["until the deadline"] * 3
    (alone, *_) = _question(Wait(60.0, site_timeout_s=50.0)).waits({})
    assert (alone.until_s, alone.reason.rpartition("; ")[2]) == (50.0, "until what a single site may take")
