"""Reads the server's audit log for the trace of a run, and again only where it has grown."""

from fedvoxel.errors import ConfigError
from fedvoxel.governance.kit import Kit
from fedvoxel.ops.tracing.spans import RunTrace, trace_of
from fedvoxel.records.audit import AUDIT_FILE, AuditLog


class LogReader:
    """Looks at one run: a long run's log is large, and looked at every few seconds."""

    def __init__(self, kit: Kit, run_key: str) -> None:
        """Reads nothing yet.

        Raises:
            ConfigError: The kit is not a server's.
        """
        if kit.kind != "server":
            raise ConfigError(f"kit {kit.name} is a {kit.kind}'s: give the server's, whose log has rounds")
        self._log, self._file, self._run_key = AuditLog(kit.state), kit.state / "audit" / AUDIT_FILE, run_key
        self._size = -1
        self._trace: RunTrace | None = None

    def __call__(self) -> RunTrace:
        """Returns the run as the log has it.

        Raises:
            JobError: The log has no such run.
            LedgerError: The log cannot be read or trusted.
        """
        size = self._file.stat().st_size if self._file.is_file() else 0
        if self._trace is None or size != self._size:
            self._trace, self._size = trace_of(self._log.read(), self._run_key), size
        return self._trace
