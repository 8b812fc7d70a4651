"""The site's own filter on everything that leaves it: FLARE's side of `governance.outbound`.

It stands in the site's privacy scope, before any filter of a job, and no job can take it away. FLARE's `DXOFilter` lets
pass what it does not know; this one derives from `Filter` and refuses it. FLARE turns a refusal into an error reply.

Where the hospital's policy promises differential privacy for the job's cohort, an answer to a round names a release,
and what leaves are the bytes that the ledger holds for it: nothing that an executor holds can leave in their place.
Where the policy declares the cohort public, answers about its cases say so; the word is this filter's alone.
"""

from pathlib import Path

from nvflare.apis.dxo import DataKind, from_shareable
from nvflare.apis.filter import Filter
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable

from fedvoxel.errors import ConfigError, FedVoxelError, UpdateError
from fedvoxel.flare.messages import (
    LACKS_MODEL,
    NO_ARRAYS,
    TASK_DRIFT_WATCH,
    TASK_READER_STUDY,
    TASK_TRAIN,
    TASK_VALIDATE,
    error_of,
    error_reply,
    result_reply,
)
from fedvoxel.flare.site_audit import record_answer, record_refusal
from fedvoxel.flare.state_folder import workspace_of
from fedvoxel.flare.still_approved import check_still_approved
from fedvoxel.flare.versions import server_declined
from fedvoxel.governance.incidents.switches import check_not_halted
from fedvoxel.governance.outbound import Answer, ArraysKind, admit, check_difference, check_in_sums, check_minimum
from fedvoxel.privacy.policy import CohortBudget, NoBudget, PublicCohort, load_privacy_policy
from fedvoxel.records.audit import AuditLog
from fedvoxel.updates.secure.masked import masked_of
from fedvoxel.updates.update import PUBLIC_WEIGHT
from fedvoxel.updates.weights_file import from_bytes

_KINDS: dict[str, ArraysKind] = {DataKind.WEIGHTS: "model", DataKind.WEIGHT_DIFF: "difference"}

COHORT_PROPERTY = "fedvoxel_cohort"
"""The property of a task's context in which its executor says which cohort the answer is about.

It is set with each task and never kept, since a job may name two executors with a cohort each.
"""

_PUBLIC = {"public": True}
"""What an answer to one of these tasks says of a cohort that its hospital has declared public."""

_ABOUT_CASES = (TASK_TRAIN, TASK_VALIDATE)

_WITHHELD = "this site declined the task or could not do it; its own log says why"
"""What a private cohort's site says of any failure: the reason itself may tell something about its patients."""

_UNDECIDED = (
    "this site's privacy policy says nothing about cohort {cohort!r}, so that nothing leaves about it: name one of its "
    "cohorts in the job, or have the site decide (local/fedvoxel_privacy.json)"
)


