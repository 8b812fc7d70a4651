"""A few sites at a time load the model; a lost site's turn ends by itself, and a late one gets all that it is due."""

from types import SimpleNamespace

import numpy as np
import pytest
from nvflare.fuel.f3.streaming.download_service import ProduceRC

from fedvoxel.federation.pace import Question
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


def test_every_answer_carries_the_rest_and_between_two_questions_the_shortest() -> None:
    config = SimpleNamespace(task_request_interval=0.2)
    pace = RequestPace(config)
    pace.wait(Question("train", 5.0, {"b"}, 2, False, 60.0), {"a"})
    assert config.task_request_interval == pytest.approx(0.5)
    pace.done("train", {"a", "b"}, 8.0)
    assert config.task_request_interval == 0.2
    pace.wait(Question("train", 2.0, {"b"}, 2, False, 60.0), {"a"})
    assert config.task_request_interval == pytest.approx(3.0), "the last site's time is known too"
