"""Whether a running job is still what the hospital's people approved, looked at in the job's own process."""

import shutil
import tempfile
from pathlib import Path

from nvflare.apis.fl_context import FLContext

from fedvoxel.config import read_json
from fedvoxel.errors import ConfigError
from fedvoxel.flare.arrived_job import arrived_job
from fedvoxel.flare.state_folder import workspace_of
from fedvoxel.flare.taken_job import signed_by
from fedvoxel.governance.approval_gate import reason_to_decline
from fedvoxel.governance.approval_policy import load_approval_policy
from fedvoxel.governance.approvals import has_record
from fedvoxel.governance.kit import open_kit
from fedvoxel.governance.submission import submission_of


def check_still_approved(fl_ctx: FLContext) -> None:
    """Refuses a job whose content was changed after it was put in place, or whose approval was taken back.

    Who submitted it is known from then: that this person's certificate ends meanwhile, or its root is dropped, stops no
    job. Approvals are looked at anew: while none counts any more, since the root of those who gave them was dropped, or
    while the revocation list is out of date, a job that needs them lets nothing out.

    Raises:
        ConfigError: It is not approved as it lies there, or the hospital's rule cannot be read.
        JobError: Its signature is not of this content, or its settings cannot be read.
        LedgerError: The record of approvals cannot be trusted.
        ConsortiumError: The kit's root or revocation list cannot be used.
    """
    workspace = workspace_of(fl_ctx)
    local = Path(workspace.get_site_config_dir()).resolve()
    policy = load_approval_policy(local)
    if not policy.most and policy.code == "never" and not has_record(local.parent / "state"):
        return
    kit, job_id = open_kit(local.parent), fl_ctx.get_job_id()
    meta = read_json(Path(workspace.get_job_meta_path(job_id)), "the job's meta")
    with tempfile.TemporaryDirectory(prefix="fedvoxel-approved-") as scratch:
        # What Python has compiled meanwhile came with nobody's signature.
        app = shutil.copytree(
            workspace.get_app_dir(job_id), Path(scratch) / "app", ignore=shutil.ignore_patterns("__pycache__")
        )
        found = submission_of(meta, app)
        submitter = signed_by(Path(workspace.get_run_dir(job_id)), found.sha256)
        if submitter is None:
            submitter = arrived_job(kit, meta, app).submitter
    reason = reason_to_decline(kit, policy, found, submitter or None)
    if reason:
        raise ConfigError(reason)
