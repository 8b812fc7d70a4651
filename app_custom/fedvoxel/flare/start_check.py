"""Holds the signatures of a stored job against the server's roots and revocation list before the job is started.

FLARE looks at them while it deploys a job, and knows of no revocation: a job that a thief has queued would start after
the theft was noticed, and an interrupted run would be started again and again with a certificate that no site takes any
more, and end without a word of that. Only the server's own files are gone by, which have the newest list.
"""

import logging
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import FLContextKey, SystemComponents
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import Job, JobMetaKey, RunStatus, job_from_meta
from nvflare.apis.storage import StorageException
from nvflare.fuel.utils.zip_utils import unzip_all_from_bytes

from fedvoxel.errors import ConsortiumError, FedVoxelError, JobError
from fedvoxel.flare.interrupted_runs import UNREADABLE
from fedvoxel.flare.job_signer import signer_of
from fedvoxel.flare.state_folder import startup_folder, state_folder
from fedvoxel.governance.incidents.switches import is_halted
from fedvoxel.governance.watched_list import WatchedList
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import AuditEvent

_HELD_BACK = "the server cannot look at who signed the job; its log says why"
_NOT_ENDED = "the server has not ended yet what ran before it was started or put back; its log says why"

_HALTED = "all jobs are stopped at the server for an incident"

_logger = logging.getLogger(__name__)


def let_start(fl_ctx: FLContext) -> bool:
    """Has FLARE not start the job that it asks about in `fl_ctx`, where its signature does not count, and ends that.

    Args:
        fl_ctx: That of the event BEFORE_CHECK_CLIENT_RESOURCES.

    Returns:
        Whether the job was left as it is. What prevents the look holds it back, and FLARE asks again later.
    """
    if is_halted(state_folder(fl_ctx)):
        _hold(fl_ctx, _HALTED)
        return True
    before = fl_ctx.get_prop(FLContextKey.JOB_BLOCK_REASON)
    # FLARE starts a job although a component has failed: it is held back until it was looked at.
    _block(fl_ctx, _HELD_BACK)
    jobs = fl_ctx.get_engine().get_component(SystemComponents.JOB_MANAGER)
    # Which job FLARE calls the current one, another thread of it may change meanwhile.
    job = job_from_meta(fl_ctx.get_prop(FLContextKey.JOB_META))
    try:
        reason = why_not(jobs, job, fl_ctx)
    except ConsortiumError as problem:
        _hold(fl_ctx, str(problem))
        _logger.error("event=job_held_back job=%s reason=%s", job.job_id, problem)
        return True
    _block(fl_ctx, reason or before)
    if reason:
        jobs.update_meta(job.job_id, {JobMetaKey.JOB_DEPLOY_DETAIL.value: [f"server: {reason}"]}, fl_ctx)
        jobs.set_status(job.job_id, RunStatus.FAILED_TO_RUN, fl_ctx)
    return not reason


def hold_back(fl_ctx: FLContext) -> None:
    """Has FLARE not start the job that it asks about, as long as jobs of before the server's start have not ended."""
    _hold(fl_ctx, _NOT_ENDED)


def why_not(jobs: Any, job: Job, fl_ctx: FLContext) -> str | None:
    """Returns why a stored job may not be started, once that is in the server's audit; None where it may.

    Raises:
        ConsortiumError: The server's root or its revocation list cannot be relied on.
        StorageException: The job is not there any more.
        OSError: There is no room to unpack it.
    """
    startup, state = startup_folder(fl_ctx), state_folder(fl_ctx)
    lists = WatchedList(startup, state).lists_now(datetime.now(UTC))
    try:
        for app in job.deploy_map or {}:
            with tempfile.TemporaryDirectory(prefix="fedvoxel-stored-") as scratch:
                _unpack(jobs, job, app, Path(scratch), fl_ctx)
                signer_of(Path(scratch), startup / "rootCA.pem", lists, datetime.now(UTC))
    except JobError as problem:
        _logger.warning("event=job_refused job=%s reason=%s", job.job_id, problem)
        _record(AuditLog(state), AuditEvent(kind="job", outcome="refused", job_id=job.job_id, reason=str(problem)))
        return str(problem)
    return None


def _unpack(jobs: Any, job: Job, app: str, folder: Path, fl_ctx: FLContext) -> None:
    if jobs.get_content(job.meta, fl_ctx) is None:
        raise StorageException(f"job {job.job_id} is there no more, or cannot be read just now")
    try:
        unzip_all_from_bytes(jobs.get_app(job, app, fl_ctx), str(folder))
    except (*UNREADABLE, KeyError):
        raise JobError("what the server has stored of the job cannot be read any more") from None


def _hold(fl_ctx: FLContext, reason: str) -> None:
    """Blocks a job for as long as that takes: FLARE ends one at the tenth try, and asks ever more rarely until then."""
    meta = fl_ctx.get_prop(FLContextKey.JOB_META)
    meta[JobMetaKey.SCHEDULE_COUNT.value] = 0
    meta[JobMetaKey.SCHEDULE_HISTORY.value] = meta.get(JobMetaKey.SCHEDULE_HISTORY.value, [])[-1:]
    _block(fl_ctx, reason)


def _block(fl_ctx: FLContext, reason: str | None) -> None:
    fl_ctx.set_prop(FLContextKey.JOB_BLOCK_REASON, reason, private=True, sticky=False)


def _record(log: AuditLog, event: AuditEvent) -> None:
    try:
        log.record([event])
    except FedVoxelError as problem:
        # It is refused all the same.
        _logger.error("event=audit_failed reason=%s", problem)
