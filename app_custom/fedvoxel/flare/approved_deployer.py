"""Keeps the hospital's rule of approval where FLARE puts a job's content in place, before anything of it is started.

FLARE tells a component at AUTHORIZE_COMMAND_CHECK that a job is coming, but not what is in it. The site's deployer gets
the very bytes that are then unpacked and run. A job that is declined here goes on without this site, if its min_clients
allow; what came is kept, for a person to look at.
"""

import logging
import tempfile
from pathlib import Path
from typing import Any

from nvflare.apis.fl_context import FLContext
from nvflare.apis.workspace import Workspace
from nvflare.fuel.utils.zip_utils import unzip_all_from_bytes
from nvflare.private.fed.utils.app_deployer import AppDeployer

from fedvoxel.errors import FedVoxelError, JobError
from fedvoxel.flare.arrived_job import ArrivedJob, arrived_job
from fedvoxel.flare.taken_job import TakenJob, note_taken
from fedvoxel.governance.approval_gate import reason_to_decline
from fedvoxel.governance.approval_policy import load_approval_policy
from fedvoxel.governance.approval_record import Arrival
from fedvoxel.governance.approvals import Approvals
from fedvoxel.governance.kit import Kit, open_kit
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import Actor, AuditEvent, HashName

_UNUSABLE = "this site cannot tell whether the job is approved; its own log says why"
"""What leaves where the site's own files are not in order: the reason itself names them."""

_logger = logging.getLogger(__name__)


class ApprovedDeployer(AppDeployer):
    """Is FLARE's deployer behind the hospital's approval; a component of the site's own `local/resources.json`."""

    def deploy(
        self,
        workspace: Workspace,
        job_id: str,
        job_meta: dict[str, Any],
        app_name: str,
        app_data: bytes,
        fl_ctx: FLContext,
    ) -> str:
        """Puts a job's content in place, or returns why not."""
        try:
            kit = open_kit(Path(workspace.get_root_dir()))
            arrived, reason = _judged(kit, job_id, job_meta, app_data)
        except (FedVoxelError, OSError) as problem:
            _logger.error("event=job_not_judged job=%s reason=%s", job_id, problem)
            return _UNUSABLE
        if arrived is None or reason:
            _logger.warning("event=job_declined job=%s reason=%s", job_id, reason)
            return reason
        refused = super().deploy(workspace, job_id, job_meta, app_name, app_data, fl_ctx) or ""
        if not refused:
            _note(Path(workspace.get_run_dir(job_id)), arrived)
        return refused


def _note(run_folder: Path, arrived: ArrivedJob) -> None:
    try:
        note_taken(run_folder, TakenJob(content=arrived.submission.sha256, submitter=arrived.submitter))
    except OSError as problem:
        # The job runs all the same: whenever something leaves, it is judged by its signature then.
        _logger.warning("event=job_not_noted job=%s reason=%s", run_folder.name, problem.strerror)


def _judged(kit: Kit, job_id: str, meta: dict[str, Any], app_data: bytes) -> tuple[ArrivedJob | None, str]:
    """Returns what came, and why it is declined, once that is on record and what came is kept; empty where it is not.

    A job whose signature does not count, or that nobody could look at, is declined without more of it.
    """
    policy = load_approval_policy(kit.local)
    with tempfile.TemporaryDirectory(prefix="fedvoxel-arrived-") as scratch:
        # FLARE has unpacked and checked these bytes once before it asks, and does both again after.
        unzip_all_from_bytes(app_data, scratch)
        try:
            arrived = arrived_job(kit, meta, Path(scratch))
            reason = reason_to_decline(kit, policy, arrived.submission, arrived.submitter or None)
        except JobError as problem:
            return None, _recorded(AuditEvent(kind="job", outcome="refused", job_id=job_id, reason=str(problem)), kit)
    if reason is None:
        return arrived, ""
    found = arrived.submission
    arrival = Arrival(found.sha256, found.name, job_id, arrived.submitter, arrived.organisation)
    if not Approvals(kit).keep_arrival(arrival, found):
        reason += "; too many jobs wait, so that it was not kept there"
    actor = (
        Actor(name=arrived.submitter, role="person", organisation=arrived.organisation) if arrived.submitter else None
    )
    hashes: dict[HashName, str] = {"job": found.sha256}
    return arrived, _recorded(
        AuditEvent(kind="job", outcome="refused", actor=actor, job_id=job_id, reason=reason, hashes=hashes), kit
    )


def _recorded(event: AuditEvent, kit: Kit) -> str:
    AuditLog(kit.state).record([event.model_copy(update={"site": kit.name})])
    return event.reason
