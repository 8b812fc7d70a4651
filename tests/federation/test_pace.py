"""A waiting site asks seldom, and often near the time when its next task may come."""

from itertools import pairwise

import pytest

from fedvoxel.federation.pace import Pace, Question

SHORTEST_S = 0.2
SITES = 4


def question(elapsed_s: float, *working: str, **changes: object) -> Question:
    made = {"task_name": "train", "elapsed_s": elapsed_s, "working": frozenset(working), "sites": SITES}
    return Question(**(made | {"coming": False, "ends_s": 3600.0} | changes))  # type: ignore[arg-type]


def pace(**took_s: float) -> Pace:
    """Returns a pace that has seen one question, which each site took so long for."""
    made = Pace(SHORTEST_S)
    for site, seconds in took_s.items():
        made.answered({site}, seconds)
    made.done("train")
    return made


def asked_at(made: Pace, ends_s: float, since_s: float = 0.0) -> list[float]:
    """Returns when a site asks that has nothing to do from `since_s` on, and the one that gets its next task."""
    at_s = [since_s]
    while at_s[-1] < ends_s:
        at_s.append(at_s[-1] + made.rest_s(question(at_s[-1], "slow")))
    return at_s


@pytest.mark.parametrize(
    ("elapsed_s", "expected_s"),
    [(2.0, 3.0), (7.0, 0.5), (7.8, 0.2), (8.0, 0.2), (8.2, 0.2), (9.0, 0.5), (12.0, 1.0)],
)
def test_the_rest_is_half_of_what_remains_and_then_of_what_is_over(elapsed_s: float, expected_s: float) -> None:
    assert pace(quick=1.0, slow=8.0).rest_s(question(elapsed_s, "slow")) == pytest.approx(expected_s)


def test_nobody_is_waited_for_longer_than_those_who_still_work_took() -> None:
    made = pace(quick=4.0, slow=100.0)
    assert made.rest_s(question(2.0, "quick")) == pytest.approx(1.0)
    assert made.rest_s(question(2.0, "quick", "slow")) == pytest.approx(5.0)
    assert made.rest_s(question(60.0, "never seen")) == pytest.approx(5.0), "taken for one of the slowest"


def test_each_kind_of_question_has_its_own_time() -> None:
    made = pace(slow=100.0)
    assert made.rest_s(question(10.0, "slow", task_name="validate")) == pytest.approx(1.0)
    made.answered({"slow"}, 12.0)
    made.done("validate")
    assert made.rest_s(question(10.0, "slow", task_name="validate")) == pytest.approx(1.0)
    assert made.rest_s(question(10.0, "slow")) == pytest.approx(5.0)


def test_who_answers_first_tells_nothing_of_the_others_in_a_first_round() -> None:
    made = Pace(SHORTEST_S)
    made.answered({"quick"}, 5.0)
    assert made.rest_s(question(8.0, "slow")) == pytest.approx(0.8)


def test_the_time_is_that_of_the_last_question_and_of_its_first_answer() -> None:
    made = pace(slow=100.0)
    made.answered({"slow"}, 8.0)
    made.answered({"slow"}, 9.0)
    made.done("train")
    assert made.rest_s(question(4.0, "slow")) == pytest.approx(2.0)


@pytest.mark.parametrize("took_s", [8.0, 60.0, 600.0, 3600.0])
@pytest.mark.parametrize("share", [0.97, 1.0, 1.03, 1.3, 2.0])
def test_the_next_round_is_late_by_a_second_or_two_per_cent_at_most(took_s: float, share: float) -> None:
    ends_s = took_s * share
    asked = asked_at(pace(quick=1.0, slow=took_s), ends_s)
    assert asked[-1] - ends_s <= max(1.0, 0.02 * ends_s) + 0.01
    assert len(asked) < 40 + max(60, ends_s / 30)


@pytest.mark.parametrize("took_s", [8.0, 60.0, 600.0, 3600.0])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_round_much_shorter_than_the_last_loses_half_of_that_at_most(took_s: float, share: float) -> None:
    ends_s = took_s * share
    late_s = asked_at(pace(quick=1.0, slow=took_s), ends_s)[-1] - ends_s
    assert late_s <= min((took_s - ends_s) / 2, max(5.0, 0.02 * took_s)) + 0.01


def test_in_a_first_round_the_rest_grows_with_the_time() -> None:
    asked = asked_at(Pace(SHORTEST_S), 600.0)
    rests = [after - before for before, after in pairwise(asked)]
    assert rests == pytest.approx(sorted(rests)) and rests[0] == pytest.approx(SHORTEST_S)
    assert max(rests) <= 0.02 * 600 + 0.01 and len(asked) < 200, "and not 3000 times"
    for ends_s in (5.0, 20.0, 100.0):
        late_s = asked_at(Pace(SHORTEST_S), ends_s)[-1] - ends_s
        assert late_s <= max(1.0, 0.02 * ends_s)


def test_a_first_round_that_will_be_ended_at_a_known_time_is_asked_for_then() -> None:
    assert Pace(SHORTEST_S).rest_s(question(100.0, "slow", ends_s=102.0)) == pytest.approx(2.0)
    assert pace(slow=300.0).rest_s(question(100.0, "slow", ends_s=104.0)) == pytest.approx(2.0)


def test_a_site_that_comes_for_the_question_rests_shortly_after_it() -> None:
    made = pace(quick=1.0, slow=100.0)
    assert made.rest_s(question(0.5, "quick", "slow", coming=True)) == SHORTEST_S
    # Nobody was told to rest for so long that it could still be on its way.
    assert made.rest_s(question(3.0, "slow", "hung", coming=True)) == pytest.approx(5.0)
    assert made.rest_s(question(5.9, "slow", "hung", coming=True)) == SHORTEST_S, "now it could be"


def test_where_everybody_works_nobody_needs_to_rest() -> None:
    assert pace(slow=100.0).rest_s(question(50.0, "a", "b", "c", "slow")) == SHORTEST_S


def test_many_sites_together_ask_no_more_than_the_server_bears() -> None:
    assert pace(slow=8.0).rest_s(question(7.9, "slow", sites=65)) == pytest.approx(3.2)


def test_no_rest_is_shorter_than_the_job_asks_for_or_longer_than_half_a_minute() -> None:
    made = Pace(2.0)
    made.answered({"slow"}, 8.0)
    made.done("train")
    assert made.rest_s(question(7.9, "slow")) == 2.0
    assert pace(slow=7 * 24 * 3600.0).rest_s(question(3600.0, "slow")) == 30.0
    assert Pace(SHORTEST_S).rest_s(question(50_000.0, "slow", ends_s=1e6)) == 30.0
