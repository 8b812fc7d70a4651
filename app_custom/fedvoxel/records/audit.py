"""What happened to whom and why, kept where nobody can change it unseen: events on a chain of hashes.

Lower rooms make events and hand them to whatever `Record` they were given; only who owns a `state/` folder makes an
`AuditLog`. An event names a site and a reason, never a patient, a path or a value of an update. What the chain can and
cannot show is said in `records.chain`.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fedvoxel.errors import LedgerError, VersionError
from fedvoxel.formats import AUDIT_LOG, current
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import Entry

AUDIT_FILE = "audit.jsonl"
"""The name of the log in the folder `state/audit/`."""


@dataclass(frozen=True)
class AuditEvent:
    """Is one thing that happened in a run.

    Attributes:
        kind: What: "refused" (an answer that was not taken) or "missing" (a site that gave none).
        run_key: The run.
        job_id: The FLARE job, one attempt at the run.
        task: What the site had been asked for: "initialize" (the first model), "train", "secure_aggregation" (what it
            has to say after its update is in a sum), "contribution" (scores that tell what updates are worth),
            "validation" or "test".
        round: The round, from 0; None before the first and after the last one.
        site: Whom it is about.
        reason: Why, as the outcome says it.
    """

    kind: str
    run_key: str
    job_id: str
    task: str
    round: int | None
    site: str
    reason: str


Record = Callable[[Sequence[AuditEvent]], None]
"""Takes events as they happen."""


def unrecorded(events: Sequence[AuditEvent]) -> None:
    """Is the `Record` of who keeps no log."""


class AuditLog:
    """Is the log on disk. Every call reads it anew, so that several jobs may write to it."""

    def __init__(self, state: Path) -> None:
        """Touches no file; `state` is the `state/` folder of a kit."""
        self._chain = Chain(state / "audit" / AUDIT_FILE)

    def record(self, events: Sequence[AuditEvent]) -> None:
        """Writes events in one step; they are on disk when this returns.

        Raises:
            LedgerError: The log cannot be trusted or written.
        """
        if events:
            first, *more = map(asdict, events)
            with self._chain.writing() as chain:
                chain.append(first, *more)

    def read(self) -> list[tuple[Entry, AuditEvent]]:
        """Returns the lines, each with what it says; none where there is no log yet.

        Raises:
            LedgerError: It cannot be read or trusted, or a line is no event of this version.
        """
        return [(entry, _event(entry)) for entry in self._chain.read()]


def _event(entry: Entry) -> AuditEvent:
    try:
        return AuditEvent(**current(AUDIT_LOG, entry.body, f"line {entry.index + 1} of the audit log"))
    except VersionError as error:
        raise LedgerError(str(error)) from None
    except TypeError:
        raise LedgerError(
            f"line {entry.index + 1} of the audit log is no event of this version; update fedvoxel"
        ) from None
