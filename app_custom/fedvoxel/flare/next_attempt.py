"""The next attempt at a run: its promise to whoever watches the last one, its wait for the run's sites, its job."""

import time
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Any

from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import Job, JobMetaKey

from fedvoxel.flare.interrupted_runs import LOST_SITES, ORPHANED, Metas
from fedvoxel.flare.messages import RESUME_WAITS, RESUMED_AS

_OF_ONE_JOB = (
    JobMetaKey.JOB_ID,
    JobMetaKey.STATUS,
    JobMetaKey.SUBMIT_TIME,
    JobMetaKey.SUBMIT_TIME_ISO,
    JobMetaKey.START_TIME,
    JobMetaKey.DURATION,
    JobMetaKey.RESULT_LOCATION,
    JobMetaKey.JOB_DEPLOY_DETAIL,
    JobMetaKey.SCHEDULE_COUNT,
    JobMetaKey.LAST_SCHEDULE_TIME,
    JobMetaKey.SCHEDULE_HISTORY,
    JobMetaKey.JOB_CLIENTS,
)
_SITES_WAIT_S = 60.0
"""How long a run's next attempt waits until all sites of the run are connected again; then it takes who is there."""

FOR_A_LOOK = "for the server to look at the run"
"""What a promised attempt waits for first."""


def promises(metas: Metas, goes_on: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """Returns what is to be written of jobs, for whoever watches them, before anything is done that takes its time.

    Args:
        metas: What FLARE keeps of all jobs.
        goes_on: Those with whose runs the server is to go on.
    """
    follow = {str(meta.get(JobMetaKey.CLONED_FROM.value)): job_id for job_id, meta in metas.items()}
    said: dict[str, dict[str, str | None]] = {job: {RESUMED_AS: "", RESUME_WAITS: FOR_A_LOOK} for job in goes_on}
    for job in {job for job, meta in metas.items() if meta.get(RESUMED_AS) == ""}:
        # Whoever watches it would wait for ever: its journal is damaged, say, or a person has gone on with the run.
        if said.pop(job, None) is None:
            said[job] = {RESUMED_AS: follow.get(job)}
    return said


def submit_again(jobs: Any, job: Job, fl_ctx: FLContext) -> str:
    """Submits a copy of a stored job, with the signatures of whoever submitted it; returns the copy's id.

    Args:
        jobs: FLARE's job manager, which keeps from then on which job goes on with this one.
        job: The job.
        fl_ctx: A context of the server's.

    Raises:
        StorageException: The copy cannot be stored.
    """
    dropped = {key.value for key in _OF_ONE_JOB} | {RESUMED_AS, RESUME_WAITS, ORPHANED, LOST_SITES}
    meta = {str(key): value for key, value in job.meta.items() if key not in dropped}
    made = jobs.clone(job.job_id, meta | {JobMetaKey.CLONED_FROM.value: job.job_id}, fl_ctx)
    new = str(made[JobMetaKey.JOB_ID.value])
    jobs.update_meta(job.job_id, {RESUMED_AS: new}, fl_ctx)
    return new


@dataclass(frozen=True)
class Needed:
    """Says which sites a run's next attempt is to have.

    Attributes:
        sites: All of the run that may take part; empty where the run has not got so far as to know them.
        least: How many of them its rounds need.
    """

    sites: Set[str] = frozenset()
    least: int = 1

    def without(self, out: Set[str]) -> "Needed":
        """Returns this without sites that are shut out; with too few left, the run is to go on and say so."""
        left = self.sites - out
        return Needed(left, max(1, min(self.least, len(left))))


class SitesWait:
    """Knows of some jobs, which wait all at the same time, whether that was long enough."""

    def __init__(self) -> None:
        """Knows of none yet."""
        self._ends: dict[str, float] = {}
        self._seen: Set[str] = frozenset()
        self._since = 0.0

    def begin(self, jobs: Iterable[str]) -> None:
        """Begins to wait with these jobs; those that do already go on, and no others."""
        now = time.monotonic()
        self._seen, self._ends = frozenset(), {job: self._ends.get(job, now + _SITES_WAIT_S) for job in jobs}

    def is_over(self, job_id: str, needed: Needed, connected: Set[str]) -> bool:
        """Says whether a job's sites are all connected, or those that are not were waited for long enough.

        With fewer of them than its rounds need, nothing could be done, however long that lasts.

        Args:
            job_id: The job.
            needed: Whom it needs; where that is nobody in particular, at least one has to be connected, and no more
                have come lately.
            connected: Who is connected now.
        """
        sites = needed.sites
        now = time.monotonic()
        if connected != self._seen:
            self._seen, self._since = connected, now
        if len(sites & connected if sites else connected) < needed.least:
            return False
        if now >= self._ends[job_id]:
            return True
        if sites:
            return sites <= connected
        return now - self._since > _SITES_WAIT_S / 6
