"""How long a job takes, by hand: one site, turns at the server, what is too slow."""

from datetime import timedelta

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.federation.forecast import fetched_at_once, forecast, step_seconds, troubles
from fedvoxel.federation.line import Line
from fedvoxel.federation.site_work import SiteWork, work_like
from fedvoxel.federation.traffic import Parcel, Step
from tests.sample_run import sample_outcome

LINE = Line(down_bytes_s=1e6, up_bytes_s=5e5, round_trip_s=0.1, task_s=0.5)
MODEL = Parcel(size_bytes=1_000_000, requests=3, largest_bytes=600_000)
DOWN_S, UP_S = 1.3, 2.3


def a_round(sites: int, times: int = 1, model: Parcel = MODEL) -> Step:
    return Step("rounds", times, sites, model, model, trains=True)


def test_one_site_loads_works_and_sends() -> None:
    assert step_seconds(a_round(1), LINE, work_s=10) == pytest.approx(0.5 + DOWN_S + 10 + UP_S)


def test_four_sites_on_lines_of_their_own_take_no_longer_than_one() -> None:
    assert step_seconds(a_round(4), LINE, work_s=10) == pytest.approx(step_seconds(a_round(1), LINE, work_s=10))


def test_a_fifth_site_waits_for_its_turn_to_load() -> None:
    assert step_seconds(a_round(5), LINE, work_s=10) == pytest.approx(0.5 + 2 * DOWN_S + 10 + UP_S)


def test_large_updates_are_fetched_in_turns() -> None:
    large = Parcel(20 * 10**6, 21, 2**20)
    assert fetched_at_once(20 * 10**6) == 2
    down_s, up_s = 20 + 2.1, 40 + 2.1
    assert step_seconds(a_round(4, model=large), LINE, 10) == pytest.approx(0.5 + down_s + 10 + 2 * up_s)


def test_a_small_message_has_eight_answers_fetched_and_a_huge_one_still_one() -> None:
    assert (fetched_at_once(0), fetched_at_once(1000), fetched_at_once(10**9)) == (8, 8, 1)


def test_sites_share_the_servers_line() -> None:
    shared = Line(1e6, 1e6, server_bytes_s=1e6, task_s=0.0)
    assert step_seconds(a_round(2), shared, work_s=0) == pytest.approx(4 * 1.0)


def test_a_forecast_adds_up() -> None:
    steps = (Step("first model", 1, 1, up=MODEL), a_round(2, times=3), Step("test", 1, 2, MODEL))
    made = forecast(steps, LINE, SiteWork(train_s=10, other_s=7))
    assert made.rounds_s == pytest.approx(3 * (0.5 + DOWN_S + 10 + UP_S))
    assert made.round_s == pytest.approx(made.rounds_s / 3)
    assert made.seconds == pytest.approx(7 + (0.5 + UP_S) + made.rounds_s + (0.5 + DOWN_S))
    assert (made.round_bytes, made.site_bytes) == (2_000_000, 8_000_000)


def test_exchanges_around_a_round_are_counted_with_it_and_wait_for_no_turn() -> None:
    said = Parcel().saying(100_000)
    exchange = Step("keys", 3, 20, said, said, around=True)
    assert step_seconds(exchange, LINE, work_s=0) == pytest.approx(0.5 + 0.1 + 0.2)
    made = forecast((exchange, a_round(2, times=3), Step("test", 1, 2, MODEL)), LINE, SiteWork(train_s=10))
    assert made.rounds_s == pytest.approx(3 * (0.8 + 0.5 + DOWN_S + 10 + UP_S))
    assert made.round_s == pytest.approx(0.5 + DOWN_S + 10 + UP_S), "each question has a timeout of its own"
    assert made.round_bytes == 2_200_000


def test_what_is_said_with_a_model_does_not_make_fewer_answers_be_fetched_at_once() -> None:
    said = Step("rounds", 1, 8, MODEL.saying(40 * 10**6), MODEL, trains=True)
    assert step_seconds(said, LINE, 10) == pytest.approx(step_seconds(a_round(8), LINE, 10) + 2 * 40)


def test_unknown_training_is_left_out() -> None:
    assert forecast((a_round(2),), LINE, SiteWork()).seconds == pytest.approx(0.5 + DOWN_S + UP_S)


def test_a_round_longer_than_its_timeout_is_said() -> None:
    made = forecast((a_round(2),), LINE, SiteWork(train_s=100))
    assert troubles(made, LINE, round_timeout_s=200) == ()
    (said,) = troubles(made, LINE, round_timeout_s=100)
    assert "round_timeout_s" in said and "104 s" in said


@pytest.mark.parametrize("slow", [Line(down_bytes_s=1e6, up_bytes_s=15e3), Line(down_bytes_s=15e3, up_bytes_s=1e6)])
def test_a_line_on_which_a_piece_is_sent_again_before_it_has_arrived_is_said(slow: Line) -> None:
    (said,) = troubles(forecast((a_round(2),), slow, SiteWork()), slow, round_timeout_s=3600)
    assert "40 s" in said and "30 s" in said
    enough = Line(21e3, 21e3)
    assert troubles(forecast((a_round(2),), enough, SiteWork()), enough, round_timeout_s=3600) == ()


def test_work_is_read_from_an_earlier_run() -> None:
    outcome = sample_outcome()
    work = work_like(outcome)
    seconds = [record.seconds for record in outcome.rounds]
    assert work.train_s == sorted(seconds)[len(seconds) // 2]
    assert work.other_s == pytest.approx(max(0.0, timedelta(minutes=7, seconds=24).total_seconds() - sum(seconds)))


def test_a_run_without_a_round_tells_nothing() -> None:
    with pytest.raises(ConfigError, match="committed no round"):
        work_like(sample_outcome().model_copy(update={"rounds_committed": 0, "rounds": ()}))
