"""A server's log of one run: an attempt that was cut off in its second round, and one that ended well."""

from datetime import UTC, datetime, timedelta

from fedvoxel.governance.audit_check import Line
from fedvoxel.records.audit_event import Actor, AuditEvent
from fedvoxel.records.chain_entry import next_entry

RUN, FIRST_JOB, SECOND_JOB, STAFF = "a_run", "job-1", "job-2", "scientist@consortium.example"
BEGAN = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
_A, _B = {"model": "a" * 64}, {"model": "b" * 64, "model_before": "a" * 64}


def answer(job: str, index: int | None, site: str, **values: object) -> AuditEvent:
    """Returns what became of a site's answer."""
    task = "train" if index is not None else "test"
    said = {"kind": "answer", "outcome": "done", "run_key": RUN, "job_id": job, "task": task, "round": index}
    return AuditEvent.model_validate(said | {"site": site} | values)


def run_event(job: str, outcome: str, reason: str = "", run_key: str = RUN) -> AuditEvent:
    """Returns the beginning or the end of an attempt."""
    said = {"kind": "run", "outcome": outcome, "run_key": run_key, "job_id": job, "reason": reason, "hashes": _A}
    return AuditEvent.model_validate(said)


def round_event(job: str, index: int, reason: str = "") -> AuditEvent:
    """Returns a committed round."""
    return AuditEvent(kind="round", outcome="done", run_key=RUN, job_id=job, round=index, reason=reason, hashes=_B)


EVENTS = (
    (0, AuditEvent(kind="job", outcome="done", actor=Actor(name=STAFF, role="lead"), run_key=RUN, job_id=FIRST_JOB)),
    (1, run_event(FIRST_JOB, "started")),
    (10, answer(FIRST_JOB, 0, "hospital-a", size_bytes=1000)),
    (10, answer(FIRST_JOB, 0, "hospital-b", outcome="missing", reason="no reply within 5 s")),
    (11, round_event(FIRST_JOB, 0)),
    (20, answer(FIRST_JOB, 1, "hospital-a", size_bytes=1000)),
    (31, round_event(FIRST_JOB, 1, "committed by job job-1, and recorded when the run went on")),
    (32, run_event(SECOND_JOB, "resumed")),
    (40, answer(SECOND_JOB, 2, "hospital-a", size_bytes=1000)),
    (41, round_event(SECOND_JOB, 2)),
    (45, answer(SECOND_JOB, None, "hospital-b", outcome="refused", reason="a score that is no number")),
    (50, run_event(SECOND_JOB, "finished")),
)
"""Seconds after `BEGAN`, and what is said."""


def log_of(events: tuple[tuple[int, AuditEvent], ...] = EVENTS) -> list[Line]:
    """Returns the lines of a log."""
    lines: list[Line] = []
    for seconds, event in events:
        before = lines[-1][0] if lines else None
        lines.append((next_entry(before, event.body(), BEGAN + timedelta(seconds=seconds)), event))
    return lines
