"""What a site's own audit log says of a job: that it was taken, or why not, and every answer that left or did not.

The site has one log for all its jobs, in `<kit>/state/audit/`. A fact that cannot be written there is an error, with
which nothing leaves.
"""

import logging
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from nvflare.apis.dxo import from_shareable
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.config import parse_config
from fedvoxel.errors import FedVoxelError, LedgerError
from fedvoxel.flare.fetching import size_bytes
from fedvoxel.flare.job_audit import job_event
from fedvoxel.flare.messages import COUNTERSIGN_TOPIC, error_of, one_line
from fedvoxel.flare.state_folder import workspace_of
from fedvoxel.governance.audited_files import policy_hash
from fedvoxel.governance.countersigning import Answer, Question, countersign
from fedvoxel.governance.log_notes import SiteNotes
from fedvoxel.privacy.policy import CohortBudget, load_privacy_policy
from fedvoxel.records.audit import AuditLog, FollowedLog
from fedvoxel.records.audit_event import AuditEvent, HashName, Spent
from fedvoxel.records.canonical import sha256_of
from fedvoxel.records.identity import Identity, load_identity
from fedvoxel.updates.array_hash import hash_of_arrays

RUN_PROPERTY = "fedvoxel_run_key"
"""The property of a task's context in which its executor says which run the answer is about."""

_UNABLE = "this site cannot sign at the moment; its own log says why"

_logger = logging.getLogger(__name__)


def record_job(fl_ctx: FLContext, run_key: str, cohort: tuple[str, str | None], problem: str | None) -> None:
    """Records that a job begins here, or why it may not.

    Args:
        fl_ctx: Of the job's process.
        run_key: The run.
        cohort: The cohort's name, and its hash where it has one.
        problem: Why the job may not begin.

    Raises:
        LedgerError: The log cannot be trusted or written.
    """
    local, site = _local(fl_ctx), str(fl_ctx.get_identity_name() or "")
    try:
        event = job_event(fl_ctx, run_key, site, cohort[0], one_line(problem or ""))
        hashes = event.hashes | _policy(local)
    except OSError as error:
        raise LedgerError(f"the files of the job cannot be read for the audit ({error.strerror})") from None
    hashes |= {"cohort": cohort[1]} if cohort[1] else {}
    AuditLog(local.parent / "state").record([event.model_copy(update={"hashes": hashes})])


def record_answer(log: AuditLog, fl_ctx: FLContext, cohort: str, reply: Shareable) -> None:
    """Records what leaves in answer to a task: a result, or that the task failed.

    Raises:
        LedgerError: The log, or the cohort's privacy ledger, cannot be trusted or written.
    """
    local, event = _local(fl_ctx), _answer(fl_ctx, cohort)
    if reply.get_return_code(ReturnCode.OK) != ReturnCode.OK:
        failed = {"outcome": "failed", "reason": error_of(reply), "hashes": _policy(local)}
        log.record([event.model_copy(update=failed)])
        return
    meta, model = from_shareable(reply).meta, FLModelUtils.from_shareable(reply)
    arrays = model.params or {}
    hashes: dict[HashName, str] = {"answer": hash_of_arrays(arrays) if arrays else sha256_of(model.meta)}
    spent, head = _spending(local, cohort)
    said: dict[str, object] = {
        "hashes": hashes | _policy(local) | head,
        "size_bytes": size_bytes(arrays),
        "spent": spent,
    }
    said |= {"round": meta["round"]} if isinstance(meta.get("round"), int) else {}
    log.record([event.model_copy(update=said)])


def record_refusal(log: AuditLog, fl_ctx: FLContext, cohort: str, error: Exception) -> None:
    """Records that the site's filter let nothing leave, and why.

    Raises:
        LedgerError: The log cannot be trusted or written.
    """
    said = {"outcome": "refused", "reason": one_line(str(error)), "hashes": _policy(_local(fl_ctx))}
    log.record([_answer(fl_ctx, cohort).model_copy(update=said)])


def answer_countersigning(fl_ctx: FLContext) -> None:
    """Has this job process sign the head of the server's log when it is asked; a site that cannot is missing there."""
    kit = _local(fl_ctx).parent
    try:
        identity = load_identity(kit / "startup")
    except FedVoxelError as error:
        _logger.error("event=not_countersigned reason=%s", error)
        return
    answer = partial(_countersigned, FollowedLog(AuditLog(kit / "state"), SiteNotes), identity)
    fl_ctx.get_engine().register_aux_message_handler(COUNTERSIGN_TOPIC, answer)


def _countersigned(
    log: FollowedLog[SiteNotes], identity: Identity, topic: str, request: Shareable, fl_ctx: FLContext
) -> Shareable:
    try:
        question = parse_config(Question, request.get("question"), "the server's question")
        answer = countersign(log, identity, question, str(fl_ctx.get_job_id()), lambda: datetime.now(UTC))
    except FedVoxelError as error:
        _logger.error("event=not_countersigned reason=%s", error)
        answer = Answer(known=0, reason=_UNABLE)
    if answer.reason:
        _logger.warning("event=countersignature_refused reason=%s", answer.reason)
    reply = make_reply(ReturnCode.OK)
    reply["answer"] = answer.model_dump(mode="json")
    return reply


def _answer(fl_ctx: FLContext, cohort: str) -> AuditEvent:
    return AuditEvent(
        kind="answer",
        outcome="done",
        run_key=str(fl_ctx.get_prop(RUN_PROPERTY) or "")[:200],
        job_id=str(fl_ctx.get_job_id() or ""),
        task=str(fl_ctx.get_prop(FLContextKey.TASK_NAME))[:200],
        site=str(fl_ctx.get_identity_name() or ""),
        cohort=cohort[:200],
    )


def _spending(local: Path, cohort: str) -> tuple[Spent | None, dict[HashName, str]]:
    """Returns what is spent of a protected cohort's budget, and the head of its ledger."""
    if not isinstance(load_privacy_policy(local).cohorts.get(cohort), CohortBudget):
        return None, {}
    # The accountant behind it takes a second to import, which other jobs are spared.
    from fedvoxel.privacy.ledger import open_ledger

    status = open_ledger(local, local.parent / "state", cohort).status()
    spent = Spent(unit=status.unit, epsilon=status.spent_epsilon, delta=status.spent_delta)
    return spent, {"ledger_head": status.head} if status.head else {}


def _policy(local: Path) -> dict[HashName, str]:
    try:
        return {"policy": policy_hash(local)}
    except OSError as error:
        raise LedgerError(f"the site's policy cannot be read for the audit ({error.strerror})") from None


def _local(fl_ctx: FLContext) -> Path:
    return Path(workspace_of(fl_ctx).get_site_config_dir()).resolve()
