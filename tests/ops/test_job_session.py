"""What a job session makes of a server's answers, with a fake server session."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from nvflare.fuel.flare_api.api_spec import (
    AuthenticationError,
    AuthorizationError,
    JobNotFound,
    JobNotRunning,
    NoConnection,
)

from fedvoxel.errors import ConfigError, ConsortiumError, JobError, NoAnswerError
from fedvoxel.flare import following_job
from fedvoxel.ops import job_session
from fedvoxel.ops.job_session import JobSession

SITES = {f"hospital-{letter}": {"state": "training", "reason": None} for letter in "abc"}
PROGRESS = {
    "round": 0, "rounds_planned": 2, "phase": "training", "started": 1.0, "round_started": 1.0, "sites": SITES,
}  # fmt: skip


class FakeSession:
    """Answers as a FLARE session does, or raises what it was given."""

    def __init__(self, meta: Any, stats: Any = None) -> None:
        self.meta, self.stats = meta, stats
        self.sites: Any = None
        self.asked: list[Any] = []

    def get_job_meta(self, job_id: str) -> Any:
        return _answer(self.meta)

    def show_stats(self, job_id: str, target_type: str, targets: list[str] | None = None) -> Any:
        self.asked.append((target_type, targets))
        stats = _answer(self.stats)
        if target_type == "server":
            return {"server": stats["server"]}
        return {site: stats[site] for site in _answer(self.sites or targets)}


def _answer(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


def _meta(status: str, **more: Any) -> dict[str, Any]:
    return {"name": "hippocampus_fedavg", "status": status, **more}


def _stats(progress: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "server": {"ServerRunner": {"job_id": "1"}, "fedvoxel": {"progress": progress}},
        "hospital-a": {"ClientRunner": {}, "fedvoxel": {"step": 3, "steps": 9, "loss": 0.5}},
        "hospital-b": {"fedvoxel": {"step": "?"}},
        "hospital-c": "invalid_reply",
    }


def test_a_running_job_shows_the_servers_account_and_the_sites_steps() -> None:
    snapshot = JobSession(FakeSession(_meta("RUNNING"), _stats(PROGRESS))).look("job-1")
    assert snapshot.job_name == "hippocampus_fedavg"
    assert snapshot.progress is not None
    assert snapshot.progress.rounds_planned == 2
    assert list(snapshot.steps) == ["hospital-a"]


def test_a_site_that_is_gone_hides_nothing_but_the_sites_steps() -> None:
    fake = FakeSession(_meta("RUNNING"), _stats(PROGRESS))
    fake.sites = NoConnection("the server waits for a site that is gone")
    snapshot = JobSession(fake).look("job-1")
    assert snapshot.progress is not None
    assert snapshot.steps == {}


def test_a_site_that_is_known_to_be_gone_is_not_waited_for() -> None:
    gone = {"hospital-b": {"state": "missing", "reason": "lost its connection"}}
    fake = FakeSession(_meta("RUNNING"), _stats(PROGRESS | {"sites": SITES | gone}))
    assert list(JobSession(fake).look("job-1").steps) == ["hospital-a"]
    assert fake.asked == [("server", None), ("client", ["hospital-a", "hospital-c"])]


def test_a_job_that_waits_gives_the_schedulers_last_word() -> None:
    meta = _meta("SUBMITTED", schedule_history=["first", "not enough sites"])
    assert JobSession(FakeSession(meta)).look("job-1").note == "not enough sites"


def test_a_finished_job_is_not_asked_for_statistics() -> None:
    snapshot = JobSession(FakeSession(_meta("FINISHED:ABNORMAL"), AssertionError())).look("job-1")
    assert snapshot.finished
    assert snapshot.note is None


@pytest.mark.parametrize(
    ("following", "waits"), [("", "since the disk is full"), ("", None), ("two", None), (None, None)]
)
def test_an_interrupted_job_says_what_the_next_one_waits_for(following: str | None, waits: str | None) -> None:
    meta = _meta("FINISHED:ABNORMAL", resumed_as=following, resume_waits="since the disk is full" if waits else None)
    snapshot = JobSession(FakeSession(meta, AssertionError())).look("job-1")
    assert (snapshot.resumed_as, snapshot.note) == (following, waits)


def test_a_job_between_two_states_is_shown_without_progress() -> None:
    fake = FakeSession(_meta("RUNNING"), JobNotRunning("job-1"))
    session = JobSession(fake)
    assert session.look("job-1").note is None
    fake.stats = _stats(PROGRESS)
    assert session.look("job-1").progress is not None
    fake.stats = JobNotRunning("job-1")
    assert "reports no progress any more" in str(session.look("job-1").note)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (JobNotFound("x"), "the server knows no job job-1"),
        (AuthorizationError("x"), "this user may not look at job job-1"),
        (NoConnection("lost\nit"), "does not answer about job job-1: lost it"),
    ],
)
def test_says_why_it_cannot_look(error: Exception, said: str) -> None:
    with pytest.raises(JobError, match=said):
        JobSession(FakeSession(error)).look("job-1")
    with pytest.raises(JobError, match="lost"):
        JobSession(FakeSession(_meta("RUNNING"), NoConnection("lost"))).look("job-1")


class FakeServer:
    """Gives a session for each login, or refuses it; each knows what it was given, in order."""

    def __init__(self, *logins: Any) -> None:
        self.logins, self.closed = list(logins), 0

    @contextmanager
    def open_session(self, kit: Path, user: str | None) -> Iterator[JobSession]:
        metas = _answer(self.logins.pop(0))
        session = FakeSession(None, JobNotRunning("job"))
        session.get_job_meta = lambda job_id: _answer(metas.pop(0)) | {"name": job_id}  # type: ignore[method-assign]
        try:
            yield JobSession(session)
        finally:
            self.closed += 1


def _seen(monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> Iterator[Any]:
    monkeypatch.setattr(job_session, "open_session", server.open_session)
    return job_session.looks(Path("kit"), None, "one", 0.001)


def test_a_run_is_watched_over_the_servers_restart_to_the_job_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    died = _meta("FINISHED:ABNORMAL", resumed_as="two")
    server = FakeServer(
        [_meta("RUNNING"), NoConnection("lost it")],
        ConsortiumError("cannot log in"),
        [died, _meta("RUNNING"), AuthenticationError("no such session")],
        [_meta("FINISHED:COMPLETED")],
    )
    seen = [(each.job_name, each.status, each.note) for each in _seen(monkeypatch, server)]
    assert seen == [
        ("one", "RUNNING", None),
        ("one", "RUNNING", "Logging in again: the server does not answer about job one: lost it"),
        ("one", "RUNNING", "Logging in again: cannot log in"),
        ("one", "FINISHED:ABNORMAL", None),
        ("two", "RUNNING", None),
        ("two", "RUNNING", "Logging in again: the server does not answer about job two: no such session"),
        ("two", "FINISHED:COMPLETED", None),
    ]
    assert server.closed == 3 and not server.logins


def test_a_watcher_waits_for_the_servers_word_on_a_job_that_died(monkeypatch: pytest.MonkeyPatch) -> None:
    died = _meta("FINISHED:EXECUTION_EXCEPTION")
    told = [died, died, died | {"resumed_as": ""}, died | {"resumed_as": "two"}, _meta("FINISHED:COMPLETED")]
    seen = [(each.job_name, each.resumed_as) for each in _seen(monkeypatch, FakeServer([_meta("RUNNING"), *told]))]
    assert seen == [("one", None), ("one", ""), ("one", "two"), ("two", None)]


def test_a_watcher_ends_when_the_server_has_no_word_on_a_job_that_died(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following_job, "_NOTICED_S", 0.05)
    seen = list(_seen(monkeypatch, FakeServer([_meta("FINISHED:ABNORMAL")] * 10_000)))
    assert [(each.status, each.resumed_as) for each in seen] == [("FINISHED:ABNORMAL", None)]


def test_a_server_that_stays_away_is_an_error_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_session, "RECONNECT_S", -1.0)
    server = FakeServer([_meta("RUNNING"), NoConnection("lost it")])
    seen = _seen(monkeypatch, server)
    assert next(seen).status == "RUNNING"
    with pytest.raises(JobError, match="lost it"):
        next(seen)


def test_a_missing_right_is_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(JobError, match="may not see how far job job-1 is") as refused:
        JobSession(FakeSession(_meta("RUNNING"), AuthorizationError("x"))).look("job-1")
    assert not isinstance(refused.value, NoAnswerError), "it would be tried again for ten minutes"
    seen = _seen(monkeypatch, FakeServer([_meta("SUBMITTED"), AuthorizationError("x")]))
    assert next(seen).status == "SUBMITTED"
    with pytest.raises(JobError, match="may not look at job one"):
        next(seen)


@pytest.mark.parametrize("login", [ConsortiumError("cannot log in"), [JobNotFound("x")], [NoConnection("lost it")]])
def test_what_is_wrong_at_the_first_look_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch, login: Any) -> None:
    with pytest.raises((ConsortiumError, JobError)):
        next(_seen(monkeypatch, FakeServer(login)))


def test_refuses_an_account_that_it_cannot_read() -> None:
    with pytest.raises(ConfigError, match="phase"):
        JobSession(FakeSession(_meta("RUNNING"), _stats(PROGRESS | {"phase": "?"}))).look("job-1")
