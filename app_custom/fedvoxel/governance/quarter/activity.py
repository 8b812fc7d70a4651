"""Which runs went on in a quarter, and what each hospital did in them, as the lines of the server's log say."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fedvoxel.federation.attempts import RunStatus
from fedvoxel.governance.audit_check import Line
from fedvoxel.governance.quarter.period import Quarter
from fedvoxel.records.audit_event import AuditEvent

_GOES_ON = ("started", "resumed")
_ENDS: tuple[RunStatus, ...] = ("finished", "stopped_early", "failed", "aborted")


@dataclass
class RunActivity:
    """Is one run, as it stood at the end of the quarter.

    Attributes:
        run_key: Its key; another run may have had it before.
        began: When it began, perhaps before the quarter.
        jobs: The FLARE jobs of the attempts at it.
        rounds: Rounds that were committed in the quarter.
        status: How it ended; "unfinished" where it had not.
        ended: When it did; None where it had not, or in an earlier quarter.
        outcome: The hash of its outcome's file, where it ended in the quarter.
        in_quarter: Whether anything of it happened in the quarter.
    """

    run_key: str
    began: datetime
    jobs: list[str] = field(default_factory=list)
    rounds: int = 0
    status: RunStatus = "unfinished"
    ended: datetime | None = None
    outcome: str | None = None
    in_quarter: bool = False


@dataclass
class HospitalActivity:
    """Is what one hospital did in the quarter.

    Attributes:
        updates: Updates of its that were taken.
        missing: Rounds in which none came.
        refused: Updates of its that were refused.
        runs: The keys of the runs in which updates of its were taken.
    """

    updates: int = 0
    missing: int = 0
    refused: int = 0
    runs: set[str] = field(default_factory=set)


def runs_in(lines: Iterable[Line], quarter: Quarter) -> list[RunActivity]:
    """Returns the runs of which anything happened in a quarter, in the order in which they began."""
    runs: list[RunActivity] = []
    newest: dict[str, RunActivity] = {}
    for at, event in _before(lines, quarter):
        if event.kind not in ("run", "round") or not event.run_key:
            continue
        if event.run_key not in newest or _is_another(newest[event.run_key], event):
            newest[event.run_key] = RunActivity(event.run_key, at)
            runs.append(newest[event.run_key])
        _take(newest[event.run_key], at, event, quarter.has(at))
    return [run for run in runs if run.in_quarter]


def hospitals_in(lines: Iterable[Line], quarter: Quarter) -> dict[str, HospitalActivity]:
    """Returns what each hospital did in a quarter, by its name; of one that was not asked for anything, nothing."""
    found: dict[str, HospitalActivity] = {}
    for at, event in _before(lines, quarter):
        if event.kind != "answer" or event.task != "train" or not event.site or not quarter.has(at):
            continue
        hospital = found.setdefault(event.site, HospitalActivity())
        if event.outcome == "done" and "update" in event.hashes:
            hospital.updates += 1
            hospital.runs.add(event.run_key)
        elif event.outcome == "missing":
            hospital.missing += 1
        elif event.outcome == "refused":
            hospital.refused += 1
    return dict(sorted(found.items()))


def submitters(lines: Sequence[Line]) -> dict[str, str]:
    """Returns who submitted each job of a run, by FLARE's id of the job."""
    taken = (event for _, event in lines if event.kind == "job" and event.outcome == "done")
    return {event.job_id: event.actor.name for event in taken if event.actor}


def _before(lines: Iterable[Line], quarter: Quarter) -> Iterator[tuple[datetime, AuditEvent]]:
    for entry, event in lines:
        at = datetime.fromisoformat(entry.at)
        if at < quarter.until:
            yield at, event


def _is_another(run: RunActivity, event: AuditEvent) -> bool:
    """Says whether an event is of another run with the same key: it begins one, or ends a job of none that is known."""
    if event.kind != "run" or event.outcome in ("resumed", "unfinished"):
        return False
    return event.outcome == "started" or (run.status in _ENDS and event.job_id not in run.jobs)


def _take(run: RunActivity, at: datetime, event: AuditEvent, in_quarter: bool) -> None:
    run.in_quarter |= in_quarter
    if event.job_id and event.job_id not in run.jobs:
        run.jobs.append(event.job_id)
    if event.kind == "round":
        run.rounds += in_quarter and event.outcome == "done"
        return
    going = event.outcome in _GOES_ON
    run.status = "unfinished" if going else _status(event)
    run.ended = None if going or not in_quarter else at
    run.outcome = None if run.ended is None else event.hashes.get("outcome")


def _status(event: AuditEvent) -> RunStatus:
    return next((each for each in _ENDS if each == event.outcome), "unfinished")
