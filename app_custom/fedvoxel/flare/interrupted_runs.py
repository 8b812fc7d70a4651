"""Which runs were interrupted, by their journals and FLARE's word of their jobs; how one ends that can't go on."""

import io
import json
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nvflare.apis.job_def import JobMetaKey, RunStatus

from fedvoxel.errors import ConfigError, DiskFullError, JobError
from fedvoxel.federation.attempts import MOST_WITHOUT_PROGRESS, is_stuck
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, write_outcome
from fedvoxel.flare.round_journal import JournalEntry, RoundJournal
from fedvoxel.flare.run_journal import JOURNAL, outcome_of, readable_outcome
from fedvoxel.governance.job_folder import SERVER_FILE

Metas = Mapping[str, Mapping[str, Any]]
"""What FLARE keeps of each job, by its id."""

DIED = (RunStatus.FINISHED_ABNORMAL.value, RunStatus.FINISHED_EXECUTION_EXCEPTION.value)
"""FLARE's status of a job under which a process died, or that it ended by itself."""

_FAILED_TO_RUN = RunStatus.FAILED_TO_RUN.value
_NEVER_RAN = (_FAILED_TO_RUN, RunStatus.FINISHED_CANT_SCHEDULE.value)
"""Its status of a job that found its sites away, or lost one while it was started at them."""

ORPHANED = "orphaned"
"""Marks, in what FLARE keeps of a job, that it was said to run when the server started."""

LOST_SITES = "lost_sites"
"""Marks a job of which FLARE could not reach sites, and which it then ended by itself."""

STUCK = f"{MOST_WITHOUT_PROGRESS} attempts in a row were interrupted before another round was committed"
"""Why a run is given up that brings nothing any more."""

_GIVEN_UP = "given up: {}; {} rounds are committed, and submitting the same job again goes on after them"

_GOES_ON = {
    "status": "unfinished",
    "reason": "FLARE has ended the job, since its sites could not be reached; the run goes on once they can be",
}

UNREADABLE = (zipfile.BadZipFile, zlib.error, AttributeError, EOFError, RuntimeError, TypeError, ValueError)
"""What reading a stored job may end with whose bytes have changed."""

_SPARE_BYTES = 64 * 2**20
"""What a job takes on the server's disk besides what its run keeps."""

_TRAINING = "fedvoxel.flare.controller.FedAvgController"


@dataclass(frozen=True)
class InterruptedRun:
    """Is a run that has not ended and that no job goes on with.

    Attributes:
        folder: Its folder in the server's state.
        entry: What its journal says.
        last_job: Its last job: its last attempt, or one that was to be the next and never began.
        unbegun: How many were to be the next and never began.
    """

    folder: Path
    entry: JournalEntry
    last_job: str
    unbegun: int

    @property
    def is_stuck(self) -> bool:
        """Says whether too many attempts in a row have brought nothing."""
        return self.unbegun >= MOST_WITHOUT_PROGRESS or is_stuck(self.entry.attempts, self.entry.committed)


def interrupted_runs(runs: Path, jobs: Metas) -> Iterator[InterruptedRun]:
    """Returns the interrupted runs of a server.

    Args:
        runs: The folder with one folder for each run, in the server's state.
        jobs: All jobs that the server knows.
    """
    follow = {str(meta.get(JobMetaKey.CLONED_FROM.value)): job_id for job_id, meta in jobs.items()}
    for folder, entry in _journals(runs):
        if not entry.attempts or not _is_open(entry, jobs.get(entry.attempts[-1].job_id, {})):
            continue
        last, unbegun = entry.attempts[-1].job_id, 0
        while last in follow:
            last, unbegun = follow[last], unbegun + 1
        status = str(jobs.get(last, {}).get(JobMetaKey.STATUS.value))
        if status in (*DIED, *_NEVER_RAN):
            yield InterruptedRun(folder, entry, last, unbegun)


def begun_jobs(runs: Path) -> set[str]:
    """Returns all jobs that were attempts at runs, however these ended."""
    return {attempt.job_id for _, entry in _journals(runs) for attempt in entry.attempts}


def _journals(runs: Path) -> Iterator[tuple[Path, JournalEntry]]:
    for folder in sorted(runs.glob(f"*/{JOURNAL}")):
        # Whoever begins the run again is told that its journal is damaged.
        with suppress(ConfigError, OSError):
            if entry := RoundJournal(folder).read():
                yield folder.parent, entry


