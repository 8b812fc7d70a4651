"""Turns the lines that the server's audit log has of a run into spans: the run, its attempts, and their rounds.

Pure: it reads no clock and no file. The log says when a thing was over; a round begins when the one before was
committed, or with its attempt. What each site's answer became is an event of its round, at the time of the log's line.
Names of staff, who are in the log too, are in no span.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fedvoxel.errors import JobError
from fedvoxel.governance.audit_check import Line
from fedvoxel.records.audit_event import AuditEvent

_ENDS = ("finished", "stopped_early", "failed", "aborted")
_BEGINS = ("started", "resumed")
_BAD = ("failed", "aborted")
_WITHOUT_WORD = "the log has no end of it: it was cut off, or ended so that the run goes on in the next attempt"

Words = Mapping[str, str | int]


@dataclass(frozen=True)
class Happening:
    """Is one event in a span: what a site's answer became, or a model that was given away."""

    at: datetime
    name: str
    words: Words


@dataclass(frozen=True)
class Span:
    """Is one piece of a run that is over.

    Attributes:
        id: 16 hexadecimal digits, the same whenever the log is read.
        parent: The span that it is part of; empty for the run itself.
        name: What a person reads.
        begins: When it began.
        ends: When it was over.
        words: Attributes; each name begins with `fedvoxel.`.
        trouble: Why it did not end well; None where it did.
        happenings: What happened in it.
    """

    id: str
    parent: str
    name: str
    begins: datetime
    ends: datetime
    words: Words
    trouble: str | None = None
    happenings: tuple[Happening, ...] = ()


@dataclass(frozen=True)
class RunTrace:
    """Is what can be told of a run.

    Attributes:
        run_key: Its key.
        id: 32 hexadecimal digits that no other run has, also none with the same key.
        spans: What is over, in the order of their ends.
        ended: Whether the run is.
    """

    run_key: str
    id: str
    spans: tuple[Span, ...]
    ended: bool


@dataclass
class _Attempt:
    job_id: str
    over: bool = False
    lines: list[tuple[datetime, AuditEvent]] = field(default_factory=list)

    @property
    def begins(self) -> datetime:
        return self.lines[0][0]

    @property
    def ends(self) -> datetime:
        """Is the time of its last line that was not written by a later attempt."""
        return max(at for at, event in self.lines if not _is_late(event))

    @property
    def end(self) -> AuditEvent | None:
        return next((event for _, event in self.lines if event.kind == "run" and event.outcome not in _BEGINS), None)


def trace_of(lines: Sequence[Line], run_key: str) -> RunTrace:
    """Returns what a server's log says of the last run with a key.

    Args:
        lines: The log.
        run_key: The key.

    Raises:
        JobError: The log has no such run.
    """
    told = [(datetime.fromisoformat(entry.at), event) for entry, event in lines if event.run_key == run_key]
    first = max((index for index, (_, event) in enumerate(told) if _is_start(event)), default=None)
    if first is None:
        keys = sorted({event.run_key for _, event in lines if _is_start(event)})
        raise JobError(f"the server's log has no run {run_key!r}; it has {', '.join(keys) or 'none'}")
    attempts = _attempts(told[first:])
    identity = _hash(f"{run_key} {attempts[0].begins.isoformat()} {attempts[0].job_id}")
    root, last = _hash(f"{identity} run")[:16], attempts[-1].end
    ended = last is not None and last.outcome in _ENDS
    spans = [span for number, attempt in enumerate(attempts, 1) for span in _attempt_spans(root, number, attempt)]
    if ended:
        spans.append(_whole(root, run_key, attempts))
    return RunTrace(run_key, identity[:32], tuple(sorted(spans, key=lambda span: span.ends)), ended)


def _attempts(told: Sequence[tuple[datetime, AuditEvent]]) -> list[_Attempt]:
    """Returns a run's attempts; each but the last is over, also where it was cut off without a word."""
    begun = [event.job_id for _, event in told if event.kind == "run" and event.outcome in _BEGINS]
    attempts = {job_id: _Attempt(job_id, over=job_id != begun[-1]) for job_id in begun}
    for at, event in told:
        if event.job_id in attempts and event.kind in ("run", "answer", "round", "release"):
            attempts[event.job_id].lines.append((at, event))
    attempts[begun[-1]].over = attempts[begun[-1]].end is not None
    return list(attempts.values())


def _whole(root: str, run_key: str, attempts: Sequence[_Attempt]) -> Span:
    end = attempts[-1].end
    words: dict[str, str | int] = {"fedvoxel.run_key": run_key, "fedvoxel.attempts": len(attempts)}
    words["fedvoxel.rounds_committed"] = sum(event.kind == "round" for one in attempts for _, event in one.lines)
    if end:
        words["fedvoxel.status"] = end.outcome
    return Span(root, "", f"run {run_key}", attempts[0].begins, attempts[-1].ends, words, _trouble(end))


def _attempt_spans(root: str, number: int, attempt: _Attempt) -> Iterator[Span]:
    own = _hash(f"{root} {attempt.job_id}")[:16]
    yield from _round_spans(own, attempt)
    if not attempt.over:
        return
    end, words = attempt.end, {"fedvoxel.job_id": attempt.job_id}
    if end:
        words["fedvoxel.status"] = end.outcome
    reason = end.reason if end else _WITHOUT_WORD
    if reason:
        words["fedvoxel.reason"] = reason
    beside = tuple(_happenings(attempt, None))
    yield Span(own, root, f"attempt {number}", attempt.begins, attempt.ends, words, _trouble(end), beside)


def _round_spans(parent: str, attempt: _Attempt) -> Iterator[Span]:
    begins = attempt.begins
    for index in sorted({event.round for _, event in attempt.lines if event.round is not None}):
        lines = [(at, event) for at, event in attempt.lines if event.round == index]
        committed = any(event.kind == "round" for _, event in lines)
        if not committed and not attempt.over:
            return
        ends = max((at for at, event in lines if not _is_late(event)), default=begins)
        happenings, trouble = tuple(_happenings(attempt, index)), None if committed else "it was not committed"
        own = _hash(f"{parent} {index}")[:16]
        yield Span(own, parent, f"round {index}", begins, ends, {"fedvoxel.round": index}, trouble, happenings)
        begins = ends


def _happenings(attempt: _Attempt, index: int | None) -> Iterator[Happening]:
    for at, event in attempt.lines:
        if event.round != index or event.kind not in ("answer", "release"):
            continue
        words: dict[str, str | int] = {"fedvoxel.outcome": event.outcome}
        for name in ("site", "task", "reason", "size_bytes"):
            value = getattr(event, name)
            if value not in ("", None):
                words[f"fedvoxel.{name}"] = value
        yield Happening(at, event.kind, words)


def _is_start(event: AuditEvent) -> bool:
    return event.kind == "run" and event.outcome == "started"


def _is_late(event: AuditEvent) -> bool:
    """Says whether a round was recorded when the run went on, after its job had been cut off."""
    return event.kind == "round" and bool(event.reason)


def _trouble(end: AuditEvent | None) -> str | None:
    return (end.reason or end.outcome) if end and end.outcome in _BAD else None


def _hash(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()
