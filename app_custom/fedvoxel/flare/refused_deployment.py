"""The jobs that a site does not take and that its deployer cannot put on record: the site's audit log has them too.

FLARE unpacks what came and looks at its signature before it asks the site's deployer. What it refuses there, the
deployer never sees.
"""

import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from nvflare.private.admin_defs import Message, MsgHeader, ReturnCode
from nvflare.private.defs import RequestHeader

from fedvoxel.errors import FedVoxelError
from fedvoxel.flare.messages import one_line
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import AuditEvent

_logger = logging.getLogger(__name__)

Process = Callable[[Message, Any], Message]
"""Is FLARE's `DeployProcessor.process`."""


def record_refused(state: Path, site: str, job_id: str, reason: str) -> None:
    """Records that a job is not taken, if that can be written; it is not taken either way."""
    which, why = one_line(job_id)[:200], one_line(reason)
    try:
        AuditLog(state).record([AuditEvent(kind="job", outcome="refused", site=site, job_id=which, reason=why)])
    except (FedVoxelError, OSError) as problem:
        _logger.error("event=audit_failed job=%s reason=%s", job_id, problem)


def with_record(process: Process, recorded: set[str], tell: Callable[[str, str], None]) -> Process:
    """Returns FLARE's way of taking a job that tells of each which it refuses and the deployer has not recorded.

    Args:
        process: FLARE's own.
        recorded: The jobs that the deployer has recorded; it adds to them.
        tell: Takes a job's id and why it is refused.
    """

    @wraps(process)
    def processed(request: Message, app_ctx: Any) -> Message:
        job_id = str(request.get_header(RequestHeader.JOB_ID) or "")
        why = "FLARE could not take it; the site's own log says why"
        try:
            reply = process(request, app_ctx)
            why = "" if reply.get_header(MsgHeader.RETURN_CODE) == ReturnCode.OK else str(reply.body)
            return reply
        finally:
            if why and job_id not in recorded:
                tell(job_id, why)
            recorded.discard(job_id)

    return processed
