"""Keeps the hospital's rule of approval where FLARE puts a job's content in place, before anything of it is started.

FLARE tells a component at AUTHORIZE_COMMAND_CHECK that a job is coming, but not what is in it. The site's deployer gets
the very bytes that are then unpacked and run. A job that is declined here goes on without this site, if its min_clients
allow; what came is kept, for a person to look at.
"""

import logging
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext
from nvflare.apis.fl_exception import UnsafeComponentError
from nvflare.apis.workspace import Workspace
from nvflare.fuel.utils.zip_utils import unzip_all_from_bytes
from nvflare.private.fed.client.client_req_processors import ClientRequestProcessors
from nvflare.private.fed.client.training_cmds import DeployProcessor
from nvflare.private.fed.utils.app_deployer import AppDeployer

from fedvoxel.errors import FedVoxelError, JobError
from fedvoxel.flare.arrived_job import ArrivedJob, arrived_job
from fedvoxel.flare.job_ids import for_jobs_only
from fedvoxel.flare.refused_deployment import record_refused, with_record
from fedvoxel.flare.state_folder import state_folder
from fedvoxel.flare.taken_job import TakenJob, note_taken
from fedvoxel.governance.approval_gate import reason_to_decline
from fedvoxel.governance.approval_policy import load_approval_policy
from fedvoxel.governance.approval_record import Arrival
from fedvoxel.governance.approvals import Approvals
from fedvoxel.governance.audited_files import job_hash, policy_hash
from fedvoxel.governance.incidents.switches import is_halted
from fedvoxel.governance.kit import Kit, open_kit
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import Actor, AuditEvent, HashName

_UNUSABLE = "this site cannot tell whether the job is approved; its own log says why"
"""What leaves where the site's own files are not in order: the reason itself names them."""
_HALTED = "all jobs are stopped at this site for an incident"
_NOT_PLACED = "FLARE did not put it in place; the site's own log says why"

_logger = logging.getLogger(__name__)


class ApprovedDeployer(AppDeployer, FLComponent):
    """Is FLARE's deployer behind the hospital's approval; a component of the site's own `local/resources.json`."""

    def __init__(self) -> None:
        """Takes no arguments, so that nobody can tell it to look away."""
        super().__init__()
        self._recorded: set[str] = set()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Sees to it from the start that what FLARE refuses before it asks here is on record as well.

        And that the server asks for nothing in a folder of the kit that is no job's.
        """
        if event_type != EventType.SYSTEM_BOOTSTRAP:
            return
        tell = partial(record_refused, state_folder(fl_ctx), str(fl_ctx.get_identity_name() or ""))
        takers = [one for one in ClientRequestProcessors.request_processors if isinstance(one, DeployProcessor)]
        if not takers:
            raise UnsafeComponentError("expected FLARE's DeployProcessor at this site, found none: not this FLARE")
        for taker in takers:
            taker.process = with_record(taker.process, self._recorded, tell)
        for one in ClientRequestProcessors.request_processors:
            one.process = for_jobs_only(one.process, tell)

    def deploy(
        self,
        workspace: Workspace,
        job_id: str,
        job_meta: dict[str, Any],
        app_name: str,
        app_data: bytes,
        fl_ctx: FLContext,
    ) -> str:
        """Puts a job's content in place, or returns why not; either way the site's audit log has it."""
        root = Path(workspace.get_root_dir())
        try:
            kit = open_kit(root)
            arrived, event = _judged(kit, job_id, job_meta, app_data)
            said = event.reason or self._placed(workspace, job_id, job_meta, app_name, app_data, fl_ctx)
            if said and not event.reason:  # FLARE's own words may name files.
                event = event.model_copy(update={"outcome": "refused", "reason": _NOT_PLACED})
            AuditLog(kit.state).record([event])
            self._recorded.add(job_id)
        except (FedVoxelError, OSError) as problem:
            _logger.error("event=job_not_judged job=%s reason=%s", job_id, problem)
            # FLARE starts what lies there when it is asked to, whatever was said here.
            shutil.rmtree(workspace.get_run_dir(job_id), ignore_errors=True)
            record_refused(root / "state", workspace.site_name, job_id, _UNUSABLE)
            self._recorded.add(job_id)
            return _UNUSABLE
        if said:
            _logger.warning("event=job_declined job=%s reason=%s", job_id, said)
        elif arrived:
            _note(Path(workspace.get_run_dir(job_id)), arrived)
        return said

    def _placed(self, workspace: Workspace, job_id: str, *app: Any) -> str:
        """Has FLARE put the content in place; returns why it does not, in words that may leave the site."""
        try:
            return super().deploy(workspace, job_id, *app) or ""
        except Exception as problem:  # FLARE raises no other class, with the file's name in it.
            _logger.error("event=job_not_placed job=%s error=%s", job_id, type(problem).__name__)
            shutil.rmtree(workspace.get_run_dir(job_id), ignore_errors=True)
            return _NOT_PLACED


def _note(run_folder: Path, arrived: ArrivedJob) -> None:
    try:
        note_taken(run_folder, TakenJob(content=arrived.submission.sha256, submitter=arrived.submitter))
    except OSError as problem:
        # The job runs all the same: whenever something leaves, it is judged by its signature then.
        _logger.warning("event=job_not_noted job=%s reason=%s", run_folder.name, problem.strerror)


def _judged(kit: Kit, job_id: str, meta: dict[str, Any], app_data: bytes) -> tuple[ArrivedJob | None, AuditEvent]:
    """Returns what came, and what is to go on record: that it is taken, or why not, once what came is kept.

    A job whose signature does not count, or that nobody could look at, is declined without more of it.
    """
    event = AuditEvent(kind="job", outcome="done", job_id=job_id, site=kit.name)
    if is_halted(kit.state):
        return None, event.model_copy(update={"outcome": "refused", "reason": _HALTED})
    with tempfile.TemporaryDirectory(prefix="fedvoxel-arrived-") as scratch:
        policy = load_approval_policy(kit.local)
        # FLARE has unpacked and checked these bytes once before it asks, and does both again after.
        unzip_all_from_bytes(app_data, scratch)
        app = Path(scratch)
        try:
            arrived = arrived_job(kit, meta, app)
            reason = reason_to_decline(kit, policy, arrived.submission, arrived.submitter or None) or ""
        except JobError as problem:
            return None, event.model_copy(update={"outcome": "refused", "reason": str(problem)})
        hashes: dict[HashName, str] = {
            "content": arrived.submission.sha256,
            "job": job_hash(app),
            "policy": policy_hash(kit.local),
        }
    if reason:
        reason = _kept(kit, job_id, arrived, reason)
    said = {"outcome": "refused" if reason else "done", "actor": _actor(arrived), "reason": reason, "hashes": hashes}
    return arrived, event.model_copy(update=said)


def _kept(kit: Kit, job_id: str, arrived: ArrivedJob, reason: str) -> str:
    """Keeps what is declined for a person to look at, and returns why it is, with a word where there was no room."""
    found = arrived.submission
    arrival = Arrival(found.sha256, found.name, job_id, arrived.submitter, arrived.organisation)
    if Approvals(kit).keep_arrival(arrival, found):
        return reason
    return f"{reason}; too many jobs wait, so that it was not kept there"


def _actor(arrived: ArrivedJob) -> Actor | None:
    if not arrived.submitter:
        return None
    return Actor(name=arrived.submitter, role="person", organisation=arrived.organisation)
