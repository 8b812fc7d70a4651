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
from fedvoxel.flare.round_journal import JournalEntry
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import AuditEvent, HashName
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

    def began(self, model: Arrays, before: JournalEntry | None = None) -> None:
        """Records the job, who submitted it, and that the attempt begins with a model.

        Args:
            model: The model.
            before: The run's journal, where the attempt goes on after what it holds; None for a run that begins.

        Raises:
            LedgerError: The log cannot be trusted or written, or the job's files cannot be read.
        """
        try:
            self._log.record([job_event(self._fl_ctx, self._run_key)])
        except OSError as error:
            raise LedgerError(f"the job's files cannot be read for the audit ({error.strerror})") from None
        self._model = hashlib.sha256(to_bytes(model)).hexdigest()
        earlier = self._said_of(before) if before else []
        if before and earlier:
            self._note_late(before, earlier)
        # What died between the first entry of the journal and that of the log has not begun yet, for who reads the log.
        self._recorder.began("resumed" if earlier else "started", {"model": self._model})

    def _said_of(self, run: JournalEntry) -> list[AuditEvent]:
        """Returns what the log says of a run's models, newest first: committed rounds and begun attempts."""
        jobs, said = {attempt.job_id for attempt in run.attempts}, list[AuditEvent]()
        for _, event in reversed(self._log.read()):
            begun = event.kind == "run" and event.outcome in ("started", "resumed")
            done = event.kind == "round" and event.outcome == "done"
            own = event.run_key == self._run_key and event.job_id in jobs
            if own and (begun or done) and "model" in event.hashes:
                said.append(event)
                if event.outcome == "started":
                    break
        return said

    def _note_late(self, run: JournalEntry, earlier: Sequence[AuditEvent]) -> None:
        """Records the last round where its attempt was cut off after the journal had it, and before the log did.

        Only that one can be missing so; where the log lacks more, it was lost, and nothing is made up.
        """
        last, index = next((event for event in earlier if event.outcome != "resumed"), None), run.committed - 1
        if last is None or (-1 if last.round is None else last.round) != index - 1:
            return
        hashes: dict[HashName, str] = {"model_before": last.hashes["model"], "model": self._model}
        # Under the job that made it, as its sites' answers are: all attempts after that one begin with a later round.
        made_it = next(one.job_id for one in reversed(run.attempts) if one.first_round <= index)
        self._recorder.committed(index, hashes, late_of=made_it)

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
