"""What the audit logs of server and sites say of a job as it begins: whose it is, and the hash of what runs."""

from pathlib import Path

from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.lighter.tool_consts import NVFLARE_SIG_FILE
from nvflare.lighter.utils import verify_folder_signature_and_get_signers

from fedvoxel.config import read_json
from fedvoxel.errors import FedVoxelError
from fedvoxel.flare.state_folder import startup_folder, workspace_of
from fedvoxel.flare.taken_job import signed_by
from fedvoxel.governance.audited_files import job_hash
from fedvoxel.governance.submission import submission_of
from fedvoxel.records.audit_event import Actor, AuditEvent, HashName


def job_event(fl_ctx: FLContext, run_key: str, site: str = "", cohort: str = "", reason: str = "") -> AuditEvent:
    """Returns the event of a job that was taken, or with a reason, of one that was not.

    Raises:
        OSError: Its files cannot be read.
    """
    job_id = str(fl_ctx.get_job_id() or "")
    app = Path(workspace_of(fl_ctx).get_app_dir(job_id))
    hashes: dict[HashName, str] = {"job": job_hash(app)} if app.is_dir() else {}
    return AuditEvent(
        kind="job",
        outcome="refused" if reason else "done",
        actor=_submitter(fl_ctx, app),
        run_key=str(run_key)[:200],
        job_id=job_id,
        site=site,
        cohort=str(cohort)[:200],
        reason=reason[:2000],
        hashes=hashes,
    )


def _submitter(fl_ctx: FLContext, app: Path) -> Actor | None:
    """Returns who has signed the job, as FLARE verifies it, or whom the server names where nobody has.

    A signature that does not count any more is judged by what the site noted when it did; else nobody is named.
    """
    if (app / NVFLARE_SIG_FILE).exists():
        verified, signers = verify_folder_signature_and_get_signers(
            str(app), str(startup_folder(fl_ctx) / "rootCA.pem")
        )
        if verified and len(signers) == 1:
            return _actor(*signers[0])
        return _noted(fl_ctx, app)
    meta = fl_ctx.get_prop(FLContextKey.JOB_META) or {}
    named = (JobMetaKey.SUBMITTER_NAME, JobMetaKey.SUBMITTER_ORG, JobMetaKey.SUBMITTER_ROLE)
    return _actor(*(meta.get(key.value) for key in named))


def _noted(fl_ctx: FLContext, app: Path) -> Actor | None:
    """Returns who had signed what lies there when the site took it; None at the server, which notes nothing."""
    workspace, job_id = workspace_of(fl_ctx), fl_ctx.get_job_id()
    try:
        meta = read_json(Path(workspace.get_job_meta_path(job_id)), "the job's meta")
        name = signed_by(Path(workspace.get_run_dir(job_id)), submission_of(meta, app).sha256)
    except FedVoxelError:
        return None
    return _actor(name, "", "person")


def _actor(name: object, organisation: object, role: object) -> Actor | None:
    said = [str(part or "")[:200] for part in (name, organisation, role)]
    return Actor(name=said[0], organisation=said[1], role=said[2]) if said[0] else None
