"""A few sites at a time load the model; a lost site's turn ends by itself, and a late one gets all that it is due."""

from types import SimpleNamespace

import numpy as np
import pytest
from nvflare.fuel.f3.streaming.download_service import ProduceRC

from fedvoxel.flare.pacing import PacedArrays, RequestPace, Turns


def test_no_more_turns_than_allowed_until_one_is_given_back() -> None:
    turns = Turns(at_once=2)
    assert turns.take(1, 0.0) and turns.take(2, 0.0)
    assert not turns.take(3, 1.0)
    assert turns.take(1, 2.0)
    turns.give_back(2)
    assert turns.take(3, 3.0)


def test_a_holder_that_is_silent_for_long_loses_its_turn() -> None:
    turns = Turns(at_once=1, lost_after_s=20)
    assert turns.take(1, 0.0)
    assert not turns.take(2, 19.0)
    assert turns.take(2, 21.0)
    assert not turns.take(1, 22.0)


def test_whose_turn_has_not_come_gets_nothing_and_asks_again_from_the_same_place() -> None:
    arrays = {"T0": np.ones(3, np.float32), "T1": np.ones(2, np.float32)}
    turns = Turns(at_once=1)
    first, second = PacedArrays(arrays, 2**20, turns), PacedArrays(arrays, 2**20, turns)
    code, items, _ = first.produce({}, "site-1")
    assert code == ProduceRC.OK and len(items) == 2
    code, items, state = second.produce({}, "site-2")
    assert (code, items) == (ProduceRC.OK, [])
    first.transaction_done("tx", "finished")
    code, items, _ = second.produce(state, "site-2")
    assert code == ProduceRC.OK and len(items) == 2


@pytest.mark.parametrize(
    ("elapsed_s", "waiting", "expected_s"),
    [
        (0.0, 0, 0.2),  # on their way to work: the rest is what they take after it
        (2.0, 1, 3.0),
        (7.0, 1, 0.5),
        (9.0, 1, 0.2),  # longer than the last one: it may end at any moment
        (7.9, 64, 3.2),
    ],
)
def test_a_waiting_site_rests_until_its_next_task_is_near(elapsed_s: float, waiting: int, expected_s: float) -> None:
    config = SimpleNamespace(task_request_interval=0.2)
    pace = RequestPace(config)
    pace.wait("train", 5.0, 1)
    assert config.task_request_interval == 0.2, "nothing is known of the first question's length"
    pace.done("train", 8.0)
    pace.wait("train", elapsed_s, waiting)
    assert config.task_request_interval == pytest.approx(expected_s)
    pace.done("train", 8.0)
    assert config.task_request_interval == 0.2


def test_no_rest_is_longer_than_a_few_seconds() -> None:
    config = SimpleNamespace(task_request_interval=0.2)
    pace = RequestPace(config)
    pace.done("train", 3600.0)
    pace.wait("train", 1.0, 1)
    assert config.task_request_interval == 5.0
