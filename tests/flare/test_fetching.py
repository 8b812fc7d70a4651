"""Replies are handed over one by one with their arrays; what cannot be fetched is one site's failure, nothing more."""

import threading
from typing import Any

import numpy as np
import pytest
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.fuel.utils.fobs.decomposers.via_downloader import LazyDownloadRef

from fedvoxel.flare import fetching
from fedvoxel.flare.fetching import Fetches, size_bytes

MODEL = {"weight": np.ones(3, np.float32)}


class LostCell:
    """Is messaging without anyone on the other side."""

    def get_fobs_context(self, props: dict[str, Any]) -> dict[str, Any]:
        raise TimeoutError("no such site")


def reply(params: dict[str, Any]) -> FLModel:
    return FLModel(params_type=ParamsType.FULL, params=params)


def test_replies_are_taken_one_at_a_time() -> None:
    taken, inside, most = [], 0, 0
    done = threading.Event()

    def take(one: FLModel) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        taken.append(one.params["weight"].sum())
        inside -= 1
        if len(taken) == 8:
            done.set()

    with Fetches(LostCell(), size_bytes(MODEL)) as fetches:
        for _ in range(8):
            assert fetches.add(reply(MODEL), take, pytest.fail)
        assert done.wait(10)
    assert most == 1 and taken == [3.0] * 8


def test_arrays_that_cannot_be_fetched_are_a_failure_of_that_site() -> None:
    reasons: list[str] = []
    failed = threading.Event()

    def fail(reason: str) -> None:
        reasons.append(reason)
        failed.set()

    with Fetches(LostCell(), 0) as fetches:
        fetches.add(reply({"weight": LazyDownloadRef("site", "ref", "T0", 1)}), pytest.fail, fail)
        assert failed.wait(10)
    assert reasons == ["its update could not be fetched (TimeoutError)"]


def test_nothing_is_taken_once_the_question_is_over() -> None:
    with Fetches(LostCell(), 0) as fetches:
        pass
    assert not fetches.add(reply(MODEL), pytest.fail, pytest.fail)


def test_garbage_is_looked_for_by_bytes_and_not_by_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    taken = threading.Semaphore(0)
    monkeypatch.setattr(fetching.gc, "collect", lambda: looked.append(1))
    monkeypatch.setattr(fetching, "_TIDY_BYTES", 4 * size_bytes(MODEL))
    with Fetches(LostCell(), size_bytes(MODEL)) as fetches:
        for params in [MODEL] * 9 + [{"weight": [1.0]}]:
            fetches.add(reply(dict(params)), lambda one: taken.release(), pytest.fail)
            assert taken.acquire(timeout=10)
    assert len(looked) == 2
