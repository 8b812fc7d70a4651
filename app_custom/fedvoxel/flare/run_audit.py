"""What the server's audit log says of a run beside its answers: who submitted it, its rounds, its end; and who signs.

A fact that cannot be written ends the run as failed: a run without its audit is not one that a hospital agreed to.
"""

import hashlib
from collections.abc import Sequence

from nvflare.apis.fl_context import FLContext

from fedvoxel.errors import LedgerError
from fedvoxel.federation.attempts import RunStatus
from fedvoxel.federation.recorder import RunRecorder
from fedvoxel.flare.countersigning import Countersigning
from fedvoxel.flare.job_audit import job_event
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import HashName
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import to_bytes


class RunAudit:
    """Tells the audit of one attempt at a run."""

    def __init__(
        self, fl_ctx: FLContext, log: AuditLog, recorder: RunRecorder, run_key: str, sites: Sequence[str]
    ) -> None:
        """Touches no file."""
        self._fl_ctx, self._log, self._recorder, self._run_key, self._sites = fl_ctx, log, recorder, run_key, sites
        self._countersigning = Countersigning(fl_ctx, log, run_key)
        self._model = ""
        self._round: int | None = None

    def began(self, model: Arrays, resumed: bool = False) -> None:
        """Records the job, who submitted it, and that the attempt begins with a model.

        Raises:
            LedgerError: The log cannot be trusted or written, or the job's files cannot be read.
        """
        try:
            self._log.record([job_event(self._fl_ctx, self._run_key)])
        except OSError as error:
            raise LedgerError(f"the job's files cannot be read for the audit ({error.strerror})") from None
        self._model = hashlib.sha256(to_bytes(model)).hexdigest()
        self._recorder.began("resumed" if resumed else "started", {"model": self._model})

    def committed(self, index: int, sha256: str) -> None:
        """Records a round that counts, with the hash of the model's file, and has the sites countersign the log.

        Raises:
            LedgerError: The log cannot be trusted or written.
        """
        before, self._model, self._round = self._model, sha256, index
        self._recorder.committed(index, {"model_before": before, "model": sha256})
        self._countersigning.ask(self._sites, index)

    def ended(self, status: RunStatus, reason: str | None, hashes: dict[HashName, str]) -> None:
        """Records how the attempt ended, and has the sites countersign that, unless it was aborted.

        Raises:
            LedgerError: The log cannot be trusted or written.
        """
        try:
            self._recorder.ended(status, reason, hashes)
        finally:
            if status == "aborted" or self._round is None:
                self._countersigning.drop()
            else:
                self._countersigning.end(self._sites, self._round)
