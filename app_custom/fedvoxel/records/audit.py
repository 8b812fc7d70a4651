"""An audit log: events (`records.audit_event`) on a chain of hashes, kept where nobody can change it unseen.

Lower rooms make events and hand them to whatever `Record` they were given; only who owns a `state/` folder makes an
`AuditLog`. The server has one, and each site one for all its jobs. What a chain can and cannot show by itself is said
in `records.chain`; the sites' countersignatures show the rest.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fedvoxel.records.audit_event import AuditEvent, event_of
from fedvoxel.records.chain import Chain, OpenChain
from fedvoxel.records.chain_entry import Entry

AUDIT_FILE = "audit.jsonl"
"""The name of the log in the folder `state/audit/`."""

Record = Callable[[Sequence[AuditEvent]], None]
"""Takes events as they happen."""


def unrecorded(events: Sequence[AuditEvent]) -> None:
    """Is the `Record` of who keeps no log."""


class AuditLog:
    """Is the log on disk, which several processes may write to.

    Of what this process has read and verified it keeps the last entry alone, and does not read it again to add to it,
    unless another process has written meanwhile.
    """

    def __init__(self, state: Path) -> None:
        """Touches no file; `state` is the `state/` folder of a kit."""
        self._chain = Chain(state / "audit" / AUDIT_FILE)
        self._last: OpenChain | None = None

    def record(self, events: Sequence[AuditEvent]) -> None:
        """Writes events, one after the other; they are on disk when this returns.

        Raises:
            LedgerError: The log cannot be trusted or written.
        """
        if events:
            with self._chain.continuing(self._last) as chain:
                chain.append_each(event.body() for event in events)
                # A run of many rounds would otherwise hold them all in memory.
                chain.entries, self._last = chain.entries[-1:], chain

    @contextmanager
    def writing(self) -> Iterator[OpenChain]:
        """Opens the whole log under its lock, for a decision that is made from what it holds, and the events of it.

        Raises:
            LedgerError: The log cannot be trusted or written.
        """
        with self._chain.writing() as chain:
            yield chain

    def read(self) -> list[tuple[Entry, AuditEvent]]:
        """Returns the lines, each with what it says; none where there is no log yet.

        Raises:
            LedgerError: It cannot be read or trusted, or a line is no event of this version.
        """
        return events_of(self._chain.read())


def events_of(entries: Sequence[Entry]) -> list[tuple[Entry, AuditEvent]]:
    """Returns lines of a log, each with what it says.

    Raises:
        LedgerError: A line is no event of this version.
    """
    return [(entry, event_of(entry.body, entry.index + 1)) for entry in entries]
