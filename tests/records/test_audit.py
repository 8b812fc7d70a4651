"""What the audit log is told stands there in order, a change is found, and the version before is read."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedvoxel.errors import LedgerError
from fedvoxel.records.audit import AUDIT_FILE, AuditLog, FollowedLog
from fedvoxel.records.audit_event import Actor, AuditEvent, Spent, event_of
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import Entry

RUN: dict[str, Any] = {"run_key": "a_run", "job_id": "job-1"}
EVENTS = [
    AuditEvent(kind="answer", outcome="refused", task="train", round=2, site="hospital-a", reason="zeros", **RUN),
    AuditEvent(kind="answer", outcome="missing", task="test", site="hospital-b", reason="lost its connection", **RUN),
]
VERSION_1 = {"kind": "refused", "run_key": "a_run", "job_id": "job-1", "task": "train", "round": 2}
VERSION_1 |= {"site": "hospital-a", "reason": "zeros"}


def test_events_stand_in_order_with_their_time(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    assert log.read() == []
    log.record([])
    assert not (tmp_path / "audit").exists(), "nothing happened, nothing is written"
    log.record(EVENTS)
    log.record(EVENTS[:1])
    found = log.read()
    assert [event for _, event in found] == [*EVENTS, EVENTS[0]]
    assert [entry.index for entry, _ in found] == [0, 1, 2] and all(entry.at.endswith("Z") for entry, _ in found)


def test_two_who_write_to_one_log_see_each_other(tmp_path: Path) -> None:
    one, other = AuditLog(tmp_path), AuditLog(tmp_path)
    for log in (one, other, one, other):
        log.record(EVENTS[:1])
    assert len(one.read()) == 4


def test_a_log_that_is_added_to_often_is_not_held_in_memory(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    for _ in range(5):
        log.record(EVENTS)
    assert log._last and len(log._last.entries) == 1
    with log.writing() as chain:
        assert len(chain.entries) == 10
        chain.append(EVENTS[0].body())
    log.record(EVENTS)
    assert len(log.read()) == 13


class _Sites:
    """Is what a test keeps of a log."""

    def __init__(self) -> None:
        self.sites: list[str] = []

    def note(self, entry: Entry) -> None:
        self.sites.append(entry.body["site"])


def test_who_follows_a_log_notes_each_entry_once(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    followed = FollowedLog(log, _Sites)
    assert followed.noted().sites == []
    log.record(EVENTS)
    AuditLog(tmp_path).record(EVENTS)
    assert followed.noted().sites == ["hospital-a", "hospital-b"] * 2
    with followed.writing() as (chain, noted):
        assert len(chain.entries) == 1
        chain.append(EVENTS[0].body())
        assert len(noted.sites) == 4, "what is decided here goes by what was there before"
    assert followed.noted().sites == ["hospital-a", "hospital-b"] * 2 + ["hospital-a"]
    assert followed.noted().sites == ["hospital-a", "hospital-b"] * 2 + ["hospital-a"]


def test_another_log_in_its_place_is_noted_anew(tmp_path: Path) -> None:
    log, other = AuditLog(tmp_path / "one"), AuditLog(tmp_path / "other")
    followed = FollowedLog(log, _Sites)
    log.record(EVENTS)
    assert len(followed.noted().sites) == 2
    other.record(EVENTS[1:])
    shutil.rmtree(tmp_path / "one")
    shutil.copytree(tmp_path / "other", tmp_path / "one")
    assert followed.noted().sites == ["hospital-b"]


def test_a_log_that_was_changed_where_it_ends_is_not_followed(tmp_path: Path) -> None:
    log, path = AuditLog(tmp_path), tmp_path / "audit" / AUDIT_FILE
    followed = FollowedLog(log, _Sites)
    log.record(EVENTS)
    followed.noted()
    path.write_bytes(path.read_bytes().replace(b"lost its", b"kept its"))
    with pytest.raises(LedgerError, match=r"line 2 of audit\.jsonl"):
        followed.noted()


def test_a_changed_log_is_neither_read_nor_written(tmp_path: Path) -> None:
    log, path = AuditLog(tmp_path), tmp_path / "audit" / AUDIT_FILE
    log.record(EVENTS)
    path.write_bytes(path.read_bytes().replace(b"zeros", b"whole"))
    for use in (log.read, lambda: AuditLog(tmp_path).record(EVENTS)):
        with pytest.raises(LedgerError, match=r"line 1 of audit\.jsonl"):
            use()


def test_every_value_is_kept(tmp_path: Path) -> None:
    event = AuditEvent(
        kind="release",
        outcome="done",
        actor=Actor(name="lead@hospital-a.example", role="lead", organisation="hospital_a"),
        site="hospital-a",
        cohort="hippocampus",
        hashes={"job": "0" * 64, "ledger_head": "1" * 64},
        size_bytes=12,
        log_entries=3,
        spent=Spent(unit="patient", epsilon=1.5, delta=1e-5),
        signature={"algorithm": "ecdsa-sha256"},
        **RUN,
    )
    log = AuditLog(tmp_path)
    log.record([event])
    ((_, found),) = log.read()
    assert found == event


def test_a_line_of_the_version_before_is_read(tmp_path: Path) -> None:
    Chain(tmp_path / "audit" / AUDIT_FILE).append(VERSION_1)
    log = AuditLog(tmp_path)
    log.record(EVENTS[1:])
    assert [event for _, event in log.read()] == EVENTS


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "received"},
        VERSION_1 | {"kind": "lost"},
        VERSION_1 | {"more": 1},
        VERSION_1 | {"schema_version": 3},
        EVENTS[0].body() | {"patient": "a name"},
        EVENTS[0].body() | {"schema_version": True},
        EVENTS[0].body() | {"hashes": {"scan": "0" * 64}},
    ],
)
def test_a_line_of_something_else_is_no_event(tmp_path: Path, body: dict[str, Any]) -> None:
    Chain(tmp_path / "audit" / AUDIT_FILE).append(body)
    with pytest.raises(LedgerError, match=r"line 1 of the audit log is (no event|of schema_version 3)"):
        AuditLog(tmp_path).read()


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "joke"}, {"outcome": "joke"}, {"hashes": {"model": "short"}}, {"round": -1}, {"reason": "x" * 2001}],
)
def test_what_is_not_in_the_closed_sets_cannot_be_said(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AuditEvent(**({"kind": "run", "outcome": "started"} | wrong))


@given(st.builds(AuditEvent))
def test_what_is_written_is_read(event: AuditEvent) -> None:
    assert event_of(event.body(), 1) == event
