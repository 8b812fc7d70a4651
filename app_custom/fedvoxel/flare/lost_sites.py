"""Which jobs FLARE has ended since their sites could not be reached: a cut line is no reason to end a run.

FLARE aborts a job when fewer of its sites are left than the job's min_clients: none, say, with the server's own line
cut for half a minute. That looks like any other abort in what it keeps of the job. Why it holds a site for dead, it
tells the job's process only.
"""

from collections.abc import Mapping
from functools import wraps
from typing import Any

from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey

from fedvoxel.flare.interrupted_runs import DIED, LOST_SITES

_UNREACHED = "client dead"
"""FLARE's reason where it has not heard of a site for long; there are others for a site that is there."""


class LostSites:
    """Listens to why FLARE holds sites for dead."""

    def __init__(self) -> None:
        """Knows of no job."""
        self._jobs: set[str] = set()

    def listen(self, engine: Any) -> None:
        """Begins to listen; `engine` is that of the server's parent process."""
        notify = engine.notify_dead_job

        @wraps(notify)
        def noted(job_id: str, client_name: str, reason: str) -> Any:
            if reason == _UNREACHED:
                self._jobs.add(job_id)
            return notify(job_id, client_name, reason)

        engine.notify_dead_job = noted

    def mark(self, jobs: Any, metas: Mapping[str, dict[str, Any]], fl_ctx: FLContext) -> None:
        """Has FLARE keep of those jobs that it ended by itself that they had lost sites; `metas` say it then, too.

        Raises:
            StorageException: It cannot be kept.
            OSError: The same.
        """
        for job_id in [job for job in self._jobs if metas.get(job, {}).get(JobMetaKey.STATUS.value) in DIED]:
            jobs.update_meta(job_id, {LOST_SITES: True}, fl_ctx)
            metas[job_id][LOST_SITES] = True
            self._jobs.discard(job_id)