class OutboundFilter(Filter):
    """Lets a known answer leave, made anew from its checked values, and refuses everything else."""

    def __init__(self) -> None:
        """Touches no file."""
        super().__init__()
        self._log: AuditLog | None = None

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """Returns what may leave in place of `shareable`, once the site's audit log has it.

        Raises:
            UpdateError: Nothing of it may.
            JobError: All jobs are stopped here for an incident.
            ConfigError: The hospital's policy cannot be read, or lets nothing of a reader study or drift watch leave,
                or the job is not, or no more, what its people have approved, or that could not be looked at.
            LedgerError: The release is not in the ledger, or the ledger or the audit log cannot be trusted or written.
        """
        local = Path(workspace_of(fl_ctx).get_site_config_dir()).resolve()
        log = self._log = self._log or AuditLog(local.parent / "state")
        cohort = str(fl_ctx.get_prop(COHORT_PROPERTY))
        try:
            check_not_halted(local.parent / "state")
            check_still_approved(fl_ctx)
            reply = self._admitted(shareable, fl_ctx, cohort, local)
        except FedVoxelError as error:
            record_refusal(log, fl_ctx, cohort, error)
            raise
        except OSError as error:  # its text names files; nothing leaves then either
            reason = error.strerror or type(error).__name__
            refused = ConfigError(f"the site could not read or write its own files to look at the answer ({reason})")
            record_refusal(log, fl_ctx, cohort, refused)
            raise refused from None
        record_answer(log, fl_ctx, cohort, reply)
        return reply

    def _admitted(self, shareable: Shareable, fl_ctx: FLContext, cohort: str, local: Path) -> Shareable:
        policy = load_privacy_policy(local)
        decided = policy.cohorts.get(cohort)
        if decided is None:
            return error_reply(_UNDECIDED.format(cohort=cohort))
        budget = decided if isinstance(decided, CohortBudget) else None
        private = budget is not None
        task = str(fl_ctx.get_prop(FLContextKey.TASK_NAME))
        code = shareable.get_return_code(ReturnCode.OK)
        if code != ReturnCode.OK:
            # Two releases that do not understand one another tell nothing of a case: made anew, that may be said.
            declined, reason = server_declined(task, fl_ctx), error_of(shareable)
            return _failure(declined or (_WITHHELD if private and reason != LACKS_MODEL else reason), code)
        admitted = admit(task, answer_of(shareable), private)
        if isinstance(decided, NoBudget) and decided.in_sums:
            check_in_sums(task, admitted)
        if task == TASK_READER_STUDY:
            check_minimum(task, admitted, policy.reader_studies(cohort).minimum_cases)
        if task == TASK_DRIFT_WATCH:
            check_minimum(task, admitted, policy.drift_watches(cohort).minimum_images)
        if budget and task == TASK_TRAIN:
            return _release(str(admitted.values["release_id"]), local, cohort, budget)
        declared = _PUBLIC if isinstance(decided, PublicCohort) and task in _ABOUT_CASES else {}
        return result_reply({**admitted.values, **declared}, admitted.arrays, difference=admitted.kind == "difference")


def _release(release_id: str, local: Path, cohort: str, decided: CohortBudget) -> Shareable:
    """Returns the round's answer with the bytes that were kept; the ledger notes first that they leave."""
    # The accountant behind it takes a second to import, which other jobs are spared.
    from fedvoxel.privacy.ledger import open_ledger

    ledger = open_ledger(local, local.parent / "state", cohort)
    arrays = from_bytes(ledger.bytes_to_send(release_id))
    if masked_of(arrays) is None:
        # A share of the noise alone is whole numbers, and is stopped here: it leaves masked or not at all.
        check_difference(arrays)
        if decided.in_sums and decided.unit == "hospital":
            raise UpdateError("this hospital's policy lets updates leave masked only, as parts of a sum")
    run_key, index = ledger.place(release_id)
    said = {"release_id": release_id, "case_count": PUBLIC_WEIGHT, "run_key": run_key, "round": index}
    return result_reply(said, arrays, difference=True)


def _failure(reason: str, code: str) -> Shareable:
    """Returns a failed answer without anything that it may carry besides its code and reason."""
    reply = error_reply(reason)
    reply.set_return_code(code)
    return reply


def answer_of(shareable: Shareable) -> Answer:
    """Reads a reply; its headers, and whatever else lies beside its data, are left behind.

    Raises:
        UpdateError: It is no reply of this package's executors.
    """
    try:
        dxo = from_shareable(shareable)
    except ValueError:
        raise UpdateError("the answer is no data exchange object of FLARE's") from None
    if dxo.data_kind == DataKind.METRICS and dxo.data == NO_ARRAYS:
        return Answer("none", {}, dxo.meta)
    if dxo.data_kind not in _KINDS:
        raise UpdateError(f"the answer holds data of the kind {dxo.data_kind!r}; expected {' or '.join(_KINDS)}")
    return Answer(_KINDS[dxo.data_kind], dxo.data, dxo.meta)
