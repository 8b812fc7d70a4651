"""A job that trains nothing: its controller asks the sites and writes what they answered as one file."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from fedvoxel.errors import FedVoxelError
from fedvoxel.flare.job_audit import job_event
from fedvoxel.flare.run_ending import write_trouble
from fedvoxel.flare.site_tasks import SiteTasks
from fedvoxel.flare.state_folder import state_folder, workspace_of
from fedvoxel.records.atomic import write_json
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import AuditEvent, HashName, Outcome
from fedvoxel.records.canonical import sha256_of_file


class InquiryController(SiteTasks):
    """Is the controller of an inquiry; a kind of inquiry says what it asks, and the name of its file."""

    title: ClassVar[str]
    file: ClassVar[str]

    def __init__(self, timeout_s: float = 1800.0, task_check_period: float = 0.1) -> None:
        """Keeps the job's words.

        Args:
            timeout_s: Longest wait for each task, in seconds.
            task_check_period: Seconds between two looks at open tasks.
        """
        super().__init__(task_check_period)
        self.timeout_s = timeout_s

    def run(self) -> None:
        """Asks, writes the answers into the job's result, and the end into the audit; tells FLARE of a failure."""
        sites = sorted(client.name for client in self.engine.get_clients())
        path = Path(workspace_of(self.fl_ctx).get_run_dir(self.fl_ctx.get_job_id())) / self.file
        log = AuditLog(state_folder(self.fl_ctx))
        try:
            log.record([job_event(self.fl_ctx, "")])
            write_json(path, self.answers(sites))
            log.record([self._ended("finished", "", {"outcome": sha256_of_file(path)})])
        except FedVoxelError as error:
            self._fail(log, str(error))
        except OSError as error:
            self._fail(log, write_trouble(error))

    def _fail(self, log: AuditLog, reason: str) -> None:
        try:
            log.record([self._ended("failed", reason[:2000], {})])
        except FedVoxelError as error:
            self.error(f"event=audit_failed reason={error}")
        self.panic(f"the {self.title} failed: {reason}")

    def _ended(self, outcome: Outcome, reason: str, hashes: dict[HashName, str]) -> AuditEvent:
        job_id = str(self.fl_ctx.get_job_id())
        return AuditEvent(kind="run", outcome=outcome, job_id=job_id, task=self.title, reason=reason, hashes=hashes)

    @abstractmethod
    def answers(self, sites: list[str]) -> dict[str, Any]:
        """Asks the sites and returns what is written, as JSON values.

        Raises:
            FedVoxelError: There is nothing worth writing.
        """
