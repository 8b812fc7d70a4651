"""Whoever waits for a job waits for its run: also where another job goes on with it."""

from typing import Any

import pytest

from fedvoxel.errors import NoAnswerError
from fedvoxel.flare import following_job
from fedvoxel.flare.following_job import wait_for_run
from fedvoxel.flare.messages import RESUMED_AS


class FakeSession:
    """Answers each look at a job with the next thing that it knows of it, the last one for ever."""

    def __init__(self, **jobs: list[dict[str, Any]]) -> None:
        self._jobs = jobs

    def get_job_meta(self, job_id: str) -> dict[str, Any]:
        known = self._jobs[job_id]
        return known.pop(0) if len(known) > 1 else known[0]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following_job, "_NOTICED_S", 0.05)
    monkeypatch.setattr(following_job.next_job, "__defaults__", (0.01,))


def ended(status: str, **more: Any) -> dict[str, Any]:
    return {"status": f"FINISHED:{status}"} | more


def test_a_run_is_followed_from_job_to_job() -> None:
    said: list[str] = []
    first = [ended("ABNORMAL"), ended("ABNORMAL", **{RESUMED_AS: ""}), ended("ABNORMAL", **{RESUMED_AS: "two"})]
    second = [ended("EXECUTION_EXCEPTION", **{RESUMED_AS: "three"})]
    session: Any = FakeSession(one=first, two=second, three=[ended("COMPLETED")])
    assert wait_for_run(session, "one", said.append) == ("three", "FINISHED:COMPLETED")
    assert [line for line in said if "goes on" in line] == [
        "its run was interrupted, and goes on as job two",
        "its run was interrupted, and goes on as job three",
    ]


@pytest.mark.parametrize("status", ["ABNORMAL", "ABORTED", "COMPLETED"])
def test_a_job_that_nothing_goes_on_with_is_the_last(status: str) -> None:
    session: Any = FakeSession(one=[ended(status)])
    assert wait_for_run(session, "one", lambda line: None) == ("one", f"FINISHED:{status}")


def test_where_the_server_is_gone_it_says_how_to_go_on_watching() -> None:
    session: Any = FakeSession(one=[ended("ABNORMAL", **{RESUMED_AS: "two"})], two=[])
    with pytest.raises(NoAnswerError, match=r"about job two: .*the run goes on: fedvoxel watch two"):
        wait_for_run(session, "one", lambda line: None)
