"""What the audit log is told stands there in order, and a changed line is found."""

from pathlib import Path

import pytest

from fedvoxel.errors import LedgerError
from fedvoxel.records.audit import AUDIT_FILE, AuditEvent, AuditLog
from fedvoxel.records.chain import Chain

EVENTS = [
    AuditEvent("refused", "a_run", "job-1", "train", 2, "hospital-a", "zeros"),
    AuditEvent("missing", "a_run", "job-1", "test", None, "hospital-b", "lost its connection"),
]


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


def test_a_changed_log_is_neither_read_nor_written(tmp_path: Path) -> None:
    log, path = AuditLog(tmp_path), tmp_path / "audit" / AUDIT_FILE
    log.record(EVENTS)
    path.write_bytes(path.read_bytes().replace(b"zeros", b"whole"))
    for use in (log.read, lambda: log.record(EVENTS)):
        with pytest.raises(LedgerError, match=r"line 1 of audit\.jsonl"):
            use()


def test_a_line_of_something_else_is_no_event(tmp_path: Path) -> None:
    Chain(tmp_path / "audit" / AUDIT_FILE).append({"kind": "received"})
    with pytest.raises(LedgerError, match="line 1 of the audit log is no event"):
        AuditLog(tmp_path).read()