def _is_open(entry: JournalEntry, job: Mapping[str, Any]) -> bool:
    """Says whether a run has not ended.

    Nobody has aborted it where a job aborts itself, since its server dies, or FLARE does, since one of the sites was
    away for the moment in which the job was started there, or since too few sites could be reached.
    """
    by_itself = job.get(ORPHANED) or job.get(LOST_SITES) or job.get(JobMetaKey.STATUS.value) == _FAILED_TO_RUN
    return entry.ended == "unfinished" or (entry.ended == "aborted" and not entry.stopped and bool(by_itself))


def check_room(folder: Path) -> None:
    """Checks that the server's disk has room for a run to go on.

    Args:
        folder: The run's folder in the server's state.

    Raises:
        DiskFullError: It has not.
    """
    free = shutil.disk_usage(folder).free
    journal, others = _sizes(folder / JOURNAL), _sizes(folder)
    # The journal writes anew before it removes, and two more copies of the model are made.
    needed = _SPARE_BYTES + sum(journal) + 2 * max([*journal, *others], default=0)
    if free < needed:
        raise DiskFullError(
            f"the server's disk is too full to go on with the run: {free >> 20} MiB are free, {-(-needed >> 20)} MiB "
            "are needed; make room, and it goes on by itself"
        )


def _sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.glob("*") if path.is_file()]


def give_up(run: InterruptedRun, why: str) -> None:
    """Ends a run that cannot go on as failed, in its journal and its outcome, which say why.

    Raises:
        JobError: A job of the run is running after all, or has since it was looked at.
        ConfigError: The journal is damaged.
        OSError: The files cannot be written.
    """
    journal = RoundJournal(run.folder / JOURNAL)
    with journal.writing():
        if journal.read() != run.entry:
            raise JobError("a job has gone on with the run meanwhile")
        outcome = outcome_of(run.folder, run.entry)
        _fail(outcome, _GIVEN_UP.format(why, run.entry.committed), run.folder)
        journal.write(run.entry.changed(ended="failed"))


def make_ready(run: InterruptedRun) -> None:
    """Checks that a run can go on, and has it be unfinished where FLARE has ended its last job by itself.

    Raises:
        DiskFullError: The server's disk has no room for it.
        JobError: A job of the run is running after all, or has since it was looked at.
        ConfigError: The journal is damaged.
        LockedError: A backup keeps it locked.
        OSError: The files cannot be written.
    """
    check_room(run.folder)
    journal = RoundJournal(run.folder / JOURNAL)
    journal.check_free()
    if run.entry.ended != "aborted":
        return
    with journal.writing():
        if journal.read() != run.entry:
            raise JobError("a job has gone on with the run meanwhile")
        outcome = outcome_of(run.folder, run.entry)
        if outcome and outcome.status == "aborted":
            write_outcome(outcome.model_copy(update=_GOES_ON), run.folder / OUTCOME_FILE)
        journal.write(run.entry.changed(ended="unfinished"))


def fail_damaged(runs: Path) -> None:
    """Ends runs as failed that were to go on and cannot, since their journals are damaged.

    Raises:
        OSError: An outcome cannot be written; those of the other runs are.
    """
    troubles: list[OSError] = []
    for folder in sorted(runs.glob(f"*/{JOURNAL}")):
        # What a run that goes on is writing may look damaged, or go while it is read; that run holds the lock. The lock
        # is not taken before, since a run that begins meanwhile needs it.
        try:
            if _damage(folder):
                with RoundJournal(folder).writing():
                    if damage := _damage(folder):
                        _fail(readable_outcome(folder.parent / OUTCOME_FILE), damage, folder.parent)
        except (JobError, FileNotFoundError):
            continue
        except OSError as trouble:
            troubles.append(trouble)
    if troubles:
        raise troubles[0]


def _damage(folder: Path) -> str:
    """Returns what is wrong with a journal, or looks so while it is written; empty where nothing is."""
    try:
        RoundJournal(folder).read()
    except ConfigError as error:
        return str(error)
    return ""


def _fail(outcome: RunOutcome | None, reason: str, folder: Path) -> None:
    if outcome and outcome.status in ("unfinished", "aborted"):
        ended = {"status": "failed", "reason": reason, "finished": datetime.now(UTC)}
        write_outcome(outcome.model_copy(update=ended), folder / OUTCOME_FILE)


def is_training_job(content: bytes | None) -> bool:
    """Says whether a stored job trains a model, which can be begun again without asking."""
    try:
        with zipfile.ZipFile(io.BytesIO(content or b"")) as stored:
            named = [name for name in stored.namelist() if name.endswith(f"/config/{SERVER_FILE}")]
            read = [json.loads(stored.read(name)) for name in named]
        return any(flow.get("path") == _TRAINING for server in read for flow in server.get("workflows", []))
    except UNREADABLE:
        return False
